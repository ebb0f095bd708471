"""What looks wrong in a day's raw events: at which share it is told."""

import datetime as dt
from typing import Any

import pytest

from convcg_assets.tables.raw_checks import outsized_ids, repeated_events, unknown_values

from .tables import TEXT_IDS, to_table

DAY = dt.date(2026, 1, 2)


def impressions(users: list[str | None]) -> Any:
    rows = [{"dt": DAY, "user_id": user, "impression_id": str(i)} for i, user in enumerate(users)]
    return to_table(rows, table="impressions", id_types=TEXT_IDS)


def others(num: int) -> list[str | None]:
    return [f"u{i}" for i in range(num)]


@pytest.mark.parametrize(
    ("users", "found"),
    [
        (["a"] * 20 + others(79), {"a": 20}),
        (["a"] * 20 + others(80), {}),
        (["a"] * 19 + others(4), {}),
        (["a"] * 90, {}),
        ([None] * 90 + others(10), {}),
        (
            ["NULL", " undefined ", "\\N", "nullable", *others(20)],
            {"NULL": 1, " undefined ": 1, "\\N": 1},
        ),
    ],
)
def test_one_user_of_many_rows(con, users, found):
    rows = con.to_pyarrow(outsized_ids(impressions(users), columns=("user_id",))).to_pylist()
    assert {row["value"]: row["num_rows"] for row in rows} == found
    assert all("null_values" in row["remedy"] for row in rows)


def test_the_days_are_looked_at_together(con):
    """Who does most on one of them does not on all."""
    later = DAY + dt.timedelta(days=1)
    next_day = [
        {"dt": later, "user_id": user, "impression_id": f"{user}-{i}"}
        for i, user in enumerate(others(120))
    ]
    one_day = [{"dt": DAY, "user_id": "a", "impression_id": f"a{i}"} for i in range(30)]
    rows = to_table([*one_day, *next_day], table="impressions", id_types=TEXT_IDS)
    assert con.to_pyarrow(outsized_ids(rows, columns=("user_id",))).num_rows == 0


def test_each_column_has_its_own_share(con):
    rows = [
        {"dt": DAY, "advertiser_id": "a" if i < 81 else "b", "event_id": "e" if i < 21 else str(i)}
        for i in range(100)
    ]
    table = to_table(rows, table="conversions", id_types=TEXT_IDS)
    found = con.to_pyarrow(outsized_ids(table, columns=("advertiser_id", "event_id"))).to_pylist()
    assert sorted((row["column"], row["value"], row["share"]) for row in found) == [
        ("advertiser_id", "a", 0.81),
        ("event_id", "e", 0.21),
    ]


@pytest.mark.parametrize(("repeats", "is_told"), [(49, False), (50, False), (51, True)])
def test_events_that_are_reported_again(con, repeats, is_told):
    events = [str(i) for i in range(100 - repeats)] + ["0"] * repeats
    rows = [{"dt": DAY, "event_name": "checkout", "event_id": event} for event in events]
    rows += [{"dt": DAY, "event_name": "checkout", "event_id": None}] * 50
    found = con.to_pyarrow(repeated_events(to_table(rows, table="conversions"))).to_pylist()
    assert [(row["num_repeated"], row["num_rows"]) for row in found] == [(repeats, 100)] * is_told


@pytest.mark.parametrize(
    ("reason", "num", "is_told"),
    [("unknown event", 10, True), ("unknown event", 9, False), ("null user_id", 10, False)],
)
def test_events_that_the_source_does_not_name(con, reason, num, is_told):
    rejected = [
        {"dt": DAY, "stream": "impressions", "file": "a", "row": i, "reason": reason, "raw": "{}"}
        for i in range(num)
    ]
    tables = impressions(others(99)), to_table(rejected, table="rejected_events")
    found = con.to_pyarrow(unknown_values(*tables, stream="impressions")).to_pylist()
    assert [(row["num_rows"], row["reason"]) for row in found] == [(num, reason)] * is_told
