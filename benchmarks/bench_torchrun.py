"""Benchmark: training on one process and on several; examples per second.

    python -m benchmarks.bench_torchrun --examples 200000 --steps 40 --rounds 3

Examples are drawn at random and encoded first, which is not counted. Of each way to train one step
after the other is timed from the eleventh on, as this process is told of it. The ways take turns,
so that what else the machine does comes upon all; medians over the rounds are compared. Where other
work takes the processors, what the processes computed says more than how long they took: processor
seconds of 1,000 positives, of all processes together. With `--sharded-rows 1` the tables of Pins
and query words are divided over the processes, whatever their size. The last line is one JSON
object. Linux only.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch

from benchmarks.drawn_examples import draw_examples, draw_pins
from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.training import fit

FIRST_STEPS = 10
"""Of which seconds are not counted: caches are filled."""


class EnoughError(Exception):
    """All steps that were asked for are done."""


class Speed(NamedTuple):
    """Positives per second, and processor seconds of 1,000 positives."""

    examples_per_s: float
    processor_s: float


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_torchrun", description=__doc__
    )
    parser.add_argument("--examples", type=int, default=200_000)
    parser.add_argument("--batch-size", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--sharded-rows", type=int, default=100_000)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--train", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        processes, threads = options.train
        torch.set_num_threads(threads)
        print(json.dumps(train(options, processes=processes)))
        return
    several = options.processes
    ways = {"1 process, 1 thread": (1, 1), f"1 process, {several} threads": (1, several)}
    ways[f"{several} processes, 1 thread each"] = (several, several)
    found: dict[str, list[Speed]] = {way: [] for way in ways}
    for number in range(options.rounds):
        for way, (processes, threads) in ways.items():
            found[way].append(_in_a_process(options, processes, threads))
            print(f"round {number + 1}, {way}: {found[way][-1]}", flush=True)
    medians = {
        way: Speed(*(statistics.median(values) for values in zip(*speeds, strict=True)))
        for way, speeds in found.items()
    }
    alone, threaded, together = medians.values()
    figures = {
        "benchmark": "training on several processes",
        "examples": options.examples,
        "batch_size": options.batch_size,
        "sharded_rows": options.sharded_rows,
        "device": options.device,
        "processors": os.cpu_count(),
        "examples_per_s": {way: round(speed.examples_per_s) for way, speed in medians.items()},
        "processor_s_of_1000": {way: round(s.processor_s, 3) for way, s in medians.items()},
        f"speed_of_{several}_processes_to_1": _ratio(together, alone),
        f"speed_of_{several}_processes_to_as_many_threads": _ratio(together, threaded),
    }
    print(json.dumps(figures))


def _ratio(speed: Speed, other: Speed) -> float:
    return round(speed.examples_per_s / other.examples_per_s, 2)


def train(options: argparse.Namespace, *, processes: int) -> Speed:
    """The speed of the steps that count."""
    examples = pa.Table.from_batches([draw_examples(0, options.examples)])
    at: dict[int, tuple[float, float]] = {}
    last = FIRST_STEPS + options.steps

    def on_step(step: int, metrics: dict[str, float]) -> None:
        if step in (FIRST_STEPS, last):
            at[step] = time.perf_counter(), _processor_s()
        if step == last:
            raise EnoughError

    training: dict[str, Any] = {"epochs": 1000, "batch_size": options.batch_size}
    with suppress(EnoughError):
        fit(
            examples,
            draw_pins(),
            config=ModelConfig(),
            training=TrainingConfig(
                **training,
                processes=processes,
                sharded_rows=options.sharded_rows,
                device=options.device,
            ),
            on_step=on_step,
            progress=False,
        )
    seconds, processor_s = (b - a for a, b in zip(at[FIRST_STEPS], at[last], strict=True))
    positives = options.batch_size * options.steps
    return Speed(positives / seconds, 1000 * processor_s / positives)


def _processor_s() -> float:
    """What this process and those that it started have computed."""
    ticks = 0
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            told = place.read_text().rpartition(")")[2].split()
            if int(told[1]) == os.getpid():
                ticks += int(told[11]) + int(told[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _in_a_process(options: argparse.Namespace, processes: int, threads: int) -> Speed:
    command = [sys.executable, "-m", "benchmarks.bench_torchrun"]
    command += ["--train", str(processes), str(threads)]
    for name in ("examples", "batch_size", "steps", "sharded_rows", "device"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    ran = subprocess.run(
        command,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Speed(*json.loads(ran.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
