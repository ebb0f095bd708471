"""`convcg serve`: answer who asks for candidates, with the model in service."""

from collections.abc import Callable
from pathlib import Path

import click

from convcg_assets.deployment import Deployment, current_deployment
from convcg_serving.server import limit_threads


@click.command()
@click.option("--host", default="127.0.0.1", help="Where to listen; 0.0.0.0 for all networks.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, help="0 takes a free one.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Serve this index bundle instead of the champion.",
)
def command(host: str, port: int, bundle: Path | None) -> None:
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
    from convcg_serving.server import serve
    from convcg_serving.watcher import Places, Watcher

    deployment = current_deployment()
    find = _champion_of(deployment) if bundle is None else _only(bundle)
    places = Places(deployment.features, deployment.pin_changes)
    serve(Watcher(find, places), host=host, port=port, on_bound=click.echo)


def _champion_of(deployment: Deployment) -> Callable:
    from convcg_assets.defs.registry import Registry

    return Registry(deployment).champion


def _only(bundle: Path) -> Callable:
    """A bundle that no registry names."""
    import datetime as dt

    from convcg_model.checkpoint import read_description
    from convcg_model.index import CHECKPOINT
    from convcg_serving.champion import Champion

    made_by = read_description(bundle / CHECKPOINT)
    day = made_by["provenance"].get("day")
    champion = Champion(
        version="",
        day=dt.date.fromisoformat(day) if day else dt.date.today(),
        model_version=made_by["model_version"],
        bundle=bundle,
    )
    return lambda: champion
