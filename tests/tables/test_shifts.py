"""Advertisers whose reporting lags have changed: found soon, and quiet ones left alone."""

from random import Random

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.tables.settings import DelaySettings
from convcg_assets.tables.shifts import delay_shifts, shift_lookback_days

from .event_rows import credit
from .tables import of_days, to_table
from .world import DAY, Row, day


def shifts(con: Backend, rows: list[Row], first: int, last: int | None = None) -> list[Row]:
    settings, days = DelaySettings(), Days(day(first), day(first if last is None else last))
    read = Days(days.first - shift_lookback_days(settings) * DAY, days.last - DAY)
    expr = delay_shifts(
        to_table(of_days(rows, read), table="attributed_conversions"),
        settings=settings,
        days=days,
    )
    found = con.to_pyarrow(expr).to_pylist()
    return sorted(found, key=lambda row: (row["dt"], row["advertiser_id"]))


def reports(advertiser: int, event: int, lag: int, *, number: int) -> list[Row]:
    """So many conversions of a day, all reported after the same lag."""
    ids = (1_000_000 * advertiser + 1_000 * event + i for i in range(number))
    given = {"shown": event, "arrival": event + lag, "lag": lag, "advertiser_id": advertiser}
    return [credit(i, **given) for i in ids]


def begins_uploading_weekly(advertiser: int, *, on: int) -> list[Row]:
    """Two conversions a day, reported at once, and from a day on every seventh day."""
    rows = []
    for event in range(60):
        lag = 0 if event < on else 6 - (event - on) % 7
        rows += reports(advertiser, event, lag, number=2)
    return rows


def test_a_weekly_upload_is_found_with_the_first_one(con: Backend) -> None:
    rows = begins_uploading_weekly(3, on=40) + begins_uploading_weekly(4, on=90)
    assert shifts(con, rows, 30, 46) == []
    (found,) = shifts(con, rows, 47)
    assert (found["advertiser_id"], found["dt"]) == (3, day(47))
    assert (found["num_before"], found["num_newest"]) == (2 * 28, 2 * 7)
    assert (found["mean_lag_before_days"], found["mean_lag_newest_days"]) == (0.0, 3.0)
    # All lags were 0, now a seventh is.
    assert (found["largest_gap"], found["lag_days"]) == (pytest.approx(1 - 1 / 7), 0)


def test_few_reports_prove_nothing(con: Backend) -> None:
    rows = [row for event in range(40) for row in reports(3, event, 0, number=1)]
    assert shifts(con, rows + reports(3, 40, 6, number=2), 47) == []


def test_duplicates_and_shared_credit_do_not_count(con: Backend) -> None:
    rows = begins_uploading_weekly(3, on=90)
    again = [row | {"status": "duplicate"} for row in reports(3, 41, 5, number=50)]
    shared = [row | {"impression_id": i} for row in reports(3, 42, 4, number=1) for i in range(50)]
    assert shifts(con, rows + again + shared, 47) == []


def test_chance_gives_hardly_any_alarm(con: Backend) -> None:
    """At most 1 in 100 quiet days of 30 advertisers has any; these are 14."""
    rng = Random(0)
    rows = []
    for advertiser in range(30):
        habit = [rng.choice((0, 1, 2, 5)) for _ in range(3)]
        for event in range(60):
            for i in range(rng.randrange(4)):
                ident = 100_000 * advertiser + 100 * event + i
                lag = rng.choice(habit)
                given = {"shown": event, "arrival": event + lag, "lag": lag}
                rows.append(credit(ident, advertiser_id=advertiser, **given))
    assert shifts(con, rows, 40, 53) == []
