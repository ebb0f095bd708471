"""Ids that stand for many or for nobody are told; those of people who buy much are not."""

import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.tables.raw_checks import outsized_ids

from .event_rows import conversion
from .tables import TEXT_IDS, to_table
from .world import at, day


def found(users: list, *, con: Backend, days: int = 1) -> list:
    rows = [conversion(i, at(i % days), user_id=user) for i, user in enumerate(users)]
    return told(to_table(rows, table="conversions"), con=con)


def told(rows: ibis.Table, *, con: Backend) -> list:
    outsized = con.to_pyarrow(outsized_ids(rows, columns=("user_id",))).to_pylist()
    return [(row["value"], row["first_dt"], row["num_rows"], row["share"]) for row in outsized]


def test_one_id_with_more_than_a_tenth_of_all_rows(con: Backend) -> None:
    others = list(range(1, 181))
    assert found([0] * 20 + others, con=con) == []
    assert found([0] * 21 + others, con=con) == [("0", day(0), 21, 21 / 201)]
    # Nineteen rows of an id, and ninety-nine rows in all, are too few to tell.
    assert found([0] * 19 + others[:90], con=con) == []
    assert found([0] * 30 + others[:69], con=con) == []
    # The days are looked at together: who buys much on one of them does not on all.
    assert found([0] * 21 + others + others, con=con, days=2) == []


def test_the_only_id_there_is_stands_for_itself(con: Backend) -> None:
    assert found([0] * 200, con=con) == []


def test_a_word_that_stands_for_nothing_is_told_however_rare(con: Backend) -> None:
    users = ["a", " NULL ", "nullable"]
    rows = [
        conversion(str(i), at(0), user_id=user, pin_id="7", advertiser_id="3")
        for i, user in enumerate(users)
    ]
    table = to_table(rows, table="conversions", id_types=TEXT_IDS)
    assert told(table, con=con) == [(" NULL ", day(0), 1, 1 / 3)]
