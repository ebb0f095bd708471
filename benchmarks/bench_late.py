"""Benchmark: one late file repaired, and a corrected log, against a full rebuild; a sensor's look.

    python -m benchmarks.bench_late --days 90 --impressions-per-day 200000

Logs are simulated first, which is not counted. Tables are built by what the assets call
(`builds/build.py`) in this process, without Dagster and checks, for both sides alike. The corrected
log is one of engagements from which a hundredth of the rows was taken, five days before the newest.
The last line is one JSON object.
"""

import argparse
import dataclasses
import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from convcg_assets.builds.build import build_table, open_build
from convcg_assets.builds.status import read_status
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment, current_deployment
from convcg_assets.lake.engine import connect, stream_rows
from convcg_assets.tables.raw import RAW, RAW_TABLES
from convcg_assets.tables.registry import ARTIFACTS
from convcg_assets.tables.table import DAY

LAST_DAY = dt.date(2026, 6, 30)
NUM_TICKS = 5


class NoRuns:
    """Nothing is under way, and nothing has failed."""

    def is_active(self, table: str, day: dt.date) -> bool:
        """Nothing is."""
        return False

    def attempts(self, request_keys: Iterable[str]) -> int:
        """None."""
        return 0


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_late", description=__doc__)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--impressions-per-day", type=int, default=200_000)
    parser.add_argument("--history-days", type=int, default=400, help="of the sensor's look")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="convcg-bench-"))
    try:
        halves = [
            measure_repair(home / f"repair-{n}", n, options.impressions_per_day)
            for n in (options.days // 2, options.days)
        ]
        ticks = [
            measure_ticks(home / f"ticks-{n}", n)
            for n in (options.history_days // 2, options.history_days)
        ]
    finally:
        shutil.rmtree(home)
    figures = {
        "benchmark": "one late file against a full rebuild",
        "impressions_per_day": options.impressions_per_day,
        "cores": os.cpu_count(),
        **halves[1],
        "half_the_days": {k: v for k, v in halves[0].items() if not k.endswith("_by_table")},
        "sensor_look": ticks,
    }
    print(json.dumps(figures))


def measure_repair(home: Path, num_days: int, impressions_per_day: int) -> dict:
    """Seconds and rows written of a full build, and of the repair after one late file."""
    deployment = _land(home, num_days, impressions_per_day)
    logs = Days(LAST_DAY - (num_days - 1) * DAY, LAST_DAY)
    model_day = LAST_DAY + DAY
    started, rows = time.perf_counter(), 0
    for table in (RAW, *deployment.recipes):
        if table in ARTIFACTS:
            continue
        days = logs if table == RAW or deployment.recipes[table].domain == "logs" else None
        if days is None:
            days = Days(logs.first + DAY, model_day)
        if table == "training_examples":
            days = Days(model_day, model_day)
        rows += _build(deployment, table, days)
    full_seconds = time.perf_counter() - started
    view_rows, view_seconds = _read_examples(deployment, model_day)
    _simulate("late-file", "--into", str(home))
    seconds, repair_rows, repaired = _repair(deployment)
    _take_out(deployment.source.landing / "engagements" / f"dt={LAST_DAY - 5 * DAY}")
    corrected_seconds, corrected_rows, corrected = _repair(deployment)
    measured = {
        "days": num_days,
        "full_seconds": round(full_seconds, 1),
        "full_rows": rows,
        "examples_of_one_model": {"rows": view_rows, "seconds_to_read": round(view_seconds, 2)},
        "repair_seconds": round(seconds, 1),
        "repair_rows": repair_rows,
        "times_less_seconds": round(full_seconds / seconds, 1),
        "times_less_rows": round(rows / repair_rows, 1),
        "label_days_rebuilt": _days_built(repaired, "weighted_labels"),
        "corrected_seconds": round(corrected_seconds, 1),
        "corrected_rows": corrected_rows,
        "corrected_label_days_rebuilt": _days_built(corrected, "weighted_labels"),
        "repair_by_table": repaired,
        "corrected_by_table": corrected,
    }
    print(json.dumps(measured), file=sys.stderr)
    return measured


def _repair(deployment: Deployment) -> tuple[float, int, dict[str, list[dict]]]:
    """Rebuild all that is stale: seconds, rows, and both by table and request."""
    by_table: dict[str, list[dict]] = {}
    started, num_rows = time.perf_counter(), 0
    while requests := read_status(deployment, runs=NoRuns()).plan.requests:
        for request in requests:
            begun = time.perf_counter()
            written = _build(deployment, request.table, request.days)
            num_rows += written
            done = {"days": str(request.days), "rows": written}
            done["seconds"] = round(time.perf_counter() - begun, 2)
            by_table.setdefault(request.table, []).append(done)
    return time.perf_counter() - started, num_rows, by_table


def _take_out(folder: Path) -> None:
    """Write a day's Parquet files again without a hundredth of their rows."""
    for path in sorted(folder.glob("*.parquet")):
        rows = pq.ParquetFile(path).read()
        pq.write_table(rows.slice(rows.num_rows // 100), path)


def _days_built(by_table: dict[str, list[dict]], table: str) -> int:
    return sum(len(_days(request["days"])) for request in by_table.get(table, []))


def measure_ticks(home: Path, num_days: int) -> dict:
    """Seconds of a look at so many days of history: the first of a process, and those after."""
    deployment = _land(home, num_days, 50)
    logs = Days(LAST_DAY - (num_days - 1) * DAY, LAST_DAY)
    for table in (RAW, *deployment.recipes):
        if table not in (*ARTIFACTS, "training_examples"):
            is_log = table == RAW or deployment.recipes[table].domain == "logs"
            _build(deployment, table, logs if is_log else Days(logs.first + DAY, LAST_DAY + DAY))
    seconds = []
    for _ in range(1 + NUM_TICKS):
        started = time.perf_counter()
        found = read_status(deployment, runs=NoRuns())
        seconds.append(time.perf_counter() - started)
        assert found.plan.is_settled, "a finished history has nothing to do"
    return {
        "days": num_days,
        "first_seconds": round(seconds[0], 3),
        "median_seconds": round(statistics.median(seconds[1:]), 3),
    }


def _land(home: Path, num_days: int, impressions_per_day: int) -> Deployment:
    options = ("--days", str(num_days), "--last-day", str(LAST_DAY), "--into", str(home))
    _simulate("land", *options, "--impressions-per-day", str(impressions_per_day))
    for name in [name for name in os.environ if name.startswith("CONVCG_")]:
        del os.environ[name]
    os.environ["CONVCG_HOME"] = str(home)
    current_deployment.cache_clear()
    # A history that has ended: otherwise the days since then would be waited for.
    deployment = current_deployment()
    ended = deployment.source.model_copy(update={"last_day": LAST_DAY})
    return dataclasses.replace(deployment, source=ended)


def _simulate(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "convcg_assets.commands.main", "simulate", *arguments],
        check=True,
        stdout=sys.stderr,
    )


def _build(deployment: Deployment, table: str, days: Days) -> int:
    """Build days of a table with an engine of its own; the rows written."""
    con = connect(threads=os.cpu_count(), temp=deployment.home / "spill")
    tables = RAW_TABLES if table == RAW else (table,)
    before = {t: deployment.lake.version(t) for t in tables}
    try:
        build_table(deployment, table, days, con=con)
        written = [t for t in tables if deployment.lake.version(t) != before[t]]
        return sum(sum(deployment.lake.num_rows(t, days, con=con).values()) for t in written)
    finally:
        con.disconnect()


def _read_examples(deployment: Deployment, day: dt.date) -> tuple[int, float]:
    """The examples that a model of a day T learns from, and seconds to make all of them."""
    con = connect(threads=os.cpu_count(), temp=deployment.home / "spill")
    started, num_rows = time.perf_counter(), 0
    try:
        with open_build(deployment, "two_tower_checkpoint", Days(day, day), con=con) as build:
            schema = deployment.lake.schema("training_examples")
            rows = build.training_rows()
            with stream_rows(rows, schema=schema, con=con) as batches:
                for batch in batches:
                    num_rows += batch.num_rows
        return num_rows, time.perf_counter() - started
    finally:
        con.disconnect()


def _days(text: str) -> Days:
    first, _, last = text.partition("...")
    return Days(dt.date.fromisoformat(first), dt.date.fromisoformat(last or first))


if __name__ == "__main__":
    main()
