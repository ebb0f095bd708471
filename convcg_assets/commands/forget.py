"""`convcg forget`: a person's rows leave the lake, and never come back from the logs."""

import datetime as dt
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from convcg_assets.builds.cleanup import purge
from convcg_assets.builds.forget import (
    NumRows,
    find_rows,
    flag_models,
    flagged_models,
    other_ids,
    rewrite_raw,
    trained_on,
    what_remains,
)
from convcg_assets.builds.forgotten import read_forgotten, remember_forgotten
from convcg_assets.builds.served_files import forget_candidates
from convcg_assets.commands.console import (
    Failure,
    json_option,
    open_console,
    print_json,
    say,
    working,
)
from convcg_assets.commands.ids import read_id
from convcg_assets.commands.repair import Built, repair
from convcg_assets.commands.status import is_up_to_date, look
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment, current_deployment
from convcg_assets.lake.engine import connect
from convcg_assets.tables.registry import MODEL_TABLES

if TYPE_CHECKING:
    import dagster as dg


@click.command()
@click.argument("users", metavar="USER...", nargs=-1)
@click.option("--retrain", is_flag=True, help="Also train flagged models again, without them.")
@click.option("--dry-run", is_flag=True, help="Only say where their rows are.")
@click.option("--no-checks", is_flag=True, help="Leave out the data-quality checks.")
@json_option
def command(
    users: tuple[str, ...], retrain: bool, dry_run: bool, no_checks: bool, as_json: bool
) -> None:
    """Remove all rows of people from the lake, for good.

    USER is a user_id as the tables hold it. Raw days that hold rows of theirs are written again
    without them, and what rests on these days is rebuilt. Logs that land later, or are read again,
    are read without them. Other ids that merges say are theirs stay unless they are named too: the
    command says which there are. All old files of the lake go. Models that were trained on them are
    flagged, and with --retrain trained again. What no command can remove is listed.

    Kept is a salted digest of each id. Nothing else may run meanwhile. Exit status 1 if a day is
    left stale, or rows are left.

    \b
    Example:
      convcg forget 3000017 --dry-run
      convcg forget 3000017 --retrain
    """
    from convcg_assets.commands.instance import open_instance

    deployment, console = current_deployment(), open_console(as_json=as_json)
    if not users and not (retrain and flagged_models(deployment)):
        raise click.UsageError("say whom to forget: convcg forget USER...")
    people = _check_ids(deployment, users)
    with open_instance(deployment) as instance:
        found = look(deployment, instance)
        if any(found.plan.running.values()):
            raise Failure("runs are under way, and read files that would go: wait for their end")
        con = connect(temp=deployment.home / "tmp" / "forget")
        before = find_rows(deployment, read_forgotten(deployment.home).only(people), con=con)
        _say_rows(before, console=console)
        others = other_ids(deployment, people, con=con)
        if others:
            listed = ", ".join(others)
            say(console, f"other ids of the same people, which stay unless named: {listed}")
        if dry_run:
            con.disconnect()
            if as_json:
                print_json({"rows": _numbers(before), "other_ids": others, "dry_run": True})
            return
        everyone = remember_forgotten(deployment.home, people)
        asked = everyone.only(people)
        with working(console, "writing raw days again", is_short=True):
            learned = everyone.only([*people, *others])
            flag_models(deployment, trained_on(deployment, learned, con=con))
            rewritten = rewrite_raw(deployment, asked, con=con)
        builds = _repair_all(deployment, instance, checks=not no_checks, console=console)
        flagged = flagged_models(deployment)
        if retrain:
            failures = _retrain(flagged, instance, checks=not no_checks, console=console)
        else:
            failures = []
        purged = purge(deployment)
        num_candidates = forget_candidates(deployment, everyone, con=con)
        left = find_rows(deployment, asked, con=con)
        con.disconnect()
        is_done = is_up_to_date(look(deployment, instance)) and not left and not failures
    flagged = flagged_models(deployment)
    remains = what_remains(deployment, rewritten, dagster_home=Path(os.environ["DAGSTER_HOME"]))
    say(console, f"{sum(purged.values()):,} old files of the lake are gone")
    if num_candidates:
        say(console, f"candidates: {num_candidates:,} rows are gone")
    for day in flagged:
        say(console, f"model of {day}: was trained on them; convcg forget --retrain", style="red")
    say(console, "not removed, since it is not here to remove:")
    for one in remains:
        say(console, f"  {one.where}: {one.what}")
    if as_json:
        print_json(
            {
                "rows": _numbers(rewritten),
                "other_ids": others,
                "builds": builds,
                "files_removed": purged,
                "flagged_models": flagged,
                "failures": failures,
                "rows_left": _numbers(left),
                "not_removed": [asdict(one) for one in remains],
            }
        )
    if not is_done:
        raise click.exceptions.Exit(1)


def _check_ids(deployment: Deployment, users: tuple[str, ...]) -> list[str]:
    """The ids as the tables hold them; Failure where one can be none."""
    return [str(read_id(deployment.source, "user_id", user)) for user in users]


def _repair_all(
    deployment: Deployment, instance: "dg.DagsterInstance", *, checks: bool, console: Console
) -> list[Built]:
    """Rebuild what is stale until nothing is asked for."""
    builds: list[Built] = []
    while (found := look(deployment, instance)).plan.requests:
        for request in found.plan.requests:
            builds.append(repair(found, request, instance=instance, checks=checks, console=console))
    return builds


def _retrain(
    days: list[dt.date], instance: "dg.DagsterInstance", *, checks: bool, console: Console
) -> list[str]:
    """Models, indexes and reports of those days again; what failed."""
    from convcg_assets.commands.materialize import explain_failures, materialize

    failures: list[str] = []
    for day in days:
        for table in MODEL_TABLES:
            say(console, f"{table} {day} ...", style="dim")
            result = materialize([table], Days(day, day), instance=instance, checks=checks)
            if not result.success:
                failures += explain_failures(result)
                break
    for failure in failures:
        say(console, failure, style="red")
    return failures


def _say_rows(found: dict[str, NumRows], *, console: Console) -> None:
    if not found:
        say(console, "no table of the lake holds a row of theirs")
    for table, days in found.items():
        say(console, f"{table}: {sum(days.values()):,} rows on {len(days)} days")


def _numbers(found: dict[str, NumRows]) -> dict[str, Any]:
    return {table: {str(day): num for day, num in days.items()} for table, days in found.items()}
