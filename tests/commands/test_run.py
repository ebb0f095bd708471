"""`convcg run` and `convcg demo` end to end: what a user of one command finds afterwards."""

import datetime as dt
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from convcg_assets.commands.steps import STEPS
from convcg_assets.days import Days
from convcg_assets.lake.engine import connect
from convcg_assets.sources.source import load_source
from convcg_assets.tables.registry import TABLES, VIEWS
from convcg_model.checkpoint import load_checkpoint
from convcg_model.determinism import numerics
from convcg_model.index import load_bundle

from .conftest import LAST_DAY, NUM_DAYS, Convcg, Home, copy_of

MODEL_DAY = LAST_DAY + dt.timedelta(days=1)
LOG_DAYS = Days(LAST_DAY - dt.timedelta(days=NUM_DAYS - 1), LAST_DAY)


def read(deployment: Home, table: str, days: Days) -> pa.Table:
    con = connect()
    rows = con.to_pyarrow(deployment.lake.read(table, days, con=con))
    con.disconnect()
    return rows.sort_by([(c, "ascending") for c in _sortable(rows)])


def _sortable(rows: pa.Table) -> list[str]:
    return [field.name for field in rows.schema if not pa.types.is_list(field.type)]


def test_every_table_holds_rows_and_the_report_is_there(deployment: Home) -> None:
    source = load_source(deployment.home / "source.yaml")
    outcome = json.loads((deployment.home / "demo.json").read_text())
    rows = {step["step"]: step["rows"] for step in outcome["steps"] if "rows" in step}
    for table in (name for name, entry in TABLES.items() if entry.is_there(source)):
        if table in VIEWS:
            assert sum(rows[table].values()) > 0, table
            assert not deployment.lake.exists(table), "nothing of it is stored"
        else:
            assert read(deployment, table, LOG_DAYS.widen(after=1)).num_rows > 0, table
    folder = deployment.home / "reports" / f"dt={MODEL_DAY}"
    page = (folder / "report.html").read_text()
    assert "src=http" not in page
    assert 'href="http' not in page
    report = json.loads((folder / "report.json").read_text())
    baselines = {"popularity", "decayed popularity", "recently viewed", "transitions", "als"}
    assert {"model", *baselines, "oracle"} == set(report["evaluation"]["scorers"])
    assert str(folder / "report.html") in (deployment.home / "demo.txt").read_text()


def test_the_demo_says_what_it_does_and_what_came_out(deployment: Home) -> None:
    said = (deployment.home / "demo.txt").read_text()
    assert "day 14/14 (2026-03-14)" in said
    assert re.search(r"\[1/\d+\] raw_events", said)
    assert re.search(r"\[2/\d+\] attributed_conversions .* s  [\d,]+ rows", said)
    assert re.search(r" {8}of \d+ conversions: \d+\.\d% .*no touch", said)
    assert "Held-out conversions" in said
    # The settings let no conversion be without a touch.
    assert "warning: attributed_conversions: most_find_a_touch: 1 row. Most conversions" in said
    assert re.search(r"\n +no touch  2026-03-01  2026-03-14  \d+ +\d+  +\d+\.\d%  +0\.0%\n", said)
    outcome = json.loads((deployment.home / "demo.json").read_text())
    # The world has neither adjustments nor merges.
    lacking = ("adjusted_conversions", "user_persons")
    steps = [step.name for step in STEPS if step.name not in lacking]
    assert [step["step"] for step in outcome["steps"]] == steps
    assert outcome["model_day"] == str(MODEL_DAY)
    assert Path(outcome["report"]).exists()


def test_landed_rows_are_in_the_tables_or_among_the_rejected(deployment: Home) -> None:
    landed = sum(
        pa.parquet.read_metadata(path).num_rows
        for path in (deployment.home / "landing" / "impressions").glob("dt=*/*.parquet")
    )
    rejected = read(deployment, "rejected_events", LOG_DAYS).to_pandas()
    kept = read(deployment, "impressions", LOG_DAYS).num_rows
    assert kept + (rejected.stream == "impressions").sum() == landed


