"""`convcg split`: how it is called and what it prints; the cutting is tested with the sources."""

import json
from pathlib import Path

from .conftest import Convcg


def test_it_says_what_it_cut_and_what_is_wrong(convcg: Convcg, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("time,n\n1767355200,1\n1767614400,2\n")
    arguments = ["split", log, "--time-column", "time", "--stream", "s", "--into", tmp_path]
    failed = convcg(*arguments)
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: ")
    assert "set --time-unit" in failed.stderr
    done = convcg(*arguments, "--time-unit", "s")
    assert done.exit_code == 0
    assert f"2 rows, 2026-01-02 to 2026-01-05, 2 of 4 days empty: {tmp_path / 's'}" in done.stdout
    again = convcg(*arguments, "--time-unit", "s")
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr


def test_json_holds_the_rows_of_each_day(convcg: Convcg, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("time;n\n2026-01-02;1\n2026-01-03;2\n2026-01-03;3\n")
    arguments = ["split", log, "--time-column", "time", "--stream", "s", "--into", tmp_path]
    done = convcg(*arguments, "--delimiter", ";", "--json")
    assert json.loads(done.stdout) == {
        "folder": str(tmp_path / "s"),
        "rows": {"2026-01-02": 1, "2026-01-03": 2},
    }


def test_wrong_usage(convcg: Convcg, tmp_path: Path) -> None:
    arguments = ["--time-column", "t", "--stream", "s", "--into", tmp_path]
    failed = convcg("split", tmp_path / "nowhere.csv", *arguments)
    assert failed.exit_code == 2
    assert "does not exist" in failed.stderr
    (tmp_path / "log.csv").write_text("t\n2026-01-02\n")
    failed = convcg("split", tmp_path / "log.csv", *arguments, "--delimiter", "||")
    assert failed.exit_code == 2
