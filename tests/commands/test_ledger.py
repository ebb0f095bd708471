"""`convcg ledger`: says where the ledger is; one that began on SQLite goes on elsewhere."""

import datetime as dt
import json
from pathlib import Path

import pytest

from convcg_assets.lake.database import open_database
from convcg_assets.lake.ledger import Built, LandedFile, Ledger

from ..postgres import Server
from .conftest import Convcg

DAY = dt.date(2026, 1, 1)
TABLE = "weighted_labels"
FACTS = {"builds": 1, "contents": 1, "failed_checks": 1, "landed_files": 1, "requests": 1}


def write_facts(url: str) -> None:
    ledger = Ledger(url)
    for _ in range(3):
        ledger.record(TABLE, [Built(DAY, "f", {"": "d"}, "i", {"window_days": 1})], run_id="run")
    ledger.record_failed_check(TABLE, "a", {DAY: ("f", "none")})
    ledger.record_request("key", TABLE, {DAY: "i"}, {DAY: 3})
    ledger.record_files([LandedFile(DAY, "a", "1.2", "d")])


def test_facts_of_sqlite_go_on_elsewhere(
    convcg: Convcg, tmp_path: Path, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = f"sqlite:///{tmp_path / 'before.db'}"
    write_facts(before)
    with open_database(before).writing.begin() as connection:  # As a release before wrote it.
        connection.exec_driver_sql("UPDATE failed_checks SET said = 'zero ' || char(0)")
    monkeypatch.setenv("CONVCG_LEDGER", ledger_url)
    for _ in range(2):  # Again it changes nothing.
        done = convcg("ledger", "--copy-from", tmp_path / "before.db", "--json")
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["copied"] == told["facts"] == FACTS
    here, there = (Ledger(url).facts([TABLE])[TABLE] for url in (ledger_url, before))
    assert here.builds == there.builds == {(DAY, "f", "i"): 3}
    assert here.contents == there.contents
    assert here.failed_checks[DAY, "f"].startswith("a: zero ")
    assert Ledger(ledger_url).landed_files([DAY]) == Ledger(before).landed_files([DAY])
    assert Ledger(ledger_url).build_detail(TABLE, DAY, "f") == {"window_days": 1}


def test_a_copy_that_ends_in_an_error_has_copied_nothing(
    convcg: Convcg, tmp_path: Path, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no.db").write_text("no database at all, but long enough to be looked at" * 99)
    monkeypatch.setenv("CONVCG_LEDGER", ledger_url)
    failed = convcg("ledger", "--copy-from", tmp_path / "no.db")
    assert failed.exit_code == 1
    assert "no.db cannot be read as a ledger: file is not a database" in failed.stderr
    done = convcg("ledger")
    assert done.exit_code == 0
    assert "builds 0, contents 0" in done.stdout


def test_the_place_is_told_without_a_password(
    convcg: Convcg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVCG_LEDGER", "postgresql+psycopg://me:do/not@tell@db/ledger")
    failed = convcg("ledger")
    assert failed.exit_code == 1
    assert "error: ledger postgresql+psycopg://...@db/ledger: write special" in failed.stderr
    assert "do/not" not in failed.output


def test_a_variable_that_is_empty_is_not_set(
    convcg: Convcg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("CONVCG_LEDGER", "")
    assert f"ledger: sqlite:///{tmp_path}/home/ledger.db" in convcg("ledger").stdout


@pytest.mark.postgres
def test_a_wrong_password_ends_a_command_with_one_line_that_does_not_tell_it(
    convcg: Convcg, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, place = "do-not-tell", postgres.create_database().rpartition("/")[2]
    monkeypatch.setenv("CONVCG_LEDGER", postgres.url(place, password=secret))
    failed = convcg("ledger")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: ledger postgresql+psycopg://...@127.0.0.1")
    assert "password authentication failed" in failed.stderr
    assert secret not in failed.output
