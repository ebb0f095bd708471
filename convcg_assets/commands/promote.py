"""`convcg promote`: let the model of a day serve if it may, or by force with a reason."""

import datetime as dt

import click

from convcg_assets.commands.console import (
    Failure,
    json_option,
    open_console,
    print_json,
    say,
    working,
)
from convcg_assets.commands.options import DAY
from convcg_assets.deployment import current_deployment


@click.command()
@click.argument("day", type=DAY, metavar="T")
@click.option("--force", is_flag=True, help="Whatever the guards say; needs --why.")
@click.option("--why", metavar="TEXT", help="The reason, kept with the history.")
@json_option
def command(day: dt.date, force: bool, why: str | None, as_json: bool) -> None:
    """Let the model of day T serve, if every guard holds.

    The guards are those of its report. Before anything changes a server of its own answers logged
    queries with the model, by force too. Exit status 1 where it was not promoted.

    \b
    Example:
      convcg promote 2026-02-01
      convcg promote 2026-02-01 --force --why "the campaign of today needs the new Pins"
    """
    if force and not why:
        raise click.UsageError("--force needs --why: a reason for those who ask later")
    if why and not force:
        raise click.UsageError("--why is the reason of --force: without it the guards decide")
    from convcg_assets.defs.promoting import decide_and_record
    from convcg_assets.defs.registry import who

    console = open_console(as_json=as_json)
    with working(console, f"asking the guards about the model of {day}"):
        decision = decide_and_record(current_deployment(), day, by=who(), why=why, force=force)
    if as_json:
        print_json(decision.model_dump(mode="json"))
    for guard in decision.guards:
        style = {True: "green", False: "red", None: "yellow"}[guard.holds]
        say(console, guard.says, style=style)
    if decision.canary is not None:
        say(console, decision.canary.says)
    if not decision.promoted:
        raise Failure(f"the model of {day} was not promoted. {decision.reason}")
    before = "nothing" if decision.before is None else f"version {decision.before}"
    say(console, f"Version {decision.version}, the model of {day}, serves; before it {before}.")
