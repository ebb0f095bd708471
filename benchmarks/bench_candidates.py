"""Benchmark: candidates of many users: users per second, and memory that they do not add to.

    python -m benchmarks.bench_candidates --pins 1000000 --users 5000 20000

A model is trained for a few steps on drawn examples and embeds the drawn Pins; users are drawn
batch by batch. Each number of users is a process of its own; seconds are those of finding and
writing, on one thread. The last line is one JSON object.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.bench_serve import DAY, make_bundle
from benchmarks.drawn_examples import draw_examples, draw_pins

BATCH_USERS = 4096


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_candidates", description=__doc__
    )
    parser.add_argument("--pins", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("--max-per-advertiser", type=int)
    parser.add_argument("--bundle", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bundle:
        print(json.dumps(find(options)))
        return
    folder = Path(tempfile.mkdtemp(prefix="convcg-bench-"))
    try:
        bundle, found = make_bundle(folder, options.pins), []
        for users in options.users:
            command = [sys.executable, "-m", "benchmarks.bench_candidates", "--bundle", str(bundle)]
            command += ["--pins", str(options.pins), "--users", str(users)]
            if options.max_per_advertiser:
                command += ["--max-per-advertiser", str(options.max_per_advertiser)]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            ran = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=True, env=environment
            )
            found.append(json.loads(ran.stdout.splitlines()[-1]))
        print(json.dumps({"benchmark": "candidates", "pins": options.pins, "runs": found}))
    finally:
        shutil.rmtree(folder)


def find(options: argparse.Namespace) -> dict[str, Any]:
    """Users per second and the peak of memory."""
    from convcg_assets.builds.candidates import write_candidates
    from convcg_assets.tables.candidate_settings import CandidateSettings
    from convcg_model.index import load_bundle
    from convcg_model.live_index import LiveIndex

    bundle = load_bundle(options.bundle)
    tower = bundle.model.user_tower(catalogue=draw_pins(options.pins))
    loaded_gb = _peak_gb()
    begun = time.perf_counter()
    users, rows = write_candidates(
        options.bundle.with_name("candidates.parquet"),
        _users(options.users[0], options.pins),
        day=DAY,
        index=LiveIndex(bundle),
        tower=tower,
        settings=CandidateSettings(max_per_advertiser=options.max_per_advertiser),
        version="1",
    )
    seconds = time.perf_counter() - begun
    return {
        "users": users,
        "rows": rows,
        "users_per_second": round(users / seconds),
        "loaded_gb": loaded_gb,
        "peak_gb": _peak_gb(),
        "factory": bundle.factory,
    }


def _users(num: int, num_pins: int) -> Iterator[pa.RecordBatch]:
    for first in range(0, num, BATCH_USERS):
        size = min(BATCH_USERS, num - first)
        rows = draw_examples(first + 1, size, num_examples=num, num_pins=num_pins)
        named = {n.removeprefix("user_"): rows[n] for n in rows.schema.names if n[:5] == "user_"}
        named["user_id"] = pa.array(range(first, first + size))
        named["bought"] = pa.nulls(size, pa.list_(pa.int64()))
        named.pop("id")
        yield pa.RecordBatch.from_pydict(named)


def _peak_gb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2, 2)


if __name__ == "__main__":
    main()
