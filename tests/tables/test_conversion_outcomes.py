"""What became of the conversions, as shares, and from which share on it is said."""

import datetime as dt
from itertools import count

import ibis
import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.tables.conversion_outcomes import (
    FEW,
    conversion_outcomes,
    outlying_outcomes,
)
from convcg_assets.tables.settings import CheckSettings

from .event_rows import credit
from .tables import to_table
from .world import Row, day

UNTOUCHED: Row = dict.fromkeys(("touch_type", "match_level", "impression_id", "credit"))
number = count()


def of(status: str, times: int, *, arrival: int = 0) -> list[Row]:
    return [
        credit(next(number), shown=0, arrival=arrival, **UNTOUCHED) | {"status": status}
        for _ in range(times)
    ]


def touched(times: int, *, arrival: int = 0, **given) -> list[Row]:
    return [credit(next(number), shown=0, arrival=arrival, **given) for _ in range(times)]


def table(*parts: list[Row]) -> ibis.Table:
    rows = [row for part in parts for row in part]
    return to_table(rows, table="attributed_conversions")


def outlying(*parts: list[Row], con: Backend, **limits: float) -> list[tuple]:
    settings = CheckSettings.model_validate(limits)
    found = con.to_pyarrow(outlying_outcomes(table(*parts), settings=settings)).to_pylist()
    return sorted(
        (row["found"], row["first_dt"], row["last_dt"], row["conversions"], row["of"])
        for row in found
    )


def test_a_conversion_of_several_touches_counts_with_the_credit_of_each(con: Backend) -> None:
    [one, *_] = touched(1)
    rows = table(
        [one | {"credit": 0.75}, one | {"credit": 0.25, "touch_type": "view", "impression_id": 9}],
        touched(1, match_level="advertiser"),
        of("no_touch", 2),
    )
    found = con.to_pyarrow(conversion_outcomes(rows)).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        ("no_touch", None, None, 2.0, 2 / 4),
        ("attributed", "click", "advertiser", 1.0, 1 / 4),
        ("attributed", "click", "pin", 0.75, 0.75 / 4),
        ("attributed", "view", "pin", 0.25, 0.25 / 4),
    ]


def test_more_than_the_share_is_told_and_the_share_itself_is_not(con: Backend) -> None:
    half = (touched(10), of("no_touch", 8), of("past_horizon", 2))
    assert outlying(*half, con=con) == []
    more = (*half, of("no_touch", 1))
    assert outlying(*more, con=con) == [("no touch", day(0), day(0), 11, 21)]
    assert outlying(*more, con=con, max_no_touch_share=0.6) == []


def test_of_few_conversions_nothing_is_said(con: Backend) -> None:
    assert outlying(of("no_touch", FEW - 1), con=con) == []
    assert outlying(of("no_touch", FEW), con=con) == [("no touch", day(0), day(0), FEW, FEW)]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # 40 reports: 21 are duplicates, and of the other 19 none is enough to judge.
        ((of("duplicate", 21), of("no_touch", 19)), [("duplicate", 21, 40)]),
        # Whoever has no user cannot find a touch: 11 of 20 who could do not.
        ((of("no_user", 10), of("no_touch", 11), touched(9)), [("no touch", 11, 20)]),
        ((of("no_user", 21), touched(20)), [("no user", 21, 41)]),
        # A repeated report says nothing of users.
        ((of("no_user", 20), of("duplicate", 30), touched(10)), [("no user", 20, 30)]),
    ],
)
def test_each_share_is_of_those_to_whom_it_can_happen(
    con: Backend, parts: tuple, expected: list[tuple]
) -> None:
    found = [(name, num, of) for name, _, _, num, of in outlying(*parts, con=con)]
    assert found == expected


def test_days_are_told_apart_unless_all_together_are_outlying(con: Backend) -> None:
    lost, sound = of("no_touch", FEW, arrival=3), touched(FEW, arrival=1)
    assert outlying(lost, sound, con=con) == [("no touch", day(3), day(3), FEW, FEW)]
    together = outlying(lost, touched(FEW - 1, arrival=1), con=con)
    assert together == [("no touch", day(1), day(3), FEW, 2 * FEW - 1)]
    assert isinstance(together[0][1], dt.date)


@pytest.mark.parametrize(("lost", "told"), [(26, False), (27, True)])
def test_a_day_may_differ_by_chance(con: Backend, lost: int, told: bool) -> None:
    """Of 40, two standard errors above a half are .5 + 2 sqrt(.25 / 40) = .658, that is 26.3."""
    day_of_40 = (of("no_touch", lost, arrival=1), touched(40 - lost, arrival=1))
    found = outlying(*day_of_40, touched(40), con=con)
    assert found == ([("no touch", day(1), day(1), lost, 40)] if told else [])
