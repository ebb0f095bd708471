"""`python -m convcg_serving`: serve one bundle by its path, without a registry.

So a canary is started, and so a bundle is served on a machine that has nothing else.
"""

import argparse
from pathlib import Path

from convcg_serving.server import limit_threads


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m convcg_serving", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="folder of an index bundle")
    parser.add_argument(
        "--features", type=Path, required=True, help="folder with a folder of features per day"
    )
    parser.add_argument(
        "--previous", type=Path, help="another index bundle, shown beside it on the page"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    arguments = parser.parse_args()
    limit_threads()
    from convcg_serving.champion import bundle_by_path
    from convcg_serving.server import serve
    from convcg_serving.watcher import Places, Watcher

    champion, previous = bundle_by_path(arguments.bundle), arguments.previous
    watcher = Watcher(
        lambda: champion,
        Places(arguments.features),
        find_before=None if previous is None else lambda: bundle_by_path(previous),
    )
    serve(watcher, host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
