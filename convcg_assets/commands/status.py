"""`convcg status`: which days are stale, and why."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from convcg_assets.builds.forget import flagged_models
from convcg_assets.builds.reach import Reach, find_reach
from convcg_assets.builds.status import Status, read_status
from convcg_assets.commands.console import json_option, open_console, print_json, say
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment, current_deployment
from convcg_assets.tables.raw import RAW, RAW_TABLES
from convcg_assets.tables.table import DAY

if TYPE_CHECKING:
    import dagster as dg

SHOWN_REASONS = 3
UP_TO_DATE = "All partitions are up to date"


@click.command()
@click.option("--plan", "with_plan", is_flag=True, help="Also say how far a repair would reach.")
@json_option
def command(with_plan: bool, as_json: bool) -> None:
    """Say which days are stale, and why.

    It changes nothing, and sees what the sensors of `dagster dev` see. Per table: the days that
    are built; of those that ought to be there the stale ones, which differ from what their inputs
    and settings give now; and of these the ones that a run is building, that wait for another
    table, or that were given up after three failed attempts.

    With --plan also the days that `convcg repair` would build: those that are stale, and those that
    read what these may change. Of the latter a day is built only if what it reads has changed.

    \b
    Example:
      convcg status
      convcg status --plan
      convcg status --json
    """
    from convcg_assets.commands.instance import open_instance

    deployment = current_deployment()
    with open_instance(deployment) as instance:
        found = look(deployment, instance)
        reach = find_reach(found) if with_plan else None
        if as_json:
            plan = {"plan": describe_reach(found, reach)} if reach else {}
            print_json(describe_status(found) | plan)
        else:
            print_status(found, console=open_console())
            if reach:
                print_reach(found, reach, console=open_console())


def look(
    deployment: Deployment, instance: "dg.DagsterInstance", *, due: Iterable[dt.date] = ()
) -> Status:
    """What the sensors would see now."""
    from convcg_assets.commands.materialize import load_definitions

    load_definitions()
    from convcg_assets.defs.runs import InstanceRuns

    return read_status(deployment, runs=InstanceRuns(instance, home=deployment.home), due=due)


def describe_status(found: Status) -> dict[str, Any]:
    """What was found, as `--json` prints it."""
    tables = {}
    for name, stale in found.staleness.stale.items():
        plan = found.plan
        tables[name] = {
            "built": len(_built(found, name)),
            "stale": [str(day) for day in sorted(stale)],
            "why": {str(days): found.why(name, days.first) for days in ranges(stale)},
            "running": [str(day) for day in sorted(plan.running[name])],
            "waiting": {str(day): why for day, why in sorted(plan.waiting[name].items())},
            "given_up": {str(day): why for day, why in sorted(plan.given_up[name].items())},
        }
    not_ready = {str(day): why for day, why in found.staleness.not_ready.items()}
    return {"tables": tables, "not_ready": not_ready, "up_to_date": is_up_to_date(found)}


def describe_reach(found: Status, reach: Reach) -> dict[str, Any]:
    """How far a repair reaches, as `--json` prints it."""
    return {
        table: {
            "stale": [str(day) for day in sorted(reach.stale[table])],
            "may_follow": [str(day) for day in sorted(reach.may_follow[table])],
            "bytes_held": _bytes_held(found, table, reach.days(table)),
        }
        for table in reach.stale
        if reach.days(table)
    }


def print_reach(found: Status, reach: Reach, *, console: Console) -> None:
    """Per table the days that a repair builds, and what they hold now."""
    table = Table(
        "table", "stale", "may follow", "MB held now", title="A repair would build at most"
    )
    for name in (name for name in reach.stale if reach.days(name)):
        megabytes = _bytes_held(found, name, reach.days(name)) / 1e6
        counts = f"{len(reach.stale[name]):,}", f"{len(reach.may_follow[name]):,}"
        table.add_row(name, *counts, f"{megabytes:,.1f}")
    console.print(table)
    for name in (name for name in reach.stale if reach.days(name)):
        listed = [str(days) for days in ranges(reach.days(name))]
        more = f" and {len(listed) - SHOWN_REASONS} more" if len(listed) > SHOWN_REASONS else ""
        say(console, f"{name}: {', '.join(listed[:SHOWN_REASONS])}{more}")


def _bytes_held(found: Status, table: str, days: Iterable[dt.date]) -> int:
    """What the lake holds of days, of all raw tables for these; of an artifact nothing."""
    tables = RAW_TABLES if table == RAW else (table,)
    versions = [found.state[name].version for name in tables]
    sizes = [(v.sizes.get(path, 0) for path in v.of(days)) for v in versions if v is not None]
    return sum(sum(of) for of in sizes)


def is_up_to_date(found: Status) -> bool:
    """Whether no day is stale."""
    return not any(found.staleness.stale.values())


def print_status(found: Status, *, console: Console) -> None:
    """Per table what differs, and of some days why."""
    table = Table("table", "built", "stale", "running", "waiting", "given up", title="Days")
    for name, stale in found.staleness.stale.items():
        counts = (found.plan.running[name], found.plan.waiting[name], found.plan.given_up[name])
        numbers = (len(days) for days in (_built(found, name), stale, *counts))
        table.add_row(name, *(f"{number:,}" for number in numbers))
    console.print(table)
    for day, why in found.staleness.not_ready.items():
        say(console, f"logs of {day} are not complete: {why}")
    for name, stale in found.staleness.stale.items():
        found_ranges = ranges(stale)
        for days in found_ranges[:SHOWN_REASONS]:
            say(console, f"{name} {days}: {found.why(name, days.first)}")
        if len(found_ranges) > SHOWN_REASONS:
            say(console, f"{name}: and {len(found_ranges) - SHOWN_REASONS} more ranges of days")
    print_waiting(found, console=console)
    say_flagged(found.deployment, console=console)
    if found.staleness.logs is None and not found.landed:
        source = found.deployment.source
        say(console, f"nothing has landed below {source.landing}: `convcg demo` lands a world")
    if is_up_to_date(found):
        say(console, UP_TO_DATE, style="green")


def say_flagged(deployment: Deployment, *, console: Console) -> None:
    """The models that learned from somebody who has been forgotten since."""
    for day in flagged_models(deployment):
        text = f"model of {day}: trained on people who were forgotten; convcg forget --retrain"
        say(console, text, style="red")


def print_waiting(found: Status, *, console: Console) -> None:
    """The days that were given up, and what others wait for."""
    for name, days in found.plan.given_up.items():
        for day, said in sorted(days.items()):
            say(console, f"{name} {day}: {said}", style="red")
    for name, waits in found.plan.waiting.items():
        for day, why in sorted(waits.items())[:SHOWN_REASONS]:
            say(console, f"{name} {day}: {why}", style="yellow")


def ranges(days: Iterable[dt.date] | Mapping[dt.date, object]) -> list[Days]:
    """Contiguous days together."""
    groups: list[Days] = []
    for day in sorted(days):
        if groups and groups[-1].last + DAY == day:
            groups[-1] = Days(groups[-1].first, day)
        else:
            groups.append(Days(day, day))
    return groups


def _built(found: Status, table: str) -> set[dt.date]:
    """Days that are there, whether or not they are stale."""
    if table != RAW:
        return found.state[table].built_days()
    raw = [name for name in RAW_TABLES if name in found.deployment.tables]
    return set.intersection(*(found.state[name].built_days() for name in raw))
