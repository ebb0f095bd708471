"""Benchmark: raw logs to training examples, stage by stage, on a simulated world of a given size.

    python -m benchmarks.bench_data --impressions 10000000

Logs are simulated first, which is not counted. Every stage is the asset itself, run by Dagster in
this process, as `convcg run` does. The last line is one JSON object. Linux only: it reads and
resets the process's peak memory in `/proc`.
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

from convcg_assets.commands.console import open_console
from convcg_assets.commands.run import run_steps
from convcg_assets.commands.steps import choose_steps, log_days
from convcg_assets.deployment import current_deployment

NUM_DAYS = 30
MEAN_VOLUME = 1.11
"""Of the simulated world over these days, against its first weekday: it grows, and has weekends."""
TABLES = (
    "raw_events",
    "attributed_conversions",
    "linked_engagements",
    "weighted_labels",
    "hard_negatives",
    "daily_user_counts",
    "daily_pin_counts",
    "daily_actions",
    "user_features",
    "pin_features",
    "example_features",
    "training_examples",
)


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_data", description=__doc__)
    parser.add_argument("--impressions", type=int, default=10_000_000, help="in all, about")
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
        *("simulate", "land", "--into", str(home)),
        *("--days", str(NUM_DAYS), "--last-day", str(last_day)),
        *("--impressions-per-day", str(round(impressions / NUM_DAYS / MEAN_VOLUME))),
    ]
    subprocess.run([sys.executable, "-m", "convcg_assets.commands.main", *landed], check=True)
    (home / "dagster").mkdir(exist_ok=True)
    for name in [name for name in os.environ if name.startswith("CONVCG_")]:
        del os.environ[name]
    os.environ |= {"CONVCG_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
    stages = {}
    deployment, console = current_deployment(), open_console()
    logs = log_days(deployment, first=None, last=None)
    for step in choose_steps(TABLES):
        forget_peak_memory()
        started = time.perf_counter()
        run_steps(deployment, logs, steps=[step], config={}, checks=checks, console=console)
        stages[step.name] = {
            "seconds": round(time.perf_counter() - started, 1),
            "peak_memory_gb": round(peak_memory_gb(), 2),
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


def forget_peak_memory() -> None:
    """Let the peak of this process's memory begin anew, from what it holds now."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory_gb() -> float:
    """Peak resident memory of this process since it was last forgotten."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kilobytes) / 1024**2


def _landed_impressions(home: Path) -> int:
    """Rows landed, as the files' own footers say."""
    files = (home / "landing" / "impressions").glob("dt=*/*.parquet")
    return sum(pq.read_metadata(file).num_rows for file in files)


if __name__ == "__main__":
    main()
