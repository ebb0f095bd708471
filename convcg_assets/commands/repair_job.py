"""Repairs from the command line: which days differ and why, and their rebuild without a daemon.

    python -m convcg_assets.commands.repair_job --dry-run

prints what the sensors of `dagster dev` would see; without the option it reads what has landed and
rebuilds what differs, in this process. What differs is found in `repair/`.
"""

import argparse
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg
from rich.console import Console
from rich.table import Table

from convcg_assets.builds.plan import Request
from convcg_assets.builds.retrain import due_days, next_step
from convcg_assets.builds.status import Status, read_status
from convcg_assets.commands.main_job import explain_failures, load_definitions, materialize
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment, current_deployment
from convcg_assets.tables.raw import RAW, RAW_TABLES
from convcg_assets.tables.registry import MODEL_TABLES
from convcg_assets.tables.table import DAY

SHOWN_REASONS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what differs, and repair it; 1 where a day is left that differs and does not wait."""
    parser = argparse.ArgumentParser(
        prog="python -m convcg_assets.commands.repair_job", description=__doc__
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what differs and why")
    parser.add_argument("--retrain", action="store_true", help="also train the models that are due")
    parser.add_argument("--no-checks", action="store_true", help="leave out data-quality checks")
    options = parser.parse_args(arguments)
    deployment, console = current_deployment(), Console()
    with dg.DagsterInstance.get() as instance:
        found = look(deployment, instance)
        print_status(found, console=console)
        if options.dry_run:
            return 0
        while found.plan.requests:
            for request in found.plan.requests:
                result = repair(found, request, instance=instance, checks=not options.no_checks)
                style, said = ("green", "rebuilt") if result.success else ("red", "failed")
                line = f"{request.table} {request.days} {said}"
                console.print(line, style=style, highlight=False)
            found = look(deployment, instance)
        if options.retrain:
            retrain(deployment, instance, console=console, checks=not options.no_checks)
            found = look(deployment, instance)
        return print_rest(found, console=console)


def look(
    deployment: Deployment, instance: dg.DagsterInstance, *, due: Iterable[dt.date] = ()
) -> Status:
    """What the sensors would see now."""
    load_definitions()
    from convcg_assets.defs.runs import InstanceRuns

    return read_status(deployment, runs=InstanceRuns(instance, home=deployment.home), due=due)


def repair(
    found: Status, request: Request, *, instance: dg.DagsterInstance, checks: bool
) -> dg.ExecuteInProcessResult:
    """Answer one request by a run in this process; a failure is printed by what is left."""
    from convcg_assets.defs.runs import run_tags

    request.record(found.deployment.ledger)
    tables = RAW_TABLES if request.table == RAW else (request.table,)
    result = materialize(
        dg.AssetSelection.assets(*tables),
        request.days,
        instance=instance,
        config={},
        checks=checks,
        tags=run_tags(request),
    )
    for failure in [] if result.success else explain_failures(result):
        Console(stderr=True).print(failure, style="red", highlight=False, markup=False)
    return result


def retrain(
    deployment: Deployment, instance: dg.DagsterInstance, *, console: Console, checks: bool
) -> None:
    """Train the models that are due and whose logs are complete."""
    from convcg_assets.defs.runs import run_tags

    for day in due_days(deployment):
        found = look(deployment, instance, due=[day])
        step = next_step(found, day)
        if isinstance(step, str):
            console.print(f"model of {day}: {step}", highlight=False)
            continue
        console.print(f"model of {day} ...", style="dim", highlight=False)
        request = step.of_day(day)
        request.record(deployment.ledger)
        for table in MODEL_TABLES:
            result = materialize(
                dg.AssetSelection.assets(table),
                Days(day, day),
                instance=instance,
                config={},
                checks=checks,
                tags=run_tags(request),
            )
            if not result.success:
                for failure in explain_failures(result):
                    console.print(failure, style="red", highlight=False, markup=False)
                break


def print_status(found: Status, *, console: Console) -> None:
    """Per table what differs, and of some days why."""
    table = Table("table", "days", "stale", "running", "waiting", "given up", title="Days")
    for name, stale in found.staleness.stale.items():
        built = found.landed if name == RAW else found.state[name].built_days()
        counts = (found.plan.running[name], found.plan.waiting[name], found.plan.given_up[name])
        table.add_row(name, *(str(len(days)) for days in (built, stale, *counts)))
    console.print(table)
    for day, why in found.staleness.not_ready.items():
        console.print(f"logs of {day} are not complete: {why}", highlight=False, markup=False)
    for name, stale in found.staleness.stale.items():
        for days in ranges(stale)[:SHOWN_REASONS]:
            why = found.why(name, days.first)
            console.print(f"{name} {days}: {why}", highlight=False, markup=False)


def print_rest(found: Status, *, console: Console) -> int:
    """What still differs after the repair, and why; 1 where something was given up."""
    num_given_up = 0
    for name, days in found.plan.given_up.items():
        num_given_up += len(days)
        for day, said in sorted(days.items()):
            console.print(f"{name} {day}: {said}", style="red", highlight=False, markup=False)
    for name, waits in found.plan.waiting.items():
        for day, why in sorted(waits.items())[:SHOWN_REASONS]:
            console.print(f"{name} {day}: {why}", style="yellow", highlight=False, markup=False)
    if not any(found.staleness.stale.values()):
        console.print("every day is what it would be if it were built now", style="green")
    return 1 if num_given_up else 0


def ranges(days: Mapping[dt.date, object]) -> list[Days]:
    """Contiguous days together."""
    groups: list[Days] = []
    for day in sorted(days):
        if groups and groups[-1].last + DAY == day:
            groups[-1] = Days(groups[-1].first, day)
        else:
            groups.append(Days(day, day))
    return groups


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
