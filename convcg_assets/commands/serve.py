"""`convcg serve`: answer who asks for candidates, with the model in service."""

import click

from convcg_assets.deployment import current_deployment
from convcg_serving.server import limit_threads


@click.command()
@click.option("--host", default="127.0.0.1", help="Where to listen; 0.0.0.0 for all networks.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, help="0 takes a free one.")
def command(host: str, port: int) -> None:
    """Answer who asks for candidates, with the model in service.

    The first line says where, as JSON. Users' features are those of the newest day. When the
    champion moves, or a newer day's features appear, both change without a restart. There is a
    page to try it at /, and docs/serving.md has the rest.

    \b
    Example:
      convcg serve
      curl localhost:8080/candidates --json '{"user_id": 17, "k": 10}'
    """
    limit_threads()
    from convcg_assets.defs.registry import Registry
    from convcg_serving.server import serve
    from convcg_serving.watcher import Places, Watcher

    deployment = current_deployment()
    places = Places(deployment.features, deployment.pin_changes)
    registry = Registry(deployment)
    watcher = Watcher(registry.champion, places, find_before=registry.champion_before)
    serve(watcher, host=host, port=port, on_bound=click.echo)
