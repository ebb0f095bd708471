"""Four processes at one ledger, on SQLite and on Postgres: nothing is lost, torn or waited for."""

import signal

import pytest

from convcg_assets.days import Days
from convcg_assets.lake.ledger import Asked, Ledger

from .processes import (
    DAYS,
    FIRST,
    NUM_PROCESSES,
    TABLE,
    TIMES,
    exit_codes,
    forget_at_once,
    open_at_once,
    record_at_once,
    record_in_forks,
    record_until_killed,
    record_until_told,
    request_at_once,
    run_at_once,
    start,
)

ALL_WELL = [0] * NUM_PROCESSES


def test_four_that_record_the_same_days(ledger_url: str) -> None:
    """In opposite orders: none waits for another that waits for it."""
    assert run_at_once(record_at_once, ledger_url) == ALL_WELL
    ledger = Ledger(ledger_url)
    facts = ledger.facts([TABLE])[TABLE]
    assert facts.contents == {(day, "same"): {"": "same"} for day in DAYS}
    assert facts.builds == {(day, "same", "same"): NUM_PROCESSES * TIMES for day in DAYS}
    assert facts.failed_checks == {(day, "same"): "a: none" for day in DAYS}
    assert len(ledger.landed_files(DAYS)) == len(DAYS) * TIMES


def test_four_that_ask_for_the_same_days(ledger_url: str) -> None:
    assert run_at_once(request_at_once, ledger_url) == ALL_WELL
    asked = Ledger(ledger_url).requests(TABLE, Days(FIRST, DAYS[-1]))
    own = {f"own{time}-{number}" for time in range(TIMES) for number in range(NUM_PROCESSES)}
    keys = own | {f"same{time}" for time in range(TIMES)}
    assert set(asked) == {(day, "same") for day in DAYS}
    for of_day in asked.values():
        assert sorted(of_day, key=lambda one: one.key) == [Asked(key, 0) for key in sorted(keys)]


def test_four_that_record_and_forget(ledger_url: str) -> None:
    assert run_at_once(forget_at_once, ledger_url) == ALL_WELL
    facts = Ledger(ledger_url).facts([TABLE])[TABLE]
    assert facts.builds == {(day, "kept", "same"): NUM_PROCESSES * TIMES for day in DAYS}
    assert facts.contents.keys() == {(day, "kept") for day in DAYS}
    assert facts.failed_checks == {}


def test_who_reads_sees_one_moment(ledger_url: str) -> None:
    assert run_at_once(record_until_told, ledger_url) == ALL_WELL


@pytest.mark.parametrize("num_statements", [1, 2, 3])
def test_one_that_is_killed_leaves_all_or_nothing_and_holds_up_nobody(
    ledger_url: str, num_statements: int
) -> None:
    """Killed before, between and after the two statements that record its days."""
    ended = run_at_once(record_until_killed, ledger_url, num_statements)
    assert sorted(map(str, ended)) == ["-9", "0", "0", "0"]
    assert -signal.SIGKILL in ended
    facts = Ledger(ledger_url).facts([TABLE])[TABLE]
    whole = {(day, f"i{time}") for day in DAYS for time in range(TIMES)}
    assert {(day, inputs) for day, files, inputs in facts.builds if files == "same"} == whole
    theirs = {(day, inputs) for day, files, inputs in facts.builds if files == "f0"}
    assert theirs == ({(day, "i0") for day in DAYS} if num_statements == 3 else set())
    assert {(day, files) for day, files, _ in facts.builds} == facts.contents.keys()


def test_four_that_open_it_first(ledger_url: str) -> None:
    assert run_at_once(open_at_once, ledger_url) == ALL_WELL
    recorded = Ledger(ledger_url).facts([TABLE])[TABLE].builds
    assert recorded == {(FIRST, f"f{number}", "same"): 1 for number in range(NUM_PROCESSES)}


def test_forked_processes_have_connections_of_their_own(ledger_url: str) -> None:
    assert exit_codes([start(record_in_forks, ledger_url)]) == [0]
    recorded = Ledger(ledger_url).facts([TABLE])[TABLE].builds
    files = {f"f{number}" for number in range(NUM_PROCESSES)} | {"here"}
    expected = {(day, name, "same"): TIMES for day in DAYS for name in files}
    assert recorded == expected | {(FIRST, "before", "same"): 1}