def test_the_index_is_bound_to_the_model_of_its_day(deployment: Home) -> None:
    model = load_checkpoint(deployment.home / "models" / f"dt={MODEL_DAY}")
    bundle = load_bundle(deployment.home / "indexes" / f"dt={MODEL_DAY}")
    assert bundle.model.model_version == model.model_version
    pins = read(deployment, "pin_features", Days(MODEL_DAY, MODEL_DAY))
    assert len(bundle.pin_ids) == pins.num_rows


def test_the_model_records_the_table_versions_it_was_trained_on(deployment: Home) -> None:
    path = deployment.home / "models" / f"dt={MODEL_DAY}" / "model.json"
    provenance = json.loads(path.read_text())["provenance"]
    for table in ("weighted_labels", "hard_negatives", "example_features", "conversion_delay"):
        assert provenance["table_versions"][table] == deployment.lake.version(table)
        days = set(provenance["examples"][table])
        assert days, table
        assert days <= {str(day) for day in LOG_DAYS.widen(after=1)}
    assert provenance["numerics"].keys() == numerics().keys()


def test_tracking_has_the_validation_curve_of_the_model(deployment: Home) -> None:
    path = deployment.home / "models" / f"dt={MODEL_DAY}" / "model.json"
    curve = json.loads(path.read_text())["course"]["validation_curve"]
    with closing(sqlite3.connect(deployment.home / "mlflow.db")) as tracked:
        looks = tracked.execute(
            "SELECT step + 1, value FROM metrics WHERE key = 'validation' ORDER BY step"
        ).fetchall()
    assert len(curve) >= 2
    assert [list(look) for look in looks] == curve


@pytest.mark.parametrize(
    ("group", "table"),
    [
        ("attribution", "attributed_conversions"),
        ("labels", "weighted_labels"),
        ("negatives", "hard_negatives"),
    ],
)
def test_one_day_alone_gives_the_rows_of_the_range(
    deployment: Home, group: str, table: str
) -> None:
    day = LAST_DAY - dt.timedelta(days=4)
    others = [Days(LOG_DAYS.first, day - dt.timedelta(days=1))]
    others.append(Days(day + dt.timedelta(days=1), LAST_DAY))
    before = read(deployment, table, Days(day, day))
    neighbours = [read(deployment, table, days) for days in others]
    rebuilt = deployment.run(
        *("-m", "dagster", "asset", "materialize", "-m", "convcg_assets.definitions"),
        *("--select", f"group:{group}", "--partition", str(day)),
    )
    assert rebuilt.returncode == 0, rebuilt.stderr[-3000:]
    assert read(deployment, table, Days(day, day)).equals(before)
    assert [read(deployment, table, days) for days in others] == neighbours


def test_a_broken_file_fails_the_day_and_leaves_the_tables(
    deployment: Home, tmp_path: Path
) -> None:
    day = LAST_DAY - dt.timedelta(days=2)
    before = {t: read(deployment, t, LOG_DAYS) for t in ("impressions", "conversions", "pins")}
    folder = deployment.home / "landing" / "conversions" / f"dt={day}"
    broken = folder / "part-1.parquet"
    whole = (folder / "part-0.parquet").read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    try:
        failed = deployment.run(
            *("-m", "dagster", "asset", "materialize", "-m", "convcg_assets.definitions"),
            *("--select", "group:raw_events", "--partition", str(day)),
        )
    finally:
        broken.unlink()
    assert failed.returncode != 0
    assert f"dt={day}/part-1.parquet" in failed.stdout + failed.stderr
    assert {t: read(deployment, t, LOG_DAYS) for t in before} == before


def test_a_missing_day_says_which_path_was_looked_for(deployment: Home) -> None:
    day = LAST_DAY + dt.timedelta(days=1)
    failed = deployment.convcg(
        *("run", "--last-day", str(day), "--only", "raw_events", "--no-checks")
    )
    assert failed.returncode == 1
    missing = deployment.home / "landing" / "pins" / f"dt={day}"  # The first that is read.
    assert failed.stderr.startswith("error: ")
    assert f"{missing} does not exist" in failed.stderr
    assert "Traceback" not in failed.stderr + failed.stdout


