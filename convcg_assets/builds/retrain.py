"""For which days a model is due, and what each of them waits for."""

import datetime as dt

from convcg_assets.builds.plan import Request
from convcg_assets.builds.state import artifact_keys
from convcg_assets.builds.status import Status
from convcg_assets.deployment import Deployment
from convcg_assets.sources.clock import RETRAIN_HOUR, now
from convcg_assets.tables.raw import RAW
from convcg_assets.tables.registry import MODEL_TABLES
from convcg_assets.tables.table import DAY

CATCH_UP_DAYS = 7
"""Missed days this old are caught up; older ones nobody would serve."""


def due_days(deployment: Deployment) -> list[dt.date]:
    """The days T for which a model is due and missing, newest first.

    Today's from the retrain hour on, and those missed since the first model, but none that is
    older than `CATCH_UP_DAYS`. A log that has ended has one: the day after its last.
    """
    trained = set(artifact_keys("two_tower_checkpoint", home=deployment.home))
    at = now(deployment.source)
    newest = at.date() if at.hour >= RETRAIN_HOUR else at.date() - DAY
    if deployment.source.last_day is not None:
        newest = min(newest, deployment.source.last_day + DAY)
    since = min(trained) + DAY if trained else newest
    oldest = max(since, newest - (CATCH_UP_DAYS - 1) * DAY)
    days = [newest - i * DAY for i in range((newest - oldest).days + 1)]
    return [day for day in days if day not in trained]


def next_step(found: Status, day: dt.date) -> Request | str:
    """The request that begins the retrain of a due day, or what it waits for."""
    yesterday, logs = day - DAY, found.staleness.logs
    if yesterday in found.staleness.not_ready:
        return f"waits for the logs of {yesterday}: {found.staleness.not_ready[yesterday]}"
    if logs is None or yesterday > logs.last or yesterday in found.staleness.stale[RAW]:
        landed = "landed, but not read yet" if yesterday in found.landed else "not landed"
        return f"waits for the logs of {yesterday}: {landed}"
    holdout = found.deployment.settings.examples.holdout_days
    if (day - logs.first).days <= holdout:
        return f"waits for more logs: the last {holdout} days before {day} are the holdout"
    for table in MODEL_TABLES:
        for request in found.plan.requests:
            if request.table == table and day in request.days:
                return request
        waits = found.plan.waiting[table].get(day) or found.plan.given_up[table].get(day)
        if waits is not None:
            return f"{table}: {waits}"
        if day in found.plan.running[table]:
            return f"{table}: a run is under way"
    return "nothing is missing"
