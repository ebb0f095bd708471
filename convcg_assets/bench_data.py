"""Benchmark: raw logs to training examples, stage by stage, on a simulated world of a given size.

    python -m convcg_assets.bench_data --impressions 10000000

Logs are simulated first, which is not counted. Every stage is the asset itself, run by Dagster in a
process of its own, so that its peak memory is its own. The last line is one JSON object.
"""

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

NUM_DAYS = 30
STAGES = (
    "raw events",
    "attribution",
    "labels",
    "hard negatives",
    "features",
    "training examples",
)


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m convcg_assets.bench_data", description=__doc__)
    parser.add_argument("--impressions", type=int, default=10_000_000, help="in all")
    parser.add_argument("--checks", action="store_true", help="run the data-quality checks as well")
    parser.add_argument("--keep", type=Path, help="a folder to work in and to keep")
    options = parser.parse_args()
    home = options.keep or Path(tempfile.mkdtemp(prefix="convcg-bench-"))
    try:
        print(json.dumps(measure(home, options.impressions, checks=options.checks)))
    finally:
        if options.keep is None:
            shutil.rmtree(home)


def measure(home: Path, impressions: int, *, checks: bool) -> dict:
    """Seconds and peak memory of every stage, and in all."""
    last_day = dt.date(2026, 6, 30)
    landed = [
        *("land", "--into", str(home), "--days", str(NUM_DAYS), "--last-day", str(last_day)),
        *("--impressions-per-day", str(impressions // NUM_DAYS)),
    ]
    subprocess.run([sys.executable, "-m", "convcg_assets.simulation", *landed], check=True)
    (home / "dagster").mkdir(exist_ok=True)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("CONVCG_")},
        "CONVCG_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
    }
    stages = {}
    for stage in STAGES:
        command = [sys.executable, "-m", "convcg_assets.main_job", "--stages", stage]
        if not checks:
            command.append("--no-checks")
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            raise RuntimeError(f"stage {stage} failed: see its message above")
        stages[stage] = {
            "seconds": round(time.perf_counter() - started, 1),
            "peak_memory_gb": round(usage.ru_maxrss / 1024**2, 2),
        }
    return {
        "benchmark": "raw logs to training examples",
        "impressions": _landed_impressions(home),
        "days": NUM_DAYS,
        "cores": os.cpu_count(),
        "checks": checks,
        "seconds": round(sum(s["seconds"] for s in stages.values()), 1),
        "peak_memory_gb": max(s["peak_memory_gb"] for s in stages.values()),
        "stages": stages,
    }


def _landed_impressions(home: Path) -> int:
    """Rows landed, as the files' own footers say."""
    files = (home / "landing" / "impressions").glob("dt=*/*.parquet")
    return sum(pq.read_metadata(file).num_rows for file in files)


if __name__ == "__main__":
    main()
