"""`convcg repair`, `status`, `maintain` and `forget` on a few landed days, without a model."""

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from .conftest import Home, make_home

LAST_DAY = dt.date(2026, 3, 14)
NUM_DAYS = 3
UP_TO_DATE = "All partitions are up to date"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Three landed days, and what `convcg repair` builds from them."""
    made = make_home(tmp_path_factory.mktemp("repaired"))
    options = ["--days", str(NUM_DAYS), "--impressions-per-day", "1000"]
    landed = made.convcg("simulate", "land", *options, "--last-day", str(LAST_DAY))
    assert landed.returncode == 0, landed.stderr
    repaired = made.convcg("repair", "--no-checks", "--json")
    assert repaired.returncode == 0, repaired.stderr
    (made.home / "repaired.json").write_text(repaired.stdout)
    return made


def status(home: Home) -> dict[str, Any]:
    done = home.convcg("status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_everything_is_built_and_up_to_date(home: Home) -> None:
    repaired = json.loads((home.home / "repaired.json").read_text())
    assert repaired["builds"][0]["table"] == "raw_events"
    assert not any(build["failures"] for build in repaired["builds"])
    assert repaired["up_to_date"]
    found = status(home)
    assert found == {k: v for k, v in repaired.items() if k not in ("builds", "models")}
    assert {name: table["built"] for name, table in found["tables"].items()} == {
        **dict.fromkeys(found["tables"], NUM_DAYS),
        **dict.fromkeys(
            (
                "training_examples",
                "two_tower_checkpoint",
                "pin_embedding_index",
                "evaluation_report",
                "serving_features",
                "promotion",
                "candidates",
            ),
            0,
        ),
    }


def test_status_in_print(home: Home) -> None:
    done = home.convcg("status")
    assert done.returncode == 0
    assert UP_TO_DATE in done.stdout
    for word in ("table", "built", "stale", "running", "waiting", "given up"):
        assert word in done.stdout


def test_dagster_lives_in_the_home_folder(home: Home) -> None:
    packaged = Path("convcg_assets/defs/dagster.yaml").read_text()
    assert (home.home / "dagster" / "dagster.yaml").read_text() == packaged


def test_a_late_file_makes_its_day_stale_and_is_repaired(home: Home) -> None:
    folder = home.home / "landing" / "conversions" / f"dt={LAST_DAY}"
    shutil.copy(folder / "part-0.parquet", folder / "part-1.parquet")
    found = status(home)
    assert not found["up_to_date"]
    assert found["tables"]["raw_events"]["stale"] == [str(LAST_DAY)]
    (why,) = found["tables"]["raw_events"]["why"].values()
    assert why == "landing of conversions/part-1.parquet is new"
    shown = home.convcg("status", "--plan")
    assert f"raw_events {LAST_DAY}: {why}" in shown.stdout
    assert UP_TO_DATE not in shown.stdout
    assert f"attributed_conversions: {LAST_DAY}" in shown.stdout
    plan = json.loads(home.convcg("status", "--plan", "--json").stdout)["plan"]
    assert plan["raw_events"]["stale"] == [str(LAST_DAY)]
    assert plan["attributed_conversions"]["may_follow"] == [str(LAST_DAY)]
    assert plan["attributed_conversions"]["bytes_held"] > 0
    assert "hard_negatives" not in plan
    repaired = home.convcg("repair", "--no-checks")
    assert repaired.returncode == 0, repaired.stderr
    assert f"raw_events {LAST_DAY} built in" in repaired.stdout
    assert "within reach" in repaired.stdout
    assert repaired.stdout.rstrip().endswith(UP_TO_DATE)


def test_a_day_that_cannot_be_read_is_given_up_with_exit_status_1(home: Home) -> None:
    broken = home.home / "landing" / "conversions" / f"dt={LAST_DAY}" / "part-2.parquet"
    broken.write_bytes(b"PAR1")
    try:
        failed = home.convcg("repair", "--json")
    finally:
        broken.unlink()
    assert failed.returncode == 1
    answer = json.loads(failed.stdout)
    assert "part-2.parquet" in answer["builds"][0]["failures"][0]
    given_up = answer["tables"]["raw_events"]["given_up"]
    assert given_up == {str(LAST_DAY): "given up after 3 attempts"}
    assert "Traceback" not in failed.stderr
    # The file is gone: what the lake holds is again what the landing zone holds.
    assert status(home)["up_to_date"]


def test_a_day_that_has_not_landed_whole_is_not_ready(home: Home) -> None:
    users = home.home / "landing" / "users" / f"dt={LAST_DAY}"
    users.rename(home.home / "away")
    try:
        found = status(home)
        shown = home.convcg("status")
    finally:
        (home.home / "away").rename(users)
    assert found["not_ready"] == {str(LAST_DAY): f"{users} does not exist"}
    assert f"logs of {LAST_DAY} are not complete: {users} does not exist" in shown.stdout


def test_maintain_says_what_goes(home: Home) -> None:
    before = sorted((home.home / "lake").rglob("*.parquet"))
    done = home.convcg("maintain", "--dry-run", "--json")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert answer["dry_run"]
    assert answer["tables"][0] == {
        "table": "impressions",
        "num_files": 0,
        "num_facts": 0,
        "kept_versions": [],
    }
    assert sorted((home.home / "lake").rglob("*.parquet")) == before
    assert "conversions: 0 files, 0 facts" in home.convcg("maintain").stdout


def test_a_person_is_forgotten(home: Home) -> None:
    everyone = DeltaTable(home.lake.path("user_features")).to_pandas()
    shown = everyone[everyone.num_impressions_30d > 0]
    user = str(shown.user_id.iloc[0])
    asked = json.loads(home.convcg("forget", user, "--dry-run", "--json").stdout)
    assert {"impressions", "user_features"} <= set(asked["rows"])
    done = home.convcg("forget", user, "--no-checks", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer["rows"]["impressions"]) == set(asked["rows"]["impressions"])
    assert (answer["rows_left"], answer["flagged_models"]) == ({}, [])
    assert {"user_features", "hard_negatives"} <= {build["table"] for build in answer["builds"]}
    assert answer["files_removed"]["impressions"] > 0
    places = [one["where"] for one in answer["not_removed"]]
    assert str(home.home / "landing" / "impressions") in places
    assert str(home.home / "dagster") in places


def test_an_id_that_nobody_can_have_is_told(home: Home) -> None:
    done = home.convcg("forget", "007")
    assert done.returncode == 1
    assert "'007' is no user_id of this log: its ids are integers" in done.stderr
