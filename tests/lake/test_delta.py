"""Days of the lake are replaced whole or not at all, whatever breaks and whoever else writes."""

import datetime as dt
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.lake.delta import Lake
from convcg_assets.lake.engine import connect
from convcg_assets.tables.registry import table_schema

FIRST = dt.date(2026, 1, 1)
WEEK = Days(FIRST, FIRST + dt.timedelta(days=6))
ID_TYPES = {"user_id": "int64"}
SCHEMA = table_schema("users", ID_TYPES)
NULLS = {name: ibis.null(kind) for name, kind in SCHEMA.items()}


def nth(offset: int) -> Days:
    day = FIRST + dt.timedelta(days=offset)
    return Days(day, day)


def users(days: Days, *ids: int) -> ibis.Table:
    """One row per day and id."""
    rows = [{"dt": day, "user_id": user_id} for day in days for user_id in ids]
    return ibis.memtable(pa.Table.from_pylist(rows, schema=SCHEMA.to_pyarrow()))


def held(lake: Lake, con: Backend, **options: Any) -> list[tuple[int, int]]:
    """(day as offset, user id) of all rows, sorted."""
    rows = con.to_pyarrow(lake.read("users", WEEK, con=con, **options)).to_pylist()
    return sorted(((row["dt"] - FIRST).days, row["user_id"]) for row in rows)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "folder":
        return Lake(str(tmp_path / "lake"), ID_TYPES)
    return Lake(f"{request.getfixturevalue('bucket')}/{tmp_path.name}", ID_TYPES)


def test_a_table_never_written_reads_as_empty(lake: Lake, con: Backend) -> None:
    assert held(lake, con) == []
    assert lake.version("users") is None
    assert not lake.exists("users")
    assert lake.days("users") == []


def test_replacing_a_day_leaves_the_others(lake: Lake, con: Backend) -> None:
    lake.replace("users", Days(FIRST, nth(2).last), users(Days(FIRST, nth(2).last), 1, 2), con=con)
    lake.replace("users", nth(1), users(nth(1), 9), con=con)
    assert held(lake, con) == [(0, 1), (0, 2), (1, 9), (2, 1), (2, 2)]
    assert lake.days("users") == [FIRST, nth(1).first, nth(2).first]
    assert lake.num_rows("users", Days(FIRST, nth(3).last), con=con) == {
        FIRST: 2,
        nth(1).first: 1,
        nth(2).first: 2,
        nth(3).first: 0,
    }


