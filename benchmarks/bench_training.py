"""Benchmark: training from files beside training from memory; how much memory each takes.

    python -m benchmarks.bench_training --examples 1000000 --steps 100
    python -m benchmarks.bench_training --examples 10000000 --steps 100 --only files

Examples are drawn first, which is not counted, and lie in an Arrow file as the asset writes it.
Each training is a process of its own and ends after some steps; seconds of a step are the median of
all but the first ten. Peaks are of resident memory, and of that part of it which no file backs: the
rest the system takes back when it needs it. To see that it can, run it in a memory cgroup. The last
line is one JSON object. Linux only.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.drawn_examples import draw_examples, draw_pins
from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.example_file import write_examples
from convcg_model.training import fit

PART_ROWS = 100_000
FIRST_STEPS = 10
"""Of which seconds are not counted: caches are filled."""


class EnoughError(Exception):
    """All steps that were asked for are done."""


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_training", description=__doc__
    )
    parser.add_argument("--examples", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--only", choices=("files", "memory"))
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--folder", type=Path, help="for the files; a temporary one by default")
    parser.add_argument("--train", choices=("files", "memory"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        print(json.dumps(train(options)))
        return
    folder = Path(tempfile.mkdtemp(prefix="convcg-bench-", dir=options.folder))
    try:
        _draw(folder, options.examples)
        found = {
            kind: _in_a_process(folder, kind, options)
            for kind in ("memory", "files")
            if options.only in (None, kind)
        }
    finally:
        shutil.rmtree(folder)
    figures = {"benchmark": "training from files", "examples": options.examples}
    figures |= {"device": options.device, **found}
    if len(found) == 2:
        ratio = found["memory"]["step_seconds"] / found["files"]["step_seconds"]
        figures["speed_of_files_to_memory"] = round(ratio, 3)
    print(json.dumps(figures))


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds to encode, of a step, and peaks of memory in GB."""
    folder, kind, steps = options.folder, options.train, options.steps
    with pa.memory_map(str(folder / "examples.arrow")) as mapped:
        examples = pa.ipc.open_file(mapped).read_all()
    if kind == "memory":
        with pa.OSFile(str(folder / "examples.arrow"), "rb") as file:
            examples = pa.ipc.open_file(file).read_all()
    pins = draw_pins()
    at: list[float] = []

    def on_step(step: int, metrics: dict[str, float]) -> None:
        at.append(time.perf_counter())
        if len(at) == steps:
            raise EnoughError

    started = time.perf_counter()
    with _Peak() as peak, suppress(EnoughError):
        fit(
            examples,
            pins,
            config=ModelConfig(),
            training=TrainingConfig(device=options.device),
            array_folder=folder / "arrays" if kind == "files" else None,
            on_step=on_step,
            progress=False,
        )
    between = [after - before for before, after in pairwise(at)]
    return {
        "seconds_to_first_step": round(at[0] - started, 1),
        "step_seconds": round(statistics.median(between[FIRST_STEPS:]), 4),
        "peak_gb": round(peak.resident, 2),
        "peak_gb_no_file_backs": round(peak.anonymous, 2),
    }


class _Peak:
    """Peaks of resident memory in GB, looked at ten times a second."""

    def __init__(self) -> None:
        self.resident = self.anonymous = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.1):
            lines = Path("/proc/self/status").read_text().splitlines()
            held = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
            held = {name: int(kilobytes) / 1024**2 for name, kilobytes in held.items()}
            self.resident = max(self.resident, sum(held.values()))
            self.anonymous = max(self.anonymous, held["RssAnon"])


def _in_a_process(folder: Path, kind: str, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_training", "--train", kind]
    command += ["--steps", str(options.steps), "--device", options.device]
    ran = subprocess.run(
        [*command, "--folder", str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    shutil.rmtree(folder / "arrays", ignore_errors=True)
    return json.loads(ran.stdout.splitlines()[-1])


def _draw(folder: Path, num_examples: int) -> None:
    """Examples day by day, in an Arrow file."""
    schema = draw_examples(0, 10).schema
    write_examples(_parts(num_examples), schema, folder / "examples.arrow")


def _parts(num_examples: int) -> Iterator[pa.RecordBatch]:
    for first_row in range(0, num_examples, PART_ROWS):
        num_rows = min(PART_ROWS, num_examples - first_row)
        yield draw_examples(first_row, num_rows, num_examples=num_examples)


if __name__ == "__main__":
    main()
