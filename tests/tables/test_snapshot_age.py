"""How old a snapshot may be before a check warns."""

import datetime as dt

import ibis
import pyarrow as pa
import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.tables.snapshot_age import days_without_snapshot

from .world import DAY, day


def landed_on(*days: dt.date) -> ibis.Table:
    return ibis.memtable(pa.table({"dt": pa.array(days, pa.date32())}))


@pytest.mark.parametrize(("age", "warns"), [(1, False), (7, False), (8, True), (300, True)])
def test_a_snapshot_older_than_so_many_days(con: Backend, age: int, warns: bool) -> None:
    snapshots = landed_on(day(-age), day(0), day(1))
    found = con.to_pyarrow(
        days_without_snapshot(snapshots, Days(day(0), day(0)), max_age_days=7)
    ).to_pylist()
    assert found == [{"dt": day(0), "no_snapshot_since": day(0) - 7 * DAY}] * warns


def test_without_any_snapshot_every_day_is_named(con: Backend) -> None:
    rows = days_without_snapshot(landed_on(), Days(day(0), day(2)), max_age_days=7)
    assert sorted(row["dt"] for row in con.to_pyarrow(rows).to_pylist()) == [
        day(0),
        day(1),
        day(2),
    ]