def test_steps_by_name_with_settings_of_the_model_as_json(deployment: Home, tmp_path: Path) -> None:
    deployment = copy_of(deployment, tmp_path / "home")
    training = {"epochs": 1, "batch_size": 256, "processes": 2}
    config = {"two_tower_checkpoint": {"config": {"training": training}}}
    (tmp_path / "config.json").write_text(json.dumps({"ops": config}))
    done = deployment.convcg(
        *("run", "--only", "two_tower_checkpoint", "--only", "pin_embedding_index", "--json"),
        *("--no-checks", "--config", f"@{tmp_path / 'config.json'}"),
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert [step["step"] for step in outcome["steps"]] == [
        "two_tower_checkpoint",
        "pin_embedding_index",
    ]
    assert outcome["model_day"] == str(MODEL_DAY)
    assert "[1/2] two_tower_checkpoint" in done.stderr
    made_by = json.loads(
        (deployment.home / "models" / f"dt={MODEL_DAY}" / "model.json").read_text()
    )
    assert made_by["training"]["epochs"] == 1
    assert made_by["provenance"]["numerics"]["processes"] == 2

    # On how many processes it is trained does not make it another model.
    training["processes"] = 1
    again = deployment.convcg(
        *("run", "--only", "two_tower_checkpoint", "--json"),
        *("--no-checks", "--config", json.dumps(config)),
    )
    assert again.returncode == 0, again.stderr
    kept = json.loads((deployment.home / "models" / f"dt={MODEL_DAY}" / "model.json").read_text())
    assert kept == made_by


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"two_tower_checkpoint": {"config": {"training": {"epoch": 1}}}},
            "two_tower_checkpoint: training.epoch: Extra inputs are not permitted",
        ),
        (
            {"pin_embedding_index": {"config": {"indx": {}}}},
            "unknown setting of pin_embedding_index 'indx'; did you mean 'index'?",
        ),
        ({"weighted_labels": {"config": {}}}, "weighted_labels has no settings of its own"),
        ({"raw_events": {"config": {}}}, "raw_events has no settings of its own"),
    ],
)
def test_a_mistaken_setting_is_told_before_any_work(
    deployment: Home, config: dict[str, object], said: str
) -> None:
    failed = deployment.convcg("run", "--config", json.dumps(config), "--only", "raw_events")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ")
    assert said in failed.stderr
    assert not failed.stdout


def test_too_few_days_are_told_in_one_line_before_any_work(deployment: Home) -> None:
    last = LOG_DAYS.first + dt.timedelta(days=2)
    failed = deployment.convcg("run", "--last-day", str(last))
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: logs of 2026-03-01...2026-03-03 are 3 days")
    assert "nothing is left to learn from" in failed.stderr
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config", '{"two_tower_chekpoint": {}}'], "did you mean two_tower_checkpoint?"),
        (["--config", '{"checkpoint"'], "not JSON"),
        (["--config", "@nowhere.json"], "nowhere.json cannot be read"),
        (["--only", "weighted_label"], "did you mean weighted_labels?"),
        (["--only", "impressions"], "say raw_events"),
        (["--first-day", "March"], "right would be 2026-01-31"),
    ],
)
def test_wrong_usage_says_what_would_be_right(
    convcg: Convcg, arguments: list[str], said: str
) -> None:
    failed = convcg("run", *arguments)
    assert failed.exit_code == 2
    assert said in failed.stderr


def test_faults_of_source_and_landing_are_told_in_one_message(
    convcg: Convcg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = convcg("run")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: nothing has landed below ")
    source = tmp_path / "source.yaml"
    source.write_text("name: shop\nfirst_day: 2026-01-02\nstreams: {conversion: {}}\n")
    monkeypatch.setenv("CONVCG_SOURCE", str(source))
    failed = convcg("run")
    assert failed.exit_code == 1
    assert failed.stderr.startswith(f"error: source file {source}:")
    assert "did you mean 'conversions'?" in failed.stderr
