"""`convcg metrics`: what Prometheus reads of the tables, as text, as a file or over HTTP."""

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convcg_assets.commands.console import open_console, say
from convcg_assets.deployment import current_deployment

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


@click.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it there as a whole, for the textfile collector of node_exporter.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Answer who scrapes; 0 takes a free one."
)
@click.option("--host", default="127.0.0.1", help="Where to listen; 0.0.0.0 for all networks.")
def command(output: Path | None, port: int | None, host: str) -> None:
    """Print what Prometheus reads of the tables.

    Per table: rows, bytes, the newest day, the days that are stale, wait or were given up, when it
    was last built and how long that took. It changes nothing, and opens no file of rows. The
    server has metrics of its own, at /metrics.

    \b
    Example:
      convcg metrics
      convcg metrics --output /var/lib/node_exporter/convcg.prom
      convcg metrics --host 0.0.0.0 --port 9464
    """
    if output is not None and port is not None:
        raise click.UsageError("either --output or --port")
    from convcg_assets.commands.instance import open_instance
    from convcg_assets.commands.materialize import load_definitions

    deployment = current_deployment()
    with open_instance(deployment) as instance:
        load_definitions()
        from prometheus_client import generate_latest

        from convcg_assets.defs.table_metrics import make_registry

        registry = make_registry(deployment, instance)
        if port is not None:
            _serve(registry, host=host, port=port)
        elif output is not None:
            _write(output, generate_latest(registry))
        else:
            click.echo(generate_latest(registry).decode(), nl=False)


def _write(output: Path, text: bytes) -> None:
    """The whole text or what was there before: the collector may read at any moment."""
    unfinished = output.with_name(f".{output.name}.{os.getpid()}")
    unfinished.write_bytes(text)
    unfinished.replace(output)


def _serve(registry: "CollectorRegistry", *, host: str, port: int) -> None:
    """Answer until a signal; a look that fails is answered with status 500."""
    from prometheus_client import start_http_server

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    server, thread = start_http_server(port, addr=host, registry=registry)
    say(open_console(), f"metrics at http://{host}:{server.server_port}/metrics")
    stopped.wait()
    server.shutdown()
    thread.join()