def test_a_replacement_returns_its_own_version_whatever_is_committed_meanwhile(
    lake: Lake, con: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = iter([nth(1), nth(2), nth(3), nth(4)])

    class Overtaken(DeltaTable):
        """A table to which others commit before and after its log is read."""

        def update_incremental(self) -> None:
            self._overtake()
            super().update_incremental()
            self._overtake()

        def _overtake(self) -> None:
            if (days := next(others, None)) is not None:
                lake.replace("users", days, users(days, 7), con=con)

    lake.replace("users", nth(0), users(nth(0), 1), con=con)
    monkeypatch.setattr("convcg_assets.lake.delta.DeltaTable", Overtaken)
    made = lake.replace("users", nth(0), users(nth(0), 2), con=con)
    assert next(others, None) is None
    assert held(lake, con, version=made)[0] == (0, 2)
    assert len(held(lake, con)) == 5


def test_the_same_replacement_twice_is_the_same_table(lake: Lake, con: Backend) -> None:
    for _ in range(2):
        lake.replace("users", nth(0), users(nth(0), 1, 2), con=con)
    assert held(lake, con) == [(0, 1), (0, 2)]


def test_replaced_by_nothing(lake: Lake, con: Backend) -> None:
    lake.replace("users", Days(FIRST, nth(1).last), users(Days(FIRST, nth(1).last), 1), con=con)
    lake.replace("users", nth(0), users(nth(0)), con=con)
    assert held(lake, con) == [(1, 1)]


def test_rows_of_a_stray_day_are_refused(lake: Lake, con: Backend) -> None:
    before = lake.replace("users", nth(0), users(nth(0), 1), con=con).number
    with pytest.raises(ValueError, match=r"users: rows of .*replacement of 2026-01-01"):
        lake.replace("users", nth(0), users(Days(FIRST, nth(1).last), 2), con=con)
    assert held(lake, con) == [(0, 1)]
    assert lake.version("users") == before


def test_old_versions_stay_readable(lake: Lake, con: Backend) -> None:
    old = lake.replace("users", nth(0), users(nth(0), 1), con=con).number
    new = lake.replace("users", nth(0), users(nth(0), 2), con=con).number
    assert old < new == lake.version("users")
    assert held(lake, con, version=old) == [(0, 1)]
    assert held(lake, con, version=new) == [(0, 2)]


def test_what_was_read_does_not_change_with_a_later_write(lake: Lake, con: Backend) -> None:
    lake.replace("users", nth(0), users(nth(0), 1), con=con)
    read = lake.read("users", nth(0), con=con)
    lake.replace("users", nth(0), users(nth(0), 2, 3), con=con)
    assert [row["user_id"] for row in con.to_pyarrow(read).to_pylist()] == [1]


def test_a_day_can_be_replaced_by_what_is_made_of_itself(lake: Lake, con: Backend) -> None:
    lake.replace("users", nth(0), users(nth(0), 1, 2), con=con)
    own = lake.read("users", nth(0), con=con)
    lake.replace("users", nth(0), own.filter(own.user_id == 2), con=con)
    assert held(lake, con) == [(0, 2)]


def test_an_error_in_the_middle_of_a_write_leaves_the_old_version(lake: Lake, con: Backend) -> None:
    before = lake.replace("users", nth(0), users(nth(0), 1), con=con).number
    # The engine fails at the last of a million rows, long after the first batch was handed over.
    numbers = ibis.range(1_000_000).unnest().name("n").as_table()
    broken_id = ibis.ifelse(numbers.n == 999_999, ibis.literal("x"), numbers.n.cast("string"))
    broken = numbers.mutate(**NULLS | {"dt": ibis.literal(FIRST), "user_id": broken_id})
    with pytest.raises(Exception, match="Could not convert string 'x' to INT64"):
        lake.replace("users", nth(0), broken, con=con)
    assert held(lake, con) == [(0, 1)]
    assert lake.version("users") == before
    lake.replace("users", nth(0), users(nth(0), 5), con=con)
    assert held(lake, con) == [(0, 5)]


def write_for_long(root: str) -> None:
    """Begin a replacement of day 0 that takes minutes; the caller kills it."""
    con = connect(memory_limit="500MB", threads=1)
    numbers, others = (ibis.range(50_000).unnest().name(name).as_table() for name in "nm")
    pairs = numbers.cross_join(others)
    rows = pairs.mutate(**NULLS | {"dt": ibis.literal(FIRST), "user_id": pairs["n"]})
    print("writing", flush=True)
    Lake(root, ID_TYPES).replace("users", nth(0), rows, con=con)


def test_a_killed_process_leaves_the_old_version(lake: Lake, con: Backend) -> None:
    before = lake.replace("users", nth(0), users(nth(0), 1), con=con).number
    code = (
        "import sys; from tests.lake.test_delta import write_for_long; write_for_long(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, lake.root]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        time.sleep(2)
        assert writer.poll() is None, "the writer ended by itself"
        writer.kill()
    assert writer.returncode == -signal.SIGKILL
    assert held(lake, con) == [(0, 1)]
    assert lake.version("users") == before
    lake.replace("users", nth(0), users(nth(0), 2), con=con)
    assert held(lake, con) == [(0, 2)]


def replace_own_day(root: str, offset: int) -> None:
    """One of two writers: replaces its own day three times."""
    con = connect(memory_limit="300MB", threads=1)
    for user_id in range(3):
        Lake(root, ID_TYPES).replace("users", nth(offset), users(nth(offset), user_id), con=con)


@pytest.mark.parametrize("table_exists", [True, False])
def test_two_processes_replacing_different_days_both_land(
    lake: Lake, con: Backend, table_exists: bool
) -> None:
    if table_exists:
        lake.replace("users", Days(FIRST, nth(2).last), users(Days(FIRST, nth(2).last), 7), con=con)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=replace_own_day, args=(lake.root, o)) for o in (0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=120)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert held(lake, con) == [(0, 2), (1, 2)] + [(2, 7)] * table_exists
