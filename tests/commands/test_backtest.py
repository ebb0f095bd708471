"""Models of past days, by the command alone: where it goes on, what it leaves as it was."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from convcg_assets.defs.baselines import BASELINES

from .conftest import Convcg, Home, copy_of

BACKTEST = ("backtest", "--from", "2026-03-12", "--to", "2026-03-15", "--every", "3d")


def test_a_backtest_goes_on_where_it_stopped(deployment: Home, typed: Convcg) -> None:
    quick = deployment.home / "quick.yaml"
    quick.write_text("training: {epochs: 1, batch_size: 256}\nmodel: {embedding_dim: 16}\n")
    other = deployment.home / "other.yaml"
    other.write_text("name: no histories\ntraining: {epochs: 1}\nmodel: {history: none}\n")
    arguments = (*BACKTEST, "--config", str(quick), "--config", str(other))
    done = typed(*arguments, "--json")
    assert done.exit_code == 0, done.stderr[-2000:]
    assert done.stderr.count("training ...") == 4
    first = json.loads(done.stdout)
    days = {point["day"] for point in first["points"]}
    assert days == {"2026-03-12", "2026-03-15", None}
    scorers = {point["scorer"] for point in first["points"]}
    assert scorers == {"quick", "no histories", *BASELINES}
    assert all(p["difference"] == 0 for p in first["points"] if p["scorer"] == "quick")
    page = (deployment.home / "backtests" / "backtest" / "backtest.html").read_text()
    assert "no histories" in page
    assert not (deployment.home / "models" / "dt=2026-03-12").exists()
    other.write_text("name: no histories\ntraining: {epochs: 2}\nmodel: {history: none}\n")
    (deployment.home / "backtests/backtest/models/quick/dt=2026-03-12/model.json").unlink()
    done = typed(*arguments, "--json")
    said = [line for line in done.stderr.splitlines() if "training ..." in line]
    assert said == [
        "2026-03-12 quick: training ...",
        "2026-03-12 no histories: training ...",
        "2026-03-15 no histories: training ...",
    ]
    again = json.loads(done.stdout)
    for point in again["points"]:
        if point["scorer"] == "quick":
            assert point in first["points"], "the same bytes, trained again"


def test_days_that_are_not_built_are_named_with_what_builds_them(
    deployment: Home, typed: Convcg
) -> None:
    """Without them a model would learn from fewer days."""
    gone = "table_name = 'example_features' AND day = '2026-03-05'"
    with closing(sqlite3.connect(deployment.home / "ledger.db")) as ledger, ledger:
        rows = ledger.execute(f"SELECT * FROM builds WHERE {gone}").fetchall()
        ledger.execute(f"DELETE FROM builds WHERE {gone}")
    try:
        done = typed("backtest", "--from", "2026-03-12", "--to", "2026-03-12")
    finally:
        with closing(sqlite3.connect(deployment.home / "ledger.db")) as ledger, ledger:
            places = ", ".join("?" * len(rows[0]))
            ledger.executemany(f"INSERT INTO builds VALUES ({places})", rows)
    assert done.exit_code == 1
    assert (
        "`convcg run --first-day 2026-03-05 --last-day 2026-03-05 --only example_features`"
        in done.stdout.replace("\n", " ")
    )


def test_days_that_cannot_be_are_told(deployment: Home, typed: Convcg) -> None:
    quick = deployment.home / "quick.yaml"
    quick.write_text("training: {epochs: 1}\n")
    done = typed(
        *("backtest", "--from", "2026-03-02", "--to", "2026-04-01", "--every", "30d"),
        *("--config", quick),
    )
    assert done.exit_code == 1
    assert "2026-03-02: left out, the last 3 days before it are the holdout" in done.stdout
    assert "2026-04-01: left out, the logs before it end on 2026-03-14" in done.stdout
    assert "error: no day could be judged" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {embeding_dim: 3}\n", "model.embeding_dim: Extra inputs are not permitted"),
        ("models: {}\n", "models: Extra inputs are not permitted"),
        ("training: {epochs: none}\n", "training.epochs."),
        ("name: ../../models\n", "name: String should match"),
        ("name: als\n", "name: 'als' is a baseline's"),
        ("- 1\n", "cannot be read as settings"),
    ],
)
def test_wrong_settings_name_file_and_key(
    deployment: Home, typed: Convcg, text: str, said: str
) -> None:
    wrong = deployment.home / "wrong.yaml"
    wrong.write_text(text)
    done = typed(*BACKTEST, "--config", wrong)
    assert done.exit_code == 1
    assert str(wrong) in done.stderr
    assert said in done.stderr


def version_of(home: Home, settings: str) -> str:
    path = home.home / "backtests" / "backtest" / "models" / settings / "dt=2026-03-12"
    return json.loads((path / "model.json").read_text())["model_version"]


def test_what_lands_later_changes_no_model_of_the_past(deployment: Home, tmp_path: Path) -> None:
    """It is trained of what was known then, and judged by what is known now."""
    home = copy_of(deployment, tmp_path / "home")
    quick = home.home / "quick.yaml"
    quick.write_text("training: {epochs: 1, batch_size: 256}\nmodel: {embedding_dim: 16}\n")
    backtest = ("backtest", "--from", "2026-03-12", "--to", "2026-03-12", "--config", str(quick))

    assert home.convcg(*backtest).returncode == 0
    before = version_of(home, "quick")
    landed = home.convcg("simulate", "late-file", "--json")
    assert landed.returncode == 0, landed.stderr
    repaired = home.convcg("repair", "--no-checks", "--json")
    assert repaired.returncode == 0, repaired.stdout[-2000:] + repaired.stderr[-2000:]
    label_days = {
        build["days"]
        for build in json.loads(repaired.stdout)["builds"]
        if build["table"] == "weighted_labels"
    }
    assert any(days < "2026-03-12" for days in label_days), "labels that it learned from gained"

    kept = home.convcg(*backtest)
    assert kept.returncode == 0
    assert "training ..." not in kept.stdout + kept.stderr
    shutil.rmtree(home.home / "backtests" / "backtest" / "models")
    again = home.convcg(*backtest)
    assert "training ..." in again.stdout + again.stderr
    assert version_of(home, "quick") == before, "the same bytes from the repaired tables"
