"""A failing suite names the expectation, the count and the rows; days of any size are checked."""

import datetime as dt

import ibis
import pyarrow as pa
import pytest

from convcg_assets.builds.suite_content import load_suite, suite_columns
from convcg_assets.builds.suites import MAX_OFFENDING, to_frame, validate_days, validate_frame
from convcg_assets.days import Days
from convcg_assets.lake.delta import Lake
from convcg_assets.sources.columns import ID_KINDS
from convcg_assets.tables.registry import table_schema

FIRST = dt.date(2026, 1, 5)
DAYS = Days(FIRST, FIRST + dt.timedelta(days=2))
HUGE = 2**60
UNIQUE = "no two rows have the same dt, user_id"
QUERY = "Search impressions name the query: without it the model lacks their context"


def users(day: dt.date, *user_ids) -> list[dict]:
    return [{"dt": day, "user_id": user_id} for user_id in user_ids]


def table_of(rows: list[dict], *, kind: str) -> pa.Table:
    schema = table_schema("users", dict.fromkeys(ID_KINDS, kind))
    return pa.Table.from_pylist(rows, schema=schema.to_pyarrow())


def check(rows: list[dict], *, kind: str = "int64"):
    return validate_frame(
        to_frame(table_of(rows, kind=kind)), suite="users", id_columns=["dt", "user_id"]
    )


def test_a_failure_names_expectation_count_and_rows():
    result = check(users(FIRST, 1, 2, 3, 3))
    [failure] = result.failures()
    assert failure.expectation == UNIQUE
    assert failure.severity == "critical"
    assert (failure.num_unexpected, failure.num_rows) == (2, 4)
    assert failure.offending == ({"dt": "2026-01-05", "user_id": 3},) * 2
    said = "users: critical: no two rows have the same dt, user_id: 2 of 4 rows break it"
    assert result.summary == said
    assert str(result).splitlines() == [said, "dt          user_id", *["2026-01-05  3"] * 2]


def test_large_integer_ids_beside_nulls_are_not_rounded():
    # As floats, 2**60 and 2**60 + 1 would be one id.
    result = check(users(FIRST, HUGE, HUGE + 1, None))
    [failure] = result.failures()
    assert failure.expectation == "user_id is never null"
    assert failure.offending == ({"dt": "2026-01-05", "user_id": None},)
    twice = check(users(FIRST, HUGE, HUGE))
    assert [row["user_id"] for row in twice.failures()[0].offending] == [HUGE, HUGE]


def test_string_ids():
    [failure] = check(users(FIRST, "b", "a", "a"), kind="string").failures()
    assert [row["user_id"] for row in failure.offending] == ["a", "a"]


def test_all_are_counted_and_few_are_shown():
    [failure] = check(users(FIRST, *[None] * 50, *range(5))).failures("critical")[:1]
    assert failure.num_unexpected == 50
    assert len(failure.offending) == MAX_OFFENDING


def test_the_same_id_on_two_days_is_sound():
    assert check(users(FIRST, 1) + users(DAYS.last, 1)).success


def test_a_missing_column_is_an_error():
    frame = to_frame(table_of(users(FIRST, 1), kind="int64")).drop(columns="user_id")
    with pytest.raises(ValueError, match="users: 'user_id is never null' could not be evaluated"):
        validate_frame(frame, suite="users", id_columns=["dt"])


def test_an_unknown_suite_is_an_error():
    with pytest.raises(ValueError, match=r"no suite 'people' in expectations/; known: impressions"):
        load_suite("people")


def test_only_the_columns_of_the_suite_are_read():
    assert suite_columns("users") == ["dt", "user_id"]
    assert "recent_pin_ids" not in suite_columns("user_features")
    # What a row condition asks for is read too.
    assert "status" in suite_columns("attributed_conversions")


@pytest.mark.parametrize("max_rows", [1_000, 40, 7])
def test_days_in_parts_are_checked_like_days_at_once(max_rows, tmp_path, con):
    lake = Lake(str(tmp_path), dict.fromkeys(ID_KINDS, "int64"))
    second = FIRST + dt.timedelta(days=1)
    rows = [*users(FIRST, *range(30), 3, 4), *users(second, *range(20), None), *users(DAYS.last, 9)]
    lake.replace("users", DAYS, ibis.memtable(table_of(rows, kind="int64")), con=con)
    result = validate_days(lake, "users", DAYS, con=con, max_rows=max_rows)
    assert result.num_rows == 32 + 21 + 1
    found = {o.expectation: o for o in result.failures()}
    assert {row["user_id"] for row in found[UNIQUE].offending} == {3, 4}
    assert found[UNIQUE].num_unexpected == 4
    assert found["user_id is never null"].num_unexpected == 1


def test_days_without_rows_pass(tmp_path, con):
    lake = Lake(str(tmp_path), dict.fromkeys(ID_KINDS, "int64"))
    result = validate_days(lake, "users", DAYS, con=con)
    assert result.success
    assert result.num_rows == 0


def test_nothing_is_printed(capfd):
    check(users(FIRST, 1, 1))
    assert capfd.readouterr() == ("", "")


def impressions(day: dt.date, *queries: str | None) -> list[dict]:
    shown = {"dt": day, "impression_day": day, "user_id": 1, "pin_id": 2, "surface": "search"}
    return [
        shown
        | {"impression_id": i, "impression_ts": dt.datetime.combine(day, dt.time()), "query": q}
        for i, q in enumerate(queries)
    ]


@pytest.mark.parametrize(("first_query", "failing"), [(None, 0), ("lamps", 2)])
def test_what_no_day_of_a_log_has_is_not_missed(first_query, failing, tmp_path, con):
    """A day without queries: of a log that never had any, or of one that has lost them."""
    lake = Lake(str(tmp_path), dict.fromkeys(ID_KINDS, "int64"))
    for day, rows in zip(DAYS, ([first_query, first_query], [None, None], []), strict=True):
        schema = lake.schema("impressions").to_pyarrow()
        landed = pa.Table.from_pylist(impressions(day, *rows), schema=schema)
        lake.replace("impressions", Days(day, day), ibis.memtable(landed), con=con)
    second = FIRST + dt.timedelta(days=1)
    result = validate_days(lake, "impressions", Days(second, second), con=con)
    found = {o.expectation: o.num_unexpected for o in result.failures()}
    assert found == ({QUERY: failing} if failing else {})
