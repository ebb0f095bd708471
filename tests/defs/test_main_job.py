"""The main job end to end: what a user who types one command finds afterwards."""

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pytest

from convcg_assets.days import Days
from convcg_assets.lake.engine import connect
from convcg_assets.tables.registry import TABLES
from convcg_model.checkpoint import load_checkpoint
from convcg_model.index import load_bundle
from tests.defs.conftest import LAST_DAY, NUM_DAYS, Deployment

MODEL_DAY = LAST_DAY + dt.timedelta(days=1)
LOG_DAYS = Days(LAST_DAY - dt.timedelta(days=NUM_DAYS - 1), LAST_DAY)


def read(deployment: Deployment, table: str, days: Days) -> pa.Table:
    con = connect()
    rows = con.to_pyarrow(deployment.lake.read(table, days, con=con))
    con.disconnect()
    return rows.sort_by([(c, "ascending") for c in _sortable(rows)])


def _sortable(rows: pa.Table) -> list[str]:
    return [field.name for field in rows.schema if not pa.types.is_list(field.type)]


def test_every_table_holds_rows_and_the_report_is_there(deployment: Deployment) -> None:
    for table in TABLES:
        assert read(deployment, table, LOG_DAYS.widen(after=1)).num_rows > 0, table
    folder = deployment.home / "reports" / f"dt={MODEL_DAY}"
    page = (folder / "report.html").read_text()
    assert "src=http" not in page
    assert 'href="http' not in page
    report = json.loads((folder / "report.json").read_text())
    assert {"model", "popularity", "recently viewed", "als", "oracle"} == set(
        report["evaluation"]["scorers"]
    )
    assert str(folder / "report.html") in (deployment.home / "main_job.txt").read_text()


def test_landed_rows_are_in_the_tables_or_among_the_rejected(deployment: Deployment) -> None:
    landed = sum(
        pa.parquet.read_metadata(path).num_rows
        for path in (deployment.home / "landing" / "impressions").glob("dt=*/*.parquet")
    )
    rejected = read(deployment, "rejected_events", LOG_DAYS).to_pandas()
    kept = read(deployment, "impressions", LOG_DAYS).num_rows
    assert kept + (rejected.stream == "impressions").sum() == landed


def test_the_index_is_bound_to_the_model_of_its_day(deployment: Deployment) -> None:
    model = load_checkpoint(deployment.home / "models" / f"dt={MODEL_DAY}")
    bundle = load_bundle(deployment.home / "indexes" / f"dt={MODEL_DAY}")
    assert bundle.model.model_version == model.model_version
    pins = read(deployment, "pin_features", Days(MODEL_DAY, MODEL_DAY))
    assert len(bundle.pin_ids) == pins.num_rows


def test_the_model_records_the_table_versions_it_was_trained_on(deployment: Deployment) -> None:
    path = deployment.home / "models" / f"dt={MODEL_DAY}" / "model.json"
    versions = json.loads(path.read_text())["provenance"]["table_versions"]
    assert versions["training_examples"] == deployment.lake.version("training_examples")


@pytest.mark.parametrize(
    ("group", "table"),
    [
        ("attribution", "attributed_conversions"),
        ("labels", "weighted_labels"),
        ("negatives", "hard_negatives"),
    ],
)
def test_one_day_alone_gives_the_rows_of_the_range(
    deployment: Deployment, group: str, table: str
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
    deployment: Deployment, tmp_path: Path
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


def test_a_missing_day_says_which_path_was_looked_for(deployment: Deployment) -> None:
    failed = deployment.run(
        *(
            "-m",
            "convcg_assets.commands.main_job",
            "--last-day",
            str(LAST_DAY + dt.timedelta(days=1)),
        )
    )
    assert failed.returncode == 1
    missing = deployment.home / "landing" / "impressions" / f"dt={LAST_DAY + dt.timedelta(days=1)}"
    assert str(missing) in failed.stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config", '{"ops": {"two_tower": {}}}'], "no asset 'two_tower'"),
        (["--last-day", str(LOG_DAYS.first + dt.timedelta(days=2))], "nothing is left to learn"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_any_work(
    deployment: Deployment, arguments: list[str], said: str
) -> None:
    failed = deployment.run("-m", "convcg_assets.commands.main_job", *arguments)
    assert failed.returncode == 1
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr
