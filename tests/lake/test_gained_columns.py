"""A table may gain a column: old days read as null in it, new ones widen its schema."""

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.lake.delta import Lake
from convcg_assets.lake.digests import digest_days
from convcg_assets.sources.columns import Column
from convcg_assets.tables.registry import TABLES

FIRST = dt.date(2026, 1, 5)
DAYS = Days(FIRST, FIRST + dt.timedelta(days=2))
Release = Callable[..., None]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"), {"user_id": "int64"})


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Release:
    """`release("country", language=Column(...))`: a release whose users have these columns."""
    known = TABLES["users"]

    def set_columns(*names: str, **gained: Column) -> None:
        columns = {name: known.columns[name] for name in ("dt", "user_id", *names)} | gained
        monkeypatch.setitem(TABLES, "users", replace(known, columns=columns))

    return set_columns


def nth(number: int) -> Days:
    day = FIRST + dt.timedelta(days=number)
    return Days(day, day)


def put(lake: Lake, number: int, con: Backend, **values: Any) -> None:
    """One user on the n-th day."""
    row = {"dt": nth(number).first, "user_id": number, **values}
    table = pa.Table.from_pylist([row], schema=lake.schema("users").to_pyarrow())
    lake.replace("users", nth(number), ibis.memtable(table), con=con)


def rows(lake: Lake, con: Backend, version: int | None = None) -> list[dict[str, Any]]:
    read = lake.read("users", DAYS, con=con, version=version)
    return con.to_pyarrow(read.order_by("dt")).drop_columns("dt").to_pylist()


LANGUAGE = Column("string", "what the user speaks", added=True)


def test_old_days_read_as_null_and_new_ones_widen(
    lake: Lake, release: Release, con: Backend
) -> None:
    release("country")
    put(lake, 0, con, country="DE")
    put(lake, 1, con, country="FR")
    release("country", language=LANGUAGE)
    assert rows(lake, con)[0] == {"user_id": 0, "country": "DE", "language": None}
    put(lake, 1, con, country="FR", language="fr")
    put(lake, 2, con, country="CH", language="it")
    assert [row["language"] for row in rows(lake, con)] == [None, "fr", "it"]
    widened = {field.name for field in DeltaTable(lake.path("users")).schema().fields}
    assert widened == {"dt", "user_id", "country", "language"}
    # What a model was trained on stays as it was.
    assert [row["language"] for row in rows(lake, con, version=2)] == [None, None]


def test_days_of_old_files_alone_and_of_no_files(
    lake: Lake, release: Release, con: Backend
) -> None:
    release()
    put(lake, 0, con)
    release("gender", language=LANGUAGE)
    put(lake, 1, con, gender="x", language="de")
    old = con.to_pyarrow(lake.read("users", nth(0), con=con)).to_pylist()
    assert old == [{"dt": FIRST, "user_id": 0, "gender": None, "language": None}]
    assert con.to_pyarrow(lake.read("users", nth(2), con=con)).num_rows == 0
    assert lake.num_rows("users", DAYS, con=con)[FIRST] == 1


def test_a_column_that_is_no_longer_known_is_left_alone(
    lake: Lake, release: Release, con: Backend
) -> None:
    release("country", "gender")
    put(lake, 0, con, country="DE", gender="x")
    release("country")
    put(lake, 1, con, country="FR")
    assert rows(lake, con) == [{"user_id": 0, "country": "DE"}, {"user_id": 1, "country": "FR"}]
    release("country", "gender")
    assert [row["gender"] for row in rows(lake, con)] == ["x", None]


def test_two_writers_that_widen_at_once(lake: Lake, release: Release, con: Backend) -> None:
    release()
    put(lake, 0, con)
    release(language=LANGUAGE)
    barrier = threading.Barrier(2)

    def write(number: int) -> None:
        mine = ibis.duckdb.connect()
        barrier.wait()
        put(lake, number, mine, language="de")
        mine.disconnect()

    writers = [threading.Thread(target=write, args=(number,)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [row["language"] for row in rows(lake, con)] == [None, "de", "de"]


def test_an_added_column_counts_in_digests_where_it_says_something(
    lake: Lake, release: Release, con: Backend
) -> None:
    def digest() -> str:
        version = lake.snapshot("users")
        assert version is not None
        return digest_days("users", version.of(nth(0)), con=con)[FIRST][""]

    release("country")
    put(lake, 0, con, country="DE")
    before = digest()
    release("country", language=LANGUAGE, score=Column("float64", "any number", added=True))
    put(lake, 0, con, country="DE")
    assert digest() == before
    found = {before}
    for values in ({"language": "de"}, {"score": 1.0}, {"language": "de", "score": 1.0}):
        put(lake, 0, con, country="DE", **values)
        assert digest() not in found
        found.add(digest())
