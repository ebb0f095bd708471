"""`convcg rollback`: let the model serve that served before, or that of a day."""

import datetime as dt

import click

from convcg_assets.commands.console import Failure, json_option, open_console, print_json, say
from convcg_assets.commands.options import DAY
from convcg_assets.deployment import current_deployment


@click.command()
@click.argument("day", type=DAY, metavar="[T]", required=False)
@click.option("--why", metavar="TEXT", default="rolled back", help="Kept with the history.")
@json_option
def command(day: dt.date | None, why: str, as_json: bool) -> None:
    """Let the model serve that served before, or the registered one of day T.

    Its files are checked first, its guards are not asked. The model that served is not promoted
    again but by force.

    \b
    Example:
      convcg rollback
      convcg rollback 2026-01-31 --why "prices were wrong in the log of 1 February"
    """
    from convcg_assets.defs.registry import Registry, who
    from convcg_assets.defs.rollback import roll_back

    deployment = current_deployment()
    try:
        move = roll_back(Registry(deployment), day, by=who(), why=why)
    except LookupError as error:
        raise Failure(str(error.args[0])) from None
    if as_json:
        print_json({"version": move.after, "day": move.day, "before": move.before})
    console = open_console(as_json=as_json)
    say(console, f"Version {move.after}, the model of {move.day}, serves; before it {move.before}.")
