"""The checks as Dagster runs them: over a range of days; an ERROR stops what lies downstream."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from convcg_assets.tables.registry import TABLES
from convcg_simulation.arrivals import write_day
from convcg_simulation.config import WorldConfig
from convcg_simulation.source_file import write_source
from convcg_simulation.world import World

from ..environment import environment_of_others

FIRST = dt.date(2026, 1, 5)
NUM_DAYS = 2
# A process of its own: the deployment is read once, at import.
RUN = """
import json, sys
from convcg_assets.defs.checks import table_checks
heavy = sorted({"great_expectations", "mlflow", "torch"} & set(sys.modules))
import dagster as dg
from convcg_assets.defs import raw_events
from convcg_assets.defs.tables import table_asset
from convcg_assets.tables.registry import DERIVED
from convcg_assets.defs.resources import Warehouse
tables = {"impressions", "engagements", "conversions", "pins", "users", "rejected_events"}
tables |= {"attributed_conversions", "user_merges", "user_persons"}
names = set(sys.argv[3:])
keys = [key for check in table_checks for key in check.check_keys]
defs = dg.Definitions(
    assets=[
        raw_events.raw_events,
        table_asset(DERIVED["user_persons"]),
        table_asset(DERIVED["attributed_conversions"]),
    ],
    asset_checks=[
        check
        for check in table_checks
        for key in check.check_keys
        if key.asset_key.path[0] in tables and (not names or key.name in names)
    ],
    jobs=[dg.define_asset_job("all_tables")],
    resources={"warehouse": Warehouse(threads=2, memory_limit="1GB")},
    executor=dg.in_process_executor,
)
with dg.instance_for_test() as instance:
    result = defs.resolve_job_def("all_tables").execute_in_process(
        instance=instance,
        raise_on_error=False,
        tags={
            "dagster/asset_partition_range_start": sys.argv[1],
            "dagster/asset_partition_range_end": sys.argv[2],
        },
    )
checks = {
    f"{e.asset_key.path[0]}.{e.check_name}": {
        "passed": e.passed,
        "severity": e.severity.value,
        "description": e.description,
        "rows": [r.data for r in e.metadata["offending"].records]
        if "offending" in e.metadata
        else [],
    }
    for e in result.get_asset_check_evaluations()
}
built = [e.materialization.asset_key.path[0] for e in result.get_asset_materialization_events()]
print(json.dumps({
    "heavy": heavy,
    "checked": sorted({k.asset_key.path[0] for k in keys if k.name == "expectations"}),
    "checks": checks,
    "built": built,
    "success": result.success,
}))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    config = WorldConfig.scaled(
        impressions_per_day=800,
        num_days=NUM_DAYS,
        seed=3,
        first_day=FIRST.isoformat(),
        adjusted_share=0.5,
    )
    write_source(config, folder=tmp_path)
    source = yaml.safe_load((tmp_path / "source.yaml").read_text())
    source["streams"]["user_merges"] = {"format": "csv"}
    (tmp_path / "source.yaml").write_text(yaml.safe_dump(source))
    for number in range(NUM_DAYS):
        write_day(World(config), number, tmp_path / "landing")
        day = FIRST + dt.timedelta(days=number)
        folder = tmp_path / "landing" / "user_merges" / f"dt={day}"
        folder.mkdir(parents=True)
        header = "merge_id,from_user_id,to_user_id,merged_ts,received_ts"
        row = f"m{number},{3_000_000 + number},3000007,{day} 10:00:00,{day} 10:00:00"
        (folder / "merges.csv").write_text(f"{header}\n{row}\n")
    return tmp_path


def run(home: Path, *names: str) -> dict:
    environment = environment_of_others()
    last = FIRST + dt.timedelta(days=NUM_DAYS - 1)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(FIRST), str(last), *names],
        env={**environment, "CONVCG_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_sound_logs_pass_and_nothing_heavy_is_imported_at_load(home: Path) -> None:
    outcome = run(home)
    assert outcome["heavy"] == []
    assert outcome["checked"] == sorted(TABLES)
    failed = {name: c for name, c in outcome["checks"].items() if not c["passed"]}
    assert failed == {}
    assert "attributed_conversions.credits_sum_to_1" in outcome["checks"]
    assert "attributed_conversions" in outcome["built"]


def test_a_log_that_has_changed_stops_the_run(home: Path) -> None:
    day = FIRST + dt.timedelta(days=1)
    [path] = (home / "landing" / "impressions" / f"dt={day}").glob("*.parquet")
    rows = pq.read_table(path)
    at = rows.column_names.index("surface")
    # As if all surfaces but Search had got a new name: their rows are rejected, and are too many.
    renamed = [s if s == "search" else "profile" for s in rows["surface"].to_pylist()]
    pq.write_table(rows.set_column(at, "surface", pa.array(renamed)), path)
    outcome = run(home, "few_rejected_rows")
    check = outcome["checks"]["impressions.few_rejected_rows"]
    assert (check["passed"], check["severity"]) == (False, "ERROR")
    [offending] = check["rows"]
    assert (offending["dt"], offending["stream"]) == (str(day), "impressions")
    assert offending["num_rejected"] + offending["num_accepted"] == rows.num_rows
    assert "impressions" in outcome["built"]
    assert "attributed_conversions" not in outcome["built"]


def test_a_day_that_cannot_be_read_fails_the_run_and_not_the_other_days(home: Path) -> None:
    [path] = (home / "landing" / "impressions" / f"dt={FIRST}").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    outcome = run(home, "every_day_read", "few_rejected_rows")
    check = outcome["checks"]["rejected_events.every_day_read"]
    assert (check["passed"], check["severity"]) == (False, "ERROR")
    assert str(path) in check["description"]
    assert outcome["checks"]["impressions.few_rejected_rows"]["passed"]
    assert "impressions" in outcome["built"]
    assert not outcome["success"]
