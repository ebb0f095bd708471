"""What runs by itself: logs that land are read, days that differ are rebuilt, models are retrained.

Level-triggered: each sensor looks at what is there, not at what has happened, so that nothing is
lost by a daemon that was stopped, a failure or two evaluations at once. What differs and what waits
is found in `repair/`, also for the command line.
"""

import json
from collections.abc import Iterable

import dagster as dg

from convcg_assets.builds.cleanup import clean
from convcg_assets.builds.plan import Request
from convcg_assets.builds.retrain import due_days, next_step
from convcg_assets.builds.served_files import remove_old_features
from convcg_assets.builds.status import Status, read_status
from convcg_assets.defs.alerting import alerts
from convcg_assets.defs.days_apart import days_apart, group, run_request
from convcg_assets.defs.jobs import (
    GIVEN_UP_CHECK,
    NEWEST_DAY_CHECK,
    RETRAIN,
    WATCHED,
    job_name,
    jobs,
)
from convcg_assets.defs.refreshing import is_due, refresh
from convcg_assets.defs.registry import Registry
from convcg_assets.defs.run_log import quiet_console
from convcg_assets.defs.runs import InstanceRuns, run_tags
from convcg_assets.defs.watch_checks import given_up_evaluation
from convcg_assets.deployment import Deployment, current_deployment
from convcg_assets.tables.raw import RAW

TICK_S = 15
_RUNNING = dg.DefaultSensorStatus.RUNNING
_by_name = {job.name: job for job in jobs}


@dg.sensor(
    jobs=[_by_name[job_name(RAW)], days_apart],
    minimum_interval_seconds=TICK_S,
    default_status=_RUNNING,
    description="Reads the days whose log files are new, changed or removed, whichever day it is.",
)
def landed_logs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Requests a run for each range of days whose landed files differ from what was read."""
    deployment, runs = _open(context)
    found = read_status(deployment, runs=runs)
    requests = [request for request in found.plan.requests if request.table == RAW]
    not_ready = [f"{day}: {why}" for day, why in found.staleness.not_ready.items()]
    return _answer(
        context,
        found,
        requests,
        tables=[RAW],
        idle="; ".join(not_ready[:5]) or "the lake holds what has landed",
    )


@dg.sensor(
    jobs=[
        *(job for name, job in _by_name.items() if name not in (job_name(RAW), RETRAIN)),
        days_apart,
    ],
    minimum_interval_seconds=TICK_S,
    default_status=_RUNNING,
    description="Rebuilds exactly the days that are stale: after late logs, corrections, failures "
    "and crashes.",
)
def late_data(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Requests a run for each range of derived days that differ, once their inputs have settled."""
    deployment, runs = _open(context)
    found = read_status(deployment, runs=runs)
    requests = [request for request in found.plan.requests if request.table != RAW]
    return _answer(
        context, found, requests, tables=list(deployment.recipes), idle=_describe_waiting(found)
    )


