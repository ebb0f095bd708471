"""The main job from the command line: all stages for all landed days, then the model of day T.

    python -m convcg_assets.commands.main_job

runs in this process on the instance that `DAGSTER_HOME` names, so that `dagster dev` on the same
home shows what was built. What each stage does belongs to `defs/`.
"""

import argparse
import datetime as dt
import json
import re
import time
from collections.abc import Mapping, Sequence

import dagster as dg
from rich.console import Console
from rich.table import Table

from convcg_assets.days import Days
from convcg_assets.deployment import Deployment, current_deployment
from convcg_assets.tables.registry import TABLES

MODULE = re.compile(r"^[a-z_]+(\.[a-z_]+)*\.(?=[A-Z])")
"""The module that an error's message begins with."""

Stage = tuple[str, dg.AssetSelection, str]
STAGES: tuple[Stage, ...] = (
    ("raw events", dg.AssetSelection.groups("raw_events"), "logs"),
    ("attribution", dg.AssetSelection.assets("attributed_conversions"), "logs"),
    (
        "conversion delay",
        dg.AssetSelection.assets("conversion_delay", "label_maturity"),
        "features",
    ),
    ("labels", dg.AssetSelection.groups("labels"), "logs"),
    ("hard negatives", dg.AssetSelection.groups("negatives"), "logs"),
    ("features", dg.AssetSelection.groups("features"), "features"),
    ("training examples", dg.AssetSelection.assets("training_examples"), "model"),
    ("two-tower model", dg.AssetSelection.assets("two_tower_checkpoint"), "model"),
    ("Pin index", dg.AssetSelection.groups("retrieval"), "model"),
    ("evaluation", dg.AssetSelection.groups("evaluation"), "model"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all stages; 1 where one fails."""
    parser = argparse.ArgumentParser(
        prog="python -m convcg_assets.commands.main_job", description=__doc__
    )
    parser.add_argument("--first-day", type=dt.date.fromisoformat, help="first day of the logs")
    parser.add_argument("--last-day", type=dt.date.fromisoformat, help="last day of the logs")
    parser.add_argument(
        "--stages", nargs="+", choices=[name for name, *_ in STAGES], help="only these stages"
    )
    parser.add_argument("--no-checks", action="store_true", help="leave out data-quality checks")
    parser.add_argument(
        "--config",
        type=json.loads,
        default={},
        help='run config as JSON: {"ops": {"two_tower_checkpoint": {"config": {...}}}}',
    )
    options = parser.parse_args(arguments)
    deployment = current_deployment()
    config = asset_config(options.config)
    last = options.last_day or deployment.source.last_day or newest_landed_day(deployment)
    days = Days(options.first_day or deployment.source.first_day, last)
    stages = [stage for stage in STAGES if not options.stages or stage[0] in options.stages]
    return run_stages(deployment, days, stages=stages, config=config, checks=not options.no_checks)


def load_definitions() -> dg.Definitions:
    """The code location, imported late: a fault of the source is then told, not traced."""
    from convcg_assets.definitions import defs

    return defs


def asset_config(config: dict) -> dict:
    """The part of a run config below `ops`; ValueError where it names no asset."""
    graph = load_definitions().resolve_asset_graph()
    known = {key.to_user_string() for key in graph.get_all_asset_keys()}
    ops = config.get("ops", config)
    for name in ops:
        if name not in known:
            raise ValueError(f"--config: no asset {name!r}; assets are {', '.join(sorted(known))}")
    return ops


def check_length(deployment: Deployment, days: Days) -> None:
    """ValueError where the holdout leaves no day to learn from."""
    holdout = deployment.settings.examples.holdout_days
    if len(days) <= holdout:
        raise ValueError(
            f"logs of {days} are {len(days)} days, and the last {holdout} of them are the holdout "
            "(examples.holdout_days): nothing is left to learn from. Land more days, or lower it "
            "in the file that CONVCG_SETTINGS names"
        )


def newest_landed_day(deployment: Deployment) -> dt.date:
    """The newest day that any stream's landing folder holds; ValueError if none does."""
    folders = [
        path.name.removeprefix("dt=")
        for name in type(deployment.source.streams).model_fields
        if (stream := deployment.source.stream(name)) is not None
        for path in (deployment.source.landing / (stream.path or name)).glob("dt=*")
    ]
    if not folders:
        raise ValueError(
            f"nothing has landed below {deployment.source.landing} for {deployment.source_file}: "
            "land logs there, name another source file in CONVCG_SOURCE, or run `make demo`"
        )
    return dt.date.fromisoformat(max(folders))


def run_stages(
    deployment: Deployment,
    days: Days,
    *,
    stages: Sequence[Stage],
    config: dict,
    checks: bool = True,
) -> int:
    """Run stages for the logs of `days` and the model of the day after; prints progress."""
    console = Console()
    if any(kind == "model" for *_, kind in stages):
        check_length(deployment, days)
    model_day = days.last + dt.timedelta(days=1)
    ranges = {
        "logs": days,
        "features": Days(min(days.first + dt.timedelta(days=1), model_day), model_day),
        "model": Days(model_day, model_day),
    }
    console.print(f"[bold]{deployment.source.name}[/]: logs of {days}, model of {model_day}")
    started = time.perf_counter()
    with dg.DagsterInstance.get() as instance:
        for number, (name, selection, kind) in enumerate(stages, 1):
            stage_days = ranges[kind]
            title = f"[{number}/{len(stages)}] {name:<18} {stage_days}"
            begun = time.perf_counter()
            console.print(f"{title} ...", style="dim", highlight=False)
            result = materialize(
                selection, stage_days, instance=instance, config=config, checks=checks
            )
            seconds = time.perf_counter() - begun
            if not result.success:
                console.print(f"{title} [red]failed[/] after {seconds:.1f} s", highlight=False)
                for failure in explain_failures(result):
                    console.print(failure, style="red", highlight=False, markup=False)
                return 1
            rows = ", ".join(f"{k} {v:,}" for k, v in materialized_rows(result).items())
            console.print(f"{title} [green]{seconds:5.1f} s[/]  {rows}", highlight=False)
            for warning in explain_checks(result):
                console.print(
                    f"  warning: {warning}", style="yellow", highlight=False, markup=False
                )
    if stages[-1] is STAGES[-1]:
        print_outcome(deployment, model_day, console=console)
    console.print(f"{time.perf_counter() - started:.0f} s in all")
    return 0


def materialize(
    selection: dg.AssetSelection,
    days: Days,
    *,
    instance: dg.DagsterInstance,
    config: dict,
    checks: bool,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Materialise a selection for a range of days in one run, with or without its checks."""
    from convcg_assets.defs.jobs import WATCH_CHECKS

    defs = load_definitions()
    job = defs.resolve_implicit_global_asset_job_def()
    graph = defs.resolve_asset_graph()
    keys = selection.resolve(graph)
    chosen = {
        check
        for check in (selection.resolve_checks(graph) if checks else set())
        if check.name not in WATCH_CHECKS
    }
    return job.get_subset(asset_selection=keys, asset_check_selection=chosen).execute_in_process(
        instance=instance,
        run_config={
            "ops": {k: v for k, v in config.items() if dg.AssetKey(k) in keys},
            # Progress is printed here, and the event log keeps the rest.
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        tags={
            **(tags or {}),
            "dagster/asset_partition_range_start": str(days.first),
            "dagster/asset_partition_range_end": str(days.last),
        },
        raise_on_error=False,
    )


def materialized_rows(result: dg.ExecuteInProcessResult) -> dict[str, int]:
    """Rows per table that a run wrote."""
    rows = {}
    for event in result.get_asset_materialization_events():
        metadata = event.materialization.metadata
        if "rows" in metadata:
            rows[event.materialization.asset_key.to_user_string()] = metadata["rows"].value
    return rows


def explain_failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """What a person needs to know of a failed run: the error itself, the failed checks."""
    failures = []
    for event in result.filter_events(lambda e: e.is_step_failure):
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        said = error.message.strip() if error else "failed"
        failures.append(f"{event.step_key}: {MODULE.sub('', said)}")
    return failures + explain_checks(result)


def explain_checks(result: dg.ExecuteInProcessResult) -> list[str]:
    """The checks that failed, warnings included, each with what it found."""
    return [
        f"{check.asset_key.to_user_string()}: {check.check_name}: {check.description or 'failed'}"
        for check in result.get_asset_check_evaluations()
        if not check.passed
    ]


def print_outcome(deployment: Deployment, day: dt.date, *, console: Console) -> None:
    """What came out: rows by stage, recall of the model beside the baselines, and the report."""
    folder = deployment.reports / f"dt={day}"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    rows = Table("table", "rows", title="Rows by stage")
    for table in TABLES:
        rows.add_row(table, f"{report['context']['row_counts'].get(table, 0):,}")
    console.print(rows)
    from convcg_assets.defs.evaluation import headline_rows

    for task in ("conversion", "engagement"):
        chosen = [row for row in headline_rows(report) if row["task"] == task]
        if not chosen:
            continue
        metrics = [m for m in chosen[0] if m not in ("task", "Pins", "scorer", "queries")]
        counts = {row["Pins"]: row["queries"] for row in chosen}
        asked = ", ".join(f"{number:,} for {pins} Pins" for pins, number in counts.items())
        figures = Table(title=f"Held-out {task} queries: {asked}")
        for column in ("Pins", "scorer", *metrics):
            figures.add_column(column, no_wrap=True)
        for row in chosen:
            named = "ceiling" if row["scorer"] == "oracle" else row["scorer"]
            figures.add_row(row["Pins"], named, *(f"{row[m]:.3f}" for m in metrics))
        console.print(figures)
    console.print("Report to open:", style="bold")
    console.print(str(folder / "report.html"), soft_wrap=True, highlight=False)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
