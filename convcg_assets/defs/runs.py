"""The runs of a Dagster instance: what is under way, what has ended."""

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus, RunRecord, RunsFilter

from convcg_assets.builds.plan import Request
from convcg_assets.days import Days
from convcg_assets.defs.jobs import APART, JOB_TABLES, NEWEST_DAY_CHECK
from convcg_assets.defs.run_lock import is_held
from convcg_assets.tables.raw import RAW, RAW_TABLES

REQUEST_TAG = "convcg/request"
REQUESTS_TAG = "convcg/requests"
"""Of a run that answers several, each by a run of its own."""
RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
STARTUP_S = 120
"""A run that began so long ago and holds no lock has died."""

_UNDER_WAY = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)
_TABLES = frozenset(table for tables in JOB_TABLES.values() for table in tables)


@dataclass(frozen=True)
class ActiveRun:
    """A run under way: the tables and days that it writes; None where it may be any."""

    tables: frozenset[str] | None
    days: Days | None


class InstanceRuns:
    """`repair.plan.Runs` of a Dagster instance, as of when it is first asked."""

    def __init__(self, instance: dg.DagsterInstance, *, home: Path, own_run_id: str | None = None):
        self._instance = instance
        self._home = home
        self._own_run_id = own_run_id

    def is_active(self, table: str, day: dt.date) -> bool:
        """Whether a run under way writes that day of that table."""
        return any(
            (run.tables is None or table in run.tables) and (run.days is None or day in run.days)
            for run in self.active
        )

    def attempts(self, request_keys: Iterable[str]) -> int:
        """How many of these requests became a run that has ended."""
        return sum(self._has_ended(key) for key in request_keys)

    @cached_property
    def active(self) -> list[ActiveRun]:
        """The runs under way, those that died with their daemon left out."""
        alive = [r.dagster_run for r in self._records() if self.is_alive(r)]
        return [active for run in alive for active in _active(run)]

    def report_dead(self) -> list[str]:
        """Tell the instance of runs that died with their daemon; returns their ids."""
        dead = [r.dagster_run for r in self._records() if not self.is_alive(r)]
        for run in dead:
            self._instance.report_run_failed(
                run, message="The process of this run has died: it holds its lock no more."
            )
        return [run.run_id for run in dead]

    def is_alive(self, record: RunRecord) -> bool:
        """Whether a run that is said to be under way has a process, or is about to get one.

        Launchers that watch their workers themselves (Kubernetes, Docker, ...) are believed.
        """
        run = record.dagster_run
        watched = self._instance.run_launcher.supports_check_run_worker_health
        if run.status == DagsterRunStatus.QUEUED or watched:
            return True
        if is_held(self._home, run.run_id):
            return True
        age = dt.datetime.now(dt.UTC) - record.update_timestamp.astimezone(dt.UTC)
        return abs(age.total_seconds()) < STARTUP_S

    def _records(self) -> list[RunRecord]:
        found = self._instance.get_run_records(RunsFilter(statuses=list(_UNDER_WAY)))
        return [
            record
            for record in found
            if record.dagster_run.run_id != self._own_run_id and _is_ours(record.dagster_run)
        ]

    def _has_ended(self, key: str) -> bool:
        for tags in ({REQUEST_TAG: key}, {_among(key): "true"}):
            runs = self._instance.get_runs(RunsFilter(tags=tags), limit=10)
            if any(run.is_finished for run in runs):
                return True
        return False


def run_tags(request: Request) -> dict[str, str]:
    """Tags of the run that answers a request."""
    first, last = RANGE_TAGS
    return {
        first: str(request.days.first),
        last: str(request.days.last),
        REQUEST_TAG: request.key,
    }


def tags_of_several(requests: Iterable[Request]) -> dict[str, str]:
    """Tags of the run that answers several requests."""
    said = [
        {"table": r.table, "first": str(r.days.first), "last": str(r.days.last), "key": r.key}
        for r in requests
    ]
    # Tags are looked for by name and value: what was asked for has to be found by its key.
    return {REQUESTS_TAG: json.dumps(said), **{_among(one["key"]): "true" for one in said}}


def tagged_requests(tags: Mapping[str, str]) -> list[Request]:
    """The requests that a run of several answers, without what they would be built from."""
    return [
        Request(
            one["table"],
            Days(dt.date.fromisoformat(one["first"]), dt.date.fromisoformat(one["last"])),
            one["key"],
            inputs={},
            num_built={},
        )
        for one in json.loads(tags.get(REQUESTS_TAG, "[]"))
    ]


def _among(key: str) -> str:
    return f"{REQUEST_TAG}.{key}"


def days_of(run: dg.DagsterRun) -> Days | None:
    """The days that a run writes, as its tags say; None where they say nothing."""
    first, last = (run.tags.get(tag) for tag in RANGE_TAGS)
    day = run.tags.get("dagster/partition")
    if first and last:
        return Days(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
    if day:
        return Days(dt.date.fromisoformat(day), dt.date.fromisoformat(day))
    return None


def _is_ours(run: dg.DagsterRun) -> bool:
    """Whether a run may write our tables: others of the instance hold no lock of ours."""
    checks = run.asset_check_selection or ()
    keys = {*(run.asset_selection or ()), *(check.asset_key for check in checks)}
    if keys:
        return any(len(key.path) == 1 and key.path[0] in _TABLES for key in keys)
    name = run.job_name
    known = name in JOB_TABLES or name in (APART, NEWEST_DAY_CHECK)
    return known or name.startswith("__ASSET_JOB")


def _active(run: dg.DagsterRun) -> list[ActiveRun]:
    if run.job_name == APART:
        asked = tagged_requests(run.tags)
        return [ActiveRun(frozenset({one.table}), one.days) for one in asked]
    tables = None
    if run.asset_selection:
        names = {key.path[-1] for key in run.asset_selection}
        tables = frozenset(names | ({RAW} if names & set(RAW_TABLES) else set()))
    elif run.asset_check_selection:
        tables = frozenset()
    elif run.job_name in JOB_TABLES:
        tables = frozenset(JOB_TABLES[run.job_name])
    return [ActiveRun(tables, days_of(run))]
