"""Four processes that open one store at once, empty or not: `at_once.py dagster|mlflow URL`."""

import importlib
import os
import sys
import time

NUM_PROCESSES = 4
MODULES = {"dagster": "dagster_postgres", "mlflow": "mlflow.store.tracking.sqlalchemy_store"}


def open_store(kind: str, url: str) -> None:
    if kind == "dagster":
        from convcg_assets.defs.storage import open_postgres

        open_postgres(url)
        return
    from convcg_assets.defs.tracking import track_run

    with track_run("run", tracking_uri=url, artifacts="nowhere", tags={}) as run:
        run.log_metrics({"loss": 1.0})


def main(kind: str, url: str) -> None:
    """Ends with how many of them failed."""
    importlib.import_module(MODULES[kind])  # Once, so that all of them begin at the same time.
    begin = time.time() + 0.2
    forked = []
    for _ in range(NUM_PROCESSES):
        if (process := os.fork()) == 0:
            time.sleep(max(0.0, begin - time.time()))
            try:
                open_store(kind, url)
            except Exception as error:
                print(repr(error), file=sys.stderr)
                os._exit(1)
            os._exit(0)
        forked.append(process)
    sys.exit(sum(os.waitpid(process, 0)[1] != 0 for process in forked))


if __name__ == "__main__":
    main(*sys.argv[1:])
