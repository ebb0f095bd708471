"""What the ledger keeps, on SQLite and on Postgres: facts come out as they went in."""

import datetime as dt

import pytest

from convcg_assets.days import Days
from convcg_assets.lake.database import open_database
from convcg_assets.lake.ledger import Asked, Built, LandedFile, Ledger

FIRST = dt.date(2026, 1, 1)
SECOND, THIRD = FIRST + dt.timedelta(days=1), FIRST + dt.timedelta(days=2)
LATER = dt.datetime(2100, 1, 1)
TABLE = "weighted_labels"
CELLS = {"2025-12-31": "d1", "": "d2"}


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    return Ledger(ledger_url)


def built(day: dt.date, files: str = "f1", inputs: str = "i1", **detail: object) -> Built:
    return Built(day, files, CELLS, inputs, detail)


def test_a_new_ledger_knows_nothing(ledger: Ledger) -> None:
    facts = ledger.facts([TABLE])[TABLE]
    assert (facts.contents, facts.builds, facts.failed_checks) == ({}, {}, {})
    assert ledger.newest_keys(TABLE) == {}
    assert ledger.build_detail(TABLE, FIRST, None) is None
    assert ledger.requests(TABLE, Days(FIRST, THIRD)) == {}
    assert ledger.landed_files([FIRST]) == []
    assert ledger.landed_files([]) == []


def test_days_are_recorded_with_what_they_hold_and_what_they_were_made_of(ledger: Ledger) -> None:
    ledger.record(TABLE, [built(FIRST), built(SECOND, "f2", "i2")], run_id="run")
    facts = ledger.facts([TABLE, "users"])
    assert facts[TABLE].contents == {(FIRST, "f1"): CELLS, (SECOND, "f2"): CELLS}
    assert facts[TABLE].builds == {(FIRST, "f1", "i1"): 1, (SECOND, "f2", "i2"): 1}
    assert facts["users"].builds == {}


def test_a_day_that_comes_out_again_is_counted(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.record(TABLE, [built(FIRST)])
    ledger.record(TABLE, [built(FIRST, inputs="i2")])
    assert ledger.facts([TABLE])[TABLE].builds == {(FIRST, "f1", "i1"): 3, (FIRST, "f1", "i2"): 1}


def test_nothing_to_record_is_nothing(ledger: Ledger) -> None:
    ledger.record(TABLE, [])
    ledger.record_files([])
    ledger.record_request("key", TABLE, {}, {})
    assert ledger.facts([TABLE])[TABLE].builds == {}


def test_the_newest_build_is_told(ledger: Ledger) -> None:
    ledger.record(TABLE, [built(FIRST, "f1", window_days=1)])
    ledger.record(TABLE, [built(FIRST, "f2", window_days=2, name="é\x00'%s")])
    ledger.record(TABLE, [built(FIRST, "f1", "i2", window_days=3)])
    assert ledger.build_detail(TABLE, FIRST, "f2") == {"window_days": 2, "name": "é\x00'%s"}
    assert ledger.build_detail(TABLE, FIRST, "f1") == {"window_days": 3}
    assert ledger.build_detail(TABLE, FIRST, None) == {"window_days": 3}
    assert ledger.newest_keys(TABLE) == {FIRST: "f1"}


def test_the_first_failed_check_by_name_is_told(ledger: Ledger) -> None:
    ledger.record_failed_check(TABLE, "b", {FIRST: ("f1", "too many"), SECOND: ("f2", "none")})
    ledger.record_failed_check(TABLE, "a", {FIRST: ("f1", "100 % wrong")})
    ledger.record_failed_check(TABLE, "a", {FIRST: ("f1", "said again")})
    failed = ledger.facts([TABLE])[TABLE].failed_checks
    assert failed == {(FIRST, "f1"): "a: 100 % wrong", (SECOND, "f2"): "b: none"}


def test_what_a_check_found_may_hold_any_text(ledger: Ledger) -> None:
    """A value of a log may be any text; Postgres keeps none with a zero character."""
    ledger.record_failed_check(TABLE, "a", {FIRST: ("f1", "user 'x\x00y' ünd 🛒")})
    assert ledger.facts([TABLE])[TABLE].failed_checks == {(FIRST, "f1"): "a: user 'x\\0y' ünd 🛒"}


def test_requests_are_told_by_day_and_inputs_oldest_first(ledger: Ledger) -> None:
    ledger.record_request("one", TABLE, {FIRST: "i1", SECOND: "i2"}, {FIRST: 4})
    ledger.record_request("two", TABLE, {FIRST: "i1"}, {FIRST: 5})
    ledger.record_request("one", TABLE, {FIRST: "i9"}, {FIRST: 9})
    ledger.record_request("one", "users", {FIRST: "i1"}, {})
    asked = ledger.requests(TABLE, Days(FIRST, FIRST))
    assert asked == {(FIRST, "i1"): [Asked("one", 4), Asked("two", 5)]}
    assert ledger.requests(TABLE, Days(SECOND, THIRD)) == {(SECOND, "i2"): [Asked("one", 0)]}


def test_landed_files_are_told_oldest_first(ledger: Ledger) -> None:
    older = [LandedFile(SECOND, "b" * 1000, "3.1", "d1"), LandedFile(FIRST, "a", "3.1", "d1")]
    ledger.record_files(older[:1])
    ledger.record_files([*older, LandedFile(FIRST, "a", "3.2", "d1")])
    files = ledger.landed_files([FIRST, SECOND])
    assert files[0] == older[0]
    assert set(files) == {*older, LandedFile(FIRST, "a", "3.2", "d1")}
    assert ledger.landed_files([FIRST]) == files[1:]


def test_facts_about_files_of_the_past_are_forgotten(ledger: Ledger) -> None:
    ledger.record(TABLE, [built(FIRST, "old"), built(FIRST, "new"), built(SECOND, "gone")])
    ledger.record_failed_check(TABLE, "a", {FIRST: ("old", "none")})
    ledger.record_request("one", TABLE, {FIRST: "i1"}, {})
    current = {FIRST: "new"}
    assert ledger.forget(TABLE, current=current, before=dt.datetime(2000, 1, 1)) == 0
    assert ledger.forget(TABLE, current=current, before=LATER) == 6
    facts = ledger.facts([TABLE])[TABLE]
    assert facts.builds == {(FIRST, "new", "i1"): 1}
    assert facts.contents == {(FIRST, "new"): CELLS}
    assert facts.failed_checks == {}
    assert ledger.requests(TABLE, Days(FIRST, THIRD)) == {}


def test_facts_outlive_the_process_that_recorded_them(ledger_url: str) -> None:
    Ledger(ledger_url).record(TABLE, [built(FIRST)])
    open_database(ledger_url).close()
    open_database.cache_clear()
    assert Ledger(ledger_url).facts([TABLE])[TABLE].builds == {(FIRST, "f1", "i1"): 1}
