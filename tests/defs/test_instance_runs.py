"""What repair understands of the orchestrator's runs: which live, which died, what they write."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster import DagsterRun, DagsterRunStatus
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from convcg_assets.builds.plan import Request
from convcg_assets.days import Days
from convcg_assets.defs.jobs import job_name
from convcg_assets.defs.run_lock import hold_lock
from convcg_assets.defs.runs import REQUEST_TAG, STARTUP_S, InstanceRuns, run_tags

FIRST = dt.date(2026, 1, 1)
SECOND = FIRST + dt.timedelta(days=1)
LABELS, RAW = "weighted_labels", "raw_events"
DIED = dt.timedelta(seconds=-STARTUP_S - 60)
RANGE = {
    "dagster/asset_partition_range_start": str(FIRST),
    "dagster/asset_partition_range_end": str(SECOND),
}
# A queued run has to say which code location it is of.
LOCATION = ManagedGrpcPythonEnvCodeLocationOrigin(
    LoadableTargetOrigin(module_name="convcg_assets.definitions"), location_name="convcg"
)
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(LOCATION, "__repository__"), job_name(LABELS))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def add(
    instance: dg.DagsterInstance,
    *,
    status: DagsterRunStatus = DagsterRunStatus.STARTED,
    updated: dt.timedelta = dt.timedelta(),
    tags: dict[str, str] | None = None,
    **given: Any,
) -> str:
    """A run in the instance's books, last updated so long from now; its id."""
    given = {"job_name": job_name(LABELS)} | given
    run = instance.add_run(
        DagsterRun(status=status, tags=tags or RANGE, remote_job_origin=ORIGIN, **given)
    )
    at = dt.datetime.now(dt.UTC).replace(tzinfo=None) + updated
    engine = sa.create_engine(f"sqlite:///{instance.root_directory}/history/runs.db")
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE runs SET update_timestamp = :at WHERE run_id = :id"),
            {"at": at.isoformat(sep=" "), "id": run.run_id},
        )
    engine.dispose()
    return run.run_id


def written(instance: dg.DagsterInstance, home: Path, *tables: str) -> set[tuple[str, int]]:
    """(table, day as offset) that runs under way write."""
    runs, days = InstanceRuns(instance, home=home), Days(FIRST, FIRST + dt.timedelta(days=2))
    return {(t, (d - FIRST).days) for t in tables for d in days if runs.is_active(t, d)}


@pytest.mark.parametrize("updated", [DIED, -DIED, dt.timedelta(days=400)])
def test_a_started_run_without_lock_has_died_whatever_the_clock(
    instance: dg.DagsterInstance, tmp_path: Path, updated: dt.timedelta
) -> None:
    run_id = add(instance, updated=updated)
    assert written(instance, tmp_path, LABELS) == set()
    assert InstanceRuns(instance, home=tmp_path).report_dead() == [run_id]
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status == DagsterRunStatus.FAILURE
    assert InstanceRuns(instance, home=tmp_path).report_dead() == []


def test_a_run_lives_while_it_starts_holds_its_lock_or_is_queued(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    starts = add(instance, status=DagsterRunStatus.STARTING)
    queued = add(instance, status=DagsterRunStatus.QUEUED, updated=10 * DIED)
    works = add(instance, updated=10 * DIED)
    own = add(instance, updated=10 * DIED)
    with hold_lock(tmp_path, works):
        runs = InstanceRuns(instance, home=tmp_path, own_run_id=own)
        assert len(runs.active) == 3
        assert runs.report_dead() == []
    assert InstanceRuns(instance, home=tmp_path, own_run_id=own).report_dead() == [works]
    assert {starts, queued} == {
        run.run_id for run in instance.get_runs() if not run.is_finished and run.run_id != own
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"job_name": job_name(LABELS)}, {(LABELS, 0), (LABELS, 1)}),
        ({"job_name": job_name(LABELS), "tags": {"dagster/partition": str(SECOND)}}, {(LABELS, 1)}),
        ({"job_name": job_name(RAW)}, {(RAW, 0), (RAW, 1)}),
        (
            {"job_name": "__ASSET_JOB", "asset_selection": {dg.AssetKey("pins")}},
            {(RAW, 0), (RAW, 1)},
        ),
        (
            {"job_name": "__ASSET_JOB", "tags": {"dagster/partition": str(FIRST)}},
            {(RAW, 0), (LABELS, 0)},
        ),
        ({"job_name": "retrain"}, set()),
    ],
)
def test_what_a_run_writes(
    instance: dg.DagsterInstance, tmp_path: Path, given: dict, expected: set
) -> None:
    selection = given.get("asset_selection")
    if selection:
        given = given | {"asset_selection": frozenset(selection)}
    add(instance, **given)
    assert written(instance, tmp_path, LABELS, RAW) == expected


def test_runs_of_other_projects_are_left_alone(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Theirs hold no lock of ours, and their partitions may be no days."""
    theirs = frozenset({dg.AssetKey(["finance", "invoices"])})
    add(instance, job_name="invoices", tags={"dagster/partition": "emea"}, updated=DIED)
    add(instance, job_name="__ASSET_JOB", asset_selection=theirs, updated=DIED)
    assert written(instance, tmp_path, LABELS, RAW) == set()
    assert InstanceRuns(instance, home=tmp_path).report_dead() == []


def test_attempts_are_the_requests_whose_run_has_ended(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    for key, status in (
        ("failed", DagsterRunStatus.FAILURE),
        ("went well", DagsterRunStatus.SUCCESS),
        ("stopped", DagsterRunStatus.CANCELED),
        ("works", DagsterRunStatus.STARTED),
        ("queued", DagsterRunStatus.QUEUED),
    ):
        tags = run_tags(Request(LABELS, Days(FIRST, SECOND), key, {}, {}))
        assert tags == RANGE | {REQUEST_TAG: key}
        add(instance, status=status, tags=tags)
    runs = InstanceRuns(instance, home=tmp_path)
    assert runs.attempts([]) == 0
    assert runs.attempts(["failed", "never asked", "works", "queued"]) == 1
    assert runs.attempts(["failed", "went well", "stopped"]) == 3
