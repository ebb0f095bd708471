"""What is counted of each table, against what its rows and files say."""

import dataclasses
import datetime as dt
from pathlib import Path

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.builds.measures import Measure, measure
from convcg_assets.builds.status import read_status
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.tables.raw import RAW
from convcg_assets.tables.table import DAY
from tests.builds.deployment import Idle
from tests.builds.tiny import FIRST, LAST, NUM_DAYS, land_conversions, make_whole


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return make_whole(tmp_path)


def look(deployment: Deployment) -> dict[str, Measure]:
    return {m.table: m for m in measure(read_status(deployment, runs=Idle()))}


def test_before_the_first_build_nothing_is_counted_but_what_is_to_do(
    deployment: Deployment,
) -> None:
    found = look(deployment)
    assert found[RAW].stale_days == NUM_DAYS
    assert found[RAW].newest_day is None
    assert found[RAW].behind_days is None
    assert found["impressions"].rows is None
    assert found["weighted_labels"].behind_days is None


def test_rows_and_bytes_are_those_of_the_files(deployment: Deployment, con: Backend) -> None:
    days = Days(FIRST, LAST)
    build_table(deployment, RAW, days, con=con)
    build_table(deployment, "linked_engagements", days, con=con)
    build_table(deployment, "attributed_conversions", days, con=con)
    # Written again: files that were replaced count no more.
    build_table(deployment, "attributed_conversions", days, con=con)
    found = look(deployment)
    for table in ("impressions", "conversions", "attributed_conversions"):
        rows = deployment.lake.num_rows(table, days, con=con)
        assert found[table].rows == sum(rows.values())
        files = deployment.lake.snapshot(table).files  # type: ignore[union-attr]
        paths = [Path(file) for of_day in files.values() for file in of_day]
        assert found[table].bytes == sum(path.stat().st_size for path in paths)
        assert found[table].newest_day == LAST
    age = dt.datetime.now(dt.UTC) - (found["conversions"].built_at or LAST)  # type: ignore[operator]
    assert dt.timedelta(0) <= age < dt.timedelta(minutes=5)
    assert found["weighted_labels"].built_at is None


def test_a_table_is_behind_the_logs_and_the_logs_behind_yesterday(
    deployment: Deployment, con: Backend
) -> None:
    build_table(deployment, RAW, Days(FIRST, LAST), con=con)
    build_table(deployment, "linked_engagements", Days(FIRST, FIRST), con=con)
    found = look(deployment)
    assert found[RAW].behind_days == 0, "the log has ended"
    assert found["linked_engagements"].behind_days == 1
    # Days T from the day after the first to the day after the last.
    assert found["conversion_delay"].behind_days == NUM_DAYS
    goes_on = deployment.source.model_copy(update={"last_day": None})
    late = look(dataclasses.replace(deployment, source=goes_on))
    yesterday = dt.datetime.now(dt.UTC).date() - DAY
    assert late[RAW].behind_days == (yesterday - LAST).days
    assert late["linked_engagements"].behind_days == 1, "it is not behind for want of logs"


def test_a_changed_log_makes_a_day_stale_and_not_behind(
    deployment: Deployment, con: Backend
) -> None:
    for table in (RAW, "linked_engagements", "attributed_conversions"):
        build_table(deployment, table, Days(FIRST, LAST), con=con)
    land_conversions(deployment.home, LAST, value=99.0)
    build_table(deployment, RAW, Days(LAST, LAST), con=con)
    found = look(deployment)["attributed_conversions"]
    assert (found.stale_days, found.behind_days) == (1, 0)
