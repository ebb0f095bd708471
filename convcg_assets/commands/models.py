"""`convcg models`: who serves, since when and why, and which models there are."""

import click
from rich import box
from rich.table import Table
from rich.text import Text

from convcg_assets.commands.console import json_option, open_console, print_json, say
from convcg_assets.deployment import current_deployment


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the registered models, who serves, since when and why.

    What served before is a history of moves: when, from, to, by whom, why.

    \b
    Example:
      convcg models
    """
    from convcg_assets.defs.registry import Registry

    registry = Registry(current_deployment())
    versions, history = registry.versions(), registry.history()
    if as_json:
        print_json(
            {
                "models": [
                    {
                        "version": v.model.version,
                        "day": v.model.day,
                        "model_version": v.model.model_version,
                        "bundle": v.model.bundle if v.has_files else None,
                        "registered": v.registered,
                        "serves": v.serves,
                        "withdrawn": v.withdrawn,
                        "reason": v.tags.get("reason"),
                    }
                    for v in versions
                ],
                "history": [vars(move) for move in history],
            }
        )
        return
    console = open_console()
    if not versions:
        say(console, "No model is registered yet: `convcg run --only promotion` registers one.")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("version", "day", "model", "registered", "", "why"):
        table.add_column(column, no_wrap=column != "why")
    for version in versions:
        model = version.model
        state = "serves" if version.serves else "withdrawn" if version.withdrawn else ""
        state = state or ("" if version.has_files else "files gone")
        table.add_row(
            model.version,
            str(model.day),
            model.model_version[:12],
            f"{version.registered:%Y-%m-%d %H:%M}",
            state,
            Text(version.withdrawn or version.tags.get("reason", "not judged yet")),
            style="bold" if version.serves else None,
        )
    console.print(table)
    if not history:
        say(console, "No model serves yet.")
        return
    say(console, "Who served (UTC), newest first:", style="bold")
    for move in history:
        forced = ", by force" if move.forced else ""
        say(
            console,
            f"  {move.at:%Y-%m-%d %H:%M:%S}  {move.before or 'none'} -> {move.after} "
            f"(model of {move.day}), by {move.by}{forced}: {move.why}",
        )
    serving = next((v.model.version for v in versions if v.serves), None)
    if serving != history[0].after:
        say(
            console,
            f"The alias was moved by other means since: version {serving or 'none'} serves.",
            style="yellow",
        )
