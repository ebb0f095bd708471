"""Which requests one process answers, and what repair understands of a run that answers several."""

import dataclasses
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRun, DagsterRunStatus

from convcg_assets.builds.plan import Request
from convcg_assets.days import Days
from convcg_assets.defs.days_apart import MAX_DAYS, MAX_TOGETHER, group, run_request
from convcg_assets.defs.jobs import APART
from convcg_assets.defs.run_lock import hold_lock
from convcg_assets.defs.runs import InstanceRuns

FIRST = dt.date(2026, 1, 1)
LABELS, NEGATIVES = "weighted_labels", "hard_negatives"


def day(offset: int) -> dt.date:
    return FIRST + dt.timedelta(days=offset)


def request(table: str, first: int, num_days: int = 1) -> Request:
    days = Days(day(first), day(first + num_days - 1))
    return Request(table, days, f"{table}-{first}", inputs={}, num_built={})


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def test_short_ranges_of_a_table_are_answered_together() -> None:
    near, far = request(LABELS, 0), request(LABELS, 9, MAX_DAYS)
    long, other = request(LABELS, 20, MAX_DAYS + 1), request(NEGATIVES, 0)
    assert group([near, long, far, other]) == [[near, far], [long], [other]]


def test_what_failed_before_is_tried_alone() -> None:
    again = dataclasses.replace(request(LABELS, 4), is_tried_again=True)
    first, last = request(LABELS, 0), request(LABELS, 9)
    assert group([first, again, last]) == [[first, last], [again]]


def test_no_more_than_so_many_are() -> None:
    requests = [request(LABELS, 2 * n) for n in range(MAX_TOGETHER + 1)]
    assert list(map(len, group(requests))) == [MAX_TOGETHER, 1]


def test_one_alone_is_a_run_of_the_tables_own_job() -> None:
    alone = run_request([request(LABELS, 0)])
    assert (alone.job_name, alone.run_key) == (f"build_{LABELS}", f"{LABELS}-0")
    together = run_request([request(LABELS, 0), request(LABELS, 4)])
    assert together.job_name == APART
    assert together.run_key != run_request([request(LABELS, 0), request(LABELS, 6)]).run_key


def test_all_that_it_answers_is_under_way_until_it_ends(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    tags = run_request([request(LABELS, 0), request(LABELS, 4, 2)]).tags
    run = instance.add_run(DagsterRun(APART, status=DagsterRunStatus.STARTED, tags=tags))
    with hold_lock(tmp_path, run.run_id):
        runs = InstanceRuns(instance, home=tmp_path)
        active = [offset for offset in range(8) if runs.is_active(LABELS, day(offset))]
        assert active == [0, 4, 5]
        assert not runs.is_active(NEGATIVES, day(0))
        assert runs.attempts([f"{LABELS}-0", f"{LABELS}-4"]) == 0


def test_what_it_did_not_come_to_counts_as_an_attempt(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Asked for again with the same key it would be the same run, which is not started twice."""
    tags = run_request([request(LABELS, 0), request(LABELS, 4)]).tags
    run = instance.add_run(DagsterRun(APART, status=DagsterRunStatus.STARTED, tags=tags))
    instance.report_run_failed(run)
    runs = InstanceRuns(instance, home=tmp_path)
    assert runs.attempts([f"{LABELS}-0", f"{LABELS}-4", f"{LABELS}-9"]) == 2
