"""`convcg repair`: reads what has landed and rebuilds what is stale, without a daemon.

Which days those are is found in `builds/`; the sensors of `dagster dev` do the same by themselves.
"""

import datetime as dt
import time
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from convcg_assets.builds.plan import Request
from convcg_assets.builds.reach import find_reach
from convcg_assets.builds.retrain import due_days, next_step
from convcg_assets.builds.status import Status
from convcg_assets.commands.console import json_option, open_console, print_json, say
from convcg_assets.commands.status import (
    UP_TO_DATE,
    describe_status,
    is_up_to_date,
    look,
    print_status,
    print_waiting,
)
from convcg_assets.commands.steps import raw_assets
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment, current_deployment
from convcg_assets.tables.raw import RAW
from convcg_assets.tables.registry import MODEL_TABLES

if TYPE_CHECKING:
    import dagster as dg

Built = dict[str, Any]
"""One build, as `--json` prints it."""


@click.command()
@click.option("--retrain", is_flag=True, help="Also train the models that are due.")
@click.option("--no-checks", is_flag=True, help="Leave out the data-quality checks.")
@json_option
def command(retrain: bool, no_checks: bool, as_json: bool) -> None:
    """Read what has landed and rebuild the days that are stale.

    What waits for another day is built after it; a day that fails is tried three times and then
    given up until its inputs change. Exit status 1 if a day is left stale that no other run is
    about to build, or if a model failed.

    \b
    Example:
      convcg simulate late-file
      convcg repair
      convcg repair --retrain
    """
    from convcg_assets.commands.instance import open_instance

    deployment, console = current_deployment(), open_console(as_json=as_json)
    with open_instance(deployment) as instance:
        found = look(deployment, instance)
        print_status(found, console=console)
        reach, done = find_reach(found), set[tuple[str, dt.date]]()
        builds: list[Built] = []
        while found.plan.requests:
            for request in found.plan.requests:
                done |= {(request.table, day) for day in request.days}
                builds.append(
                    repair(found, request, instance=instance, checks=not no_checks, console=console)
                )
            found = look(deployment, instance)
        if builds:
            reached = {(table, day) for table in reach.stale for day in reach.days(table)}
            say(console, f"{len(done):,} days of tables built, of {len(reached):,} within reach")
        models: list[Built] = []
        if retrain:
            models = retrain_models(
                deployment, instance=instance, checks=not no_checks, console=console
            )
            found = look(deployment, instance)
        if builds or models:
            print_waiting(found, console=console)
            if is_up_to_date(found):
                say(console, UP_TO_DATE, style="green")
        if as_json:
            print_json({"builds": builds, "models": models, **describe_status(found)})
    is_left = not is_up_to_date(found) and (
        found.plan.is_settled or any(found.plan.given_up.values())
    )
    if is_left or any(model["failures"] for model in models):
        raise click.exceptions.Exit(1)


def repair(
    found: Status,
    request: Request,
    *,
    instance: "dg.DagsterInstance",
    checks: bool,
    console: Console,
) -> Built:
    """Answer one request by a run in this process."""
    request.record(found.deployment.ledger)
    tables = raw_assets(found.deployment) if request.table == RAW else (request.table,)
    return _build(
        request.table,
        tables,
        request,
        days=request.days,
        instance=instance,
        checks=checks,
        console=console,
    )


def retrain_models(
    deployment: Deployment, *, instance: "dg.DagsterInstance", checks: bool, console: Console
) -> list[Built]:
    """Train the models that are due and whose logs are complete; of a failed one no more is built.

    What a model that is not trained waits for is said.
    """
    models: list[Built] = []
    for day in due_days(deployment):
        found = look(deployment, instance, due=[day])
        step = next_step(found, day)
        if isinstance(step, str):
            say(console, f"model of {day}: {step}")
            models.append({"table": "two_tower_checkpoint", "days": str(day), "waits": step})
            models[-1]["failures"] = []
            continue
        request = step.of_day(day)
        request.record(deployment.ledger)
        for table in MODEL_TABLES:
            models.append(
                _build(
                    table,
                    (table,),
                    request,
                    days=Days(day, day),
                    instance=instance,
                    checks=checks,
                    console=console,
                )
            )
            if models[-1]["failures"]:
                break
    return models


def _build(
    name: str,
    tables: tuple[str, ...],
    request: Request,
    *,
    days: Days,
    instance: "dg.DagsterInstance",
    checks: bool,
    console: Console,
) -> Built:
    from convcg_assets.commands.materialize import explain_failures, materialize
    from convcg_assets.defs.runs import run_tags

    say(console, f"{name} {days} ...", style="dim")
    begun = time.perf_counter()
    result = materialize(tables, days, instance=instance, checks=checks, tags=run_tags(request))
    seconds = round(time.perf_counter() - begun, 1)
    failures = [] if result.success else explain_failures(result)
    style, said = ("green", "built") if result.success else ("red", "failed")
    say(console, f"{name} {days} {said} in {seconds} s", style=style)
    for failure in failures:
        say(console, failure, style="red")
    return {"table": name, "days": str(days), "seconds": seconds, "failures": failures}