@dg.sensor(
    job=_by_name[RETRAIN],
    minimum_interval_seconds=TICK_S,
    default_status=_RUNNING,
    description="From 06:00 UTC on trains the model of the day once yesterday's logs are complete, "
    "and the models of missed days; never twice on the same inputs.",
)
def daily_retrain(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Requests the retrain of the newest day that is due and ready, one at a time."""
    deployment, runs = _open(context)
    due = due_days(deployment)
    if not due:
        return dg.SensorResult(skip_reason=dg.SkipReason("every model that is due is there"))
    found = read_status(deployment, runs=runs, due=due)
    training = found.plan.running[RETRAIN_TABLE]
    if training:
        under_way = ", ".join(map(str, sorted(training)))
        return dg.SensorResult(skip_reason=dg.SkipReason(f"a model is being trained: {under_way}"))
    waits = []
    for day in due:
        step = next_step(found, day)
        if isinstance(step, str):
            waits.append(f"{day}: {step}")
            continue
        request = step.of_day(day)
        request.record(deployment.ledger)
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=request.key,
                    run_config=quiet_console(),
                    job_name=RETRAIN,
                    tags=run_tags(request),
                )
            ]
        )
    return dg.SensorResult(skip_reason=dg.SkipReason("; ".join(waits)))


RETRAIN_TABLE = "two_tower_checkpoint"
"""The one table of a retrain that takes long: one model is trained at a time."""

_newest_day_job = dg.define_asset_job(
    NEWEST_DAY_CHECK,
    selection=dg.AssetSelection.checks(
        dg.AssetCheckKey(dg.AssetKey("conversions"), NEWEST_DAY_CHECK)
    ),
    description="Whether the newest day of the logs is yesterday.",
)


@dg.op(
    description="Removes old files of the lake, never a version that a kept model was trained on."
)
def clean_lake(context: dg.OpExecutionContext) -> None:
    """Vacuum the lake and forget facts about files that are gone."""
    deployment = current_deployment()
    for done in clean(deployment):
        context.log.info(f"{done.table}: {done.num_files} files, {done.num_facts} facts removed")
    remove_old_features(deployment)
    gone = Registry(deployment).remove_old(keep=deployment.settings.promotion.keep_bundles)
    context.log.info(f"bundles of {len(gone)} registered models removed")


@dg.job(description="Housekeeping of the lake and its ledger.")
def maintenance() -> None:
    """Clean the lake."""
    clean_lake()


@dg.op(
    description="Embeds Pins that are new since the index that serves, and takes out those that "
    "left the catalogue.",
)
def refresh_pins(context: dg.OpExecutionContext) -> None:
    """Bring the Pins that serve up to date."""
    done = refresh(current_deployment())
    context.log.info(
        f"version {done.version}, catalogue of {done.catalogue_day}: {done.added} Pins came, "
        f"{done.removed} went"
    )


@dg.job(description="New and paused Pins for the server, between two trainings.")
def fresh_pins() -> None:
    """Refresh the Pins that serve."""
    refresh_pins()


@dg.sensor(
    job=fresh_pins,
    minimum_interval_seconds=4 * TICK_S,
    default_status=_RUNNING,
    description="Takes new and paused Pins into service once a catalogue is read, without a "
    "training.",
)
def new_catalogue(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Requests a refresh once for each catalogue and model in service."""
    key = is_due(current_deployment())
    if key is None:
        return dg.SensorResult(
            skip_reason=dg.SkipReason("no model serves, or no catalogue is read")
        )
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key, run_config=quiet_console())])


maintenance_schedule = dg.ScheduleDefinition(
    job=maintenance,
    run_config=quiet_console(),
    cron_schedule="0 3 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
newest_day_schedule = dg.ScheduleDefinition(
    name=f"{NEWEST_DAY_CHECK}_hourly",
    job=_newest_day_job,
    run_config=quiet_console(),
    cron_schedule="30 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
watch_jobs = [_newest_day_job, maintenance, fresh_pins, days_apart]
sensors = [landed_logs, late_data, daily_retrain, new_catalogue, alerts]
schedules = [newest_day_schedule, maintenance_schedule]


def _open(context: dg.SensorEvaluationContext) -> tuple[Deployment, InstanceRuns]:
    deployment = current_deployment()
    runs = InstanceRuns(context.instance, home=deployment.home)
    dead = runs.report_dead()
    if dead:
        context.log.warning(f"runs whose process has died: {', '.join(dead)}")
        runs = InstanceRuns(context.instance, home=deployment.home)
    return deployment, runs


def _answer(
    context: dg.SensorEvaluationContext,
    found: Status,
    requests: list[Request],
    *,
    tables: Iterable[str],
    idle: str,
) -> dg.SensorResult:
    """Run requests, or why there are none; and news of days that were given up."""
    for request in requests:
        request.record(found.deployment.ledger)
        context.log.info(
            f"{request.table} {request.days}: {found.why(request.table, request.days.first)}"
        )
    given_up = {table: sorted(map(str, found.plan.given_up[table])) for table in tables}
    news = []
    told = json.loads(context.cursor) if context.cursor else {}
    for table, days in given_up.items():
        shown = "conversions" if table == RAW else table
        if (GIVEN_UP_CHECK, shown) in WATCHED and told.get(table, []) != days:
            news.append(given_up_evaluation(found, shown))
    return dg.SensorResult(
        run_requests=[run_request(together) for together in group(requests)],
        skip_reason=None if requests else dg.SkipReason(idle),
        cursor=json.dumps({table: days for table, days in given_up.items() if days}),
        asset_events=news,
    )


def _describe_waiting(found: Status) -> str:
    """Of each table a stale day that waits, and why."""
    waits = [
        f"{table} {day}: {why}"
        for table, days in found.plan.waiting.items()
        for day, why in sorted(days.items())[:1]
    ]
    running = [
        f"{table} {min(days)}: a run is under way"
        for table, days in found.plan.running.items()
        if days
    ]
    return "; ".join(running + waits) or "All partitions are up to date"
