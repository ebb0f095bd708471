"""`convcg run`: all steps for the landed days, then the model of the day after.

It runs in this process. What a step does belongs to `defs/`; which there are, to `steps.py`.
"""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console

from convcg_assets.builds.raw import explain_failed
from convcg_assets.builds.state import load_state
from convcg_assets.commands.console import (
    Failure,
    begin,
    json_option,
    open_console,
    print_json,
    say,
)
from convcg_assets.commands.options import DAY, RUN_CONFIG
from convcg_assets.commands.outcome import (
    print_headline,
    print_page,
    read_report,
    report_page,
)
from convcg_assets.commands.steps import STEPS, Step, check_length, choose_steps, log_days, there
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment, current_deployment
from convcg_assets.tables.raw import RAW_TABLES

INDENT = " " * 8
"""Of what belongs to a step, below its line."""
Outcome = dict[str, Any]
"""What a run came to, as `--json` prints it."""


@click.command(epilog=f"In this order: {', '.join(step.name for step in STEPS)}.")
@click.option("--first-day", type=DAY, help="First day of the logs.  [default: the source's]")
@click.option(
    "--last-day", type=DAY, help="Last day of the logs.  [default: the source's, or the newest]"
)
@click.option(
    "--only", multiple=True, metavar="TABLE", help="Only this of the steps below; may be repeated."
)
@click.option("--no-checks", is_flag=True, help="Leave out the data-quality checks.")
@click.option("--config", type=RUN_CONFIG, default="{}", help="Settings of model and index.")
@json_option
def command(
    first_day: dt.date | None,
    last_day: dt.date | None,
    only: tuple[str, ...],
    no_checks: bool,
    config: dict[str, Any],
    as_json: bool,
) -> None:
    """Build every table, the model, its index and its report from the landed logs.

    The logs are those that CONVCG_SOURCE describes; the model is that of the day after the last of
    them. What is there already is built again: `convcg repair` builds what is stale alone.

    \b
    Example:
      convcg run
      convcg run --last-day 2026-01-31 --only training_examples --only two_tower_checkpoint
      convcg run --config '{"two_tower_checkpoint": {"config": {"training": {"epochs": 8}}}}'
    """
    steps = _check_usage(only, config)
    deployment = current_deployment()
    logs = log_days(deployment, first=first_day, last=last_day)
    console = open_console(as_json=as_json)
    outcome = run_steps(
        deployment, logs, steps=steps, config=config, checks=not no_checks, console=console
    )
    if as_json:
        print_json(outcome)
    if outcome["failed_days"]:
        failed = {dt.date.fromisoformat(d): why for d, why in outcome["failed_days"].items()}
        raise Failure(explain_failed(failed, logs))


def _check_usage(only: Sequence[str], config: Mapping[str, Any]) -> list[Step]:
    """The chosen steps; wrong usage where a name is none."""
    option = "--only"
    try:
        steps = choose_steps(only)
        option = "--config"
        choose_steps(config)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
    return steps


