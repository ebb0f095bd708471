"""`convcg refresh`: bring the Pins that serve up to date, without a training."""

from dataclasses import asdict

import click

from convcg_assets.commands.console import (
    Failure,
    json_option,
    open_console,
    print_json,
    say,
    working,
)
from convcg_assets.deployment import current_deployment


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Bring the Pins that serve up to date, without a training.

    New Pins of the newest catalogue are embedded by the model in service and found from then on,
    Pins that left it are not found any more. A running server takes it up by itself. Land and
    read the catalogue first: `convcg run --only raw_events`.

    \b
    Example:
      convcg refresh
    """
    from convcg_assets.defs.refreshing import refresh

    console = open_console(as_json=as_json)
    try:
        with working(console, "embedding new Pins"):
            done = refresh(current_deployment())
    except LookupError as error:
        raise Failure(str(error.args[0])) from None
    if as_json:
        print_json(asdict(done))
    say(
        console,
        f"version {done.version}, catalogue of {done.catalogue_day}: "
        f"{done.added:,} Pins came, {done.removed:,} went since its index",
    )
