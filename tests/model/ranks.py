"""Ranks that the tests start by themselves: processes forked with torch loaded, for many trainings.

`fit` starts its own, which takes them seconds; that is tested once, in `test_processes.py`.
"""

import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.preparation import prepare
from convcg_model.ranks import ALONE, Ranks
from convcg_model.training_loop import train

from ..forked import start
from .conftest import World

Case = tuple[ModelConfig, TrainingConfig]
AGAIN = ", again"
CPU = torch.device("cpu")
REQUIRED = "CONVCG_TEST_TORCHRUN_REQUIRED"
needs_gloo = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()) and not os.environ.get(REQUIRED),
    reason="this build of torch has no gloo",
)
"""Skips where ranks cannot talk; where it is required, the tests fail instead."""


def train_case(case: Case, world: World, ranks: Ranks = ALONE, **options: Any) -> dict[str, Any]:
    """Metrics of each step, weights, and the course that a training took."""
    prepared, _ = prepare(world.examples, world.pins, config=case[0], training=case[1])
    steps = []
    trained = train(
        prepared,
        device=CPU,
        report=lambda step, _, metrics: steps.append((step, metrics)),
        ranks=ranks,
        **options,
    )
    weights = {n: values.clone() for n, values in trained.network.state_dict().items()}
    return {"steps": steps, "weights": weights, "course": trained.course.state()}


def train_on_ranks(cases: Mapping[str, Case], num_ranks: int, folder: Path) -> dict[str, Any]:
    """What rank 0 found of each case; all ranks train all cases, one after the other.

    By the name with `AGAIN` behind it what a training found that went on from the case's newest
    partial state, which lies in a folder of that name.
    """
    processes = [start(_rank, rank, num_ranks, dict(cases), folder) for rank in range(num_ranks)]
    for process in processes:
        process.join()
    for rank in range(num_ranks):
        failure = folder / f"failure-{rank}"
        assert not failure.exists(), failure.read_text()
    return torch.load(folder / "found.pt", weights_only=False)


def _rank(rank: int, num_ranks: int, cases: dict[str, Case], folder: Path) -> None:
    try:
        torch.set_num_threads(1)
        place = f"file://{folder / 'store'}"
        dist.init_process_group("gloo", init_method=place, rank=rank, world_size=num_ranks)
        world, ranks = World(with_times=True), Ranks(rank, num_ranks)
        # Each has a folder for its partial states, which stay there, and goes on from the newest.
        found = {
            f"{name}{again}": train_case(case, world, ranks, checkpoint_dir=folder / name)
            for name, case in cases.items()
            for again in ("", AGAIN)
        }
        if rank == 0:
            torch.save(found, folder / "found.pt")
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:
        (folder / f"failure-{rank}").write_text(traceback.format_exc())
        raise


def movement(weights: Mapping[str, torch.Tensor], *, since: Mapping[str, torch.Tensor]) -> float:
    """The length of all that weights have moved."""
    squares = [((weights[name] - since[name]).double() ** 2).sum() for name in weights]
    return float(torch.stack(squares).sum().sqrt())