def run_steps(
    deployment: Deployment,
    logs: Days,
    *,
    steps: Sequence[Step],
    config: Mapping[str, Any],
    checks: bool,
    console: Console,
) -> Outcome:
    """Run steps for the logs of some days, with a line of progress before and after each.

    Days that cannot be read do not hold up the others: they are `failed_days` of the outcome, and
    what comes after is built of the logs that the lake holds. Raises Failure with what a failed
    step said, ValueError where the logs are too short.
    """
    from convcg_assets.commands.instance import open_instance
    from convcg_assets.commands.materialize import check_config

    if any(step.domain == "models" for step in steps):
        check_length(deployment.settings, logs)
    for name, given in config.items():
        check_config(name, given)
    model_day = logs.last + dt.timedelta(days=1)
    console.print(f"[bold]{deployment.source.name}[/]: logs of {logs}, model of {model_day}")
    started, steps = time.perf_counter(), there(steps, deployment)
    outcome: Outcome = {
        "source": deployment.source.name,
        "first_day": logs.first,
        "last_day": logs.last,
        "model_day": model_day,
        "failed_days": {},
        "steps": [],
        "report": None,
    }
    with open_instance(deployment) as instance:
        for number, step in enumerate(steps, 1):
            done, failed = _run_step(
                step,
                step.days(logs),
                place=f"[{number}/{len(steps)}]",
                instance=instance,
                config={k: v for k, v in config.items() if k == step.name},
                checks=checks,
                console=console,
            )
            outcome["steps"].append(done)
            if failed:
                outcome["failed_days"] = {str(day): why for day, why in failed.items()}
                logs = _logs_in_lake(deployment, logs)
                model_day = logs.last + dt.timedelta(days=1)
                outcome |= {"last_day": logs.last, "model_day": model_day}
                if any(step.domain == "models" for step in steps):
                    check_length(deployment.settings, logs)
    if steps[-1] == STEPS[-1]:
        print_headline(read_report(deployment, model_day), console=console)
        print_page(deployment, model_day, console=console)
        outcome["report"] = report_page(deployment, model_day)
    seconds = time.perf_counter() - started
    say(console, f"{seconds:.0f} s in all")
    return outcome | {"seconds": round(seconds, 1)}


def _logs_in_lake(deployment: Deployment, logs: Days) -> Days:
    """From the first to the last of those days whose logs are in the lake."""
    state = load_state(
        RAW_TABLES, lake=deployment.lake, ledger=deployment.ledger, home=deployment.home
    )
    first, last = state.log_days()
    return Days(max(first, logs.first), min(last, logs.last))


def _run_step(
    step: Step,
    days: Days,
    *,
    place: str,
    instance: Any,
    config: Mapping[str, Any],
    checks: bool,
    console: Console,
) -> tuple[Outcome, dict[dt.date, str]]:
    """What a step came to, and the days whose logs it could not read."""
    from convcg_assets.commands.materialize import (
        explain_failures,
        failed_days,
        failed_days_alone,
        find_failed,
        left_out_files,
        materialize,
        materialized_rows,
        said_in_short,
    )

    title = f"{place:>7} {step.name:<22} {days}"
    begun = time.perf_counter()
    begin(console, f"{title} ...")
    result = materialize(step.assets, days, instance=instance, config=config, checks=checks)
    seconds = time.perf_counter() - begun
    failed = failed_days(result)
    if not result.success and not failed_days_alone(result):
        say(console, f"{title} failed after {seconds:.1f} s", style="red")
        raise Failure("\n".join(explain_failures(result)))
    rows, short = materialized_rows(result), said_in_short(result)
    left_out = left_out_files(result)
    found = [
        finding
        for finding in find_failed(result.get_asset_check_evaluations())
        if not (failed and finding.is_error)
    ]
    counts = ", ".join(
        f"{count:,} rows" if (table,) == step.assets else f"{table} {count:,}"
        for table, count in rows.items()
    )
    say(console, f"{title} {seconds:5.1f} s  {counts}".rstrip(), style="green")
    for line in short:
        say(console, f"{INDENT}{line}", style="dim")
    for finding in found:
        first, *table = finding.lines
        say(console, f"{INDENT}warning: {first}", style="yellow")
        for line in table:
            say(console, f"{INDENT}{line}")
    for line in left_out:
        say(console, f"{INDENT}{line}", style="yellow")
    for day, why in failed.items():
        say(console, f"{INDENT}{day} cannot be read: {why}", style="red")
    outcome = {
        "step": step.name,
        "first_day": days.first,
        "last_day": days.last,
        "seconds": round(seconds, 1),
        "rows": rows,
        "left_out_files": left_out,
        "in_short": short,
        "warnings": [finding.said for finding in found],
    }
    return outcome, failed
