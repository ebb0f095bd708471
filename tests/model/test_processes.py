"""`training.processes`: started, followed, killed, gone on; and the same by torchrun itself."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convcg_model.checkpoint import load_checkpoint, save_checkpoint
from convcg_model.preparation import load_prepared, prepare, save_prepared
from convcg_model.processes import RankError, read_result, train_on_processes, write_task
from convcg_model.repeat_rates import RepeatRates
from convcg_model.trained_model import TrainedModel

from .conftest import World
from .ranks import movement, needs_gloo
from .test_training import SHORT, SMALL, train

pytestmark = [pytest.mark.torchrun, needs_gloo]
CONFIG = SMALL.model_copy(update={"dropout": 0.2, "min_pin_count": 45})
ALONE = SHORT.model_copy(update={"epochs": 30, "save_every_steps": 10})
ON_TWO = ALONE.model_copy(update={"processes": 2, "sharded_rows": 3})
NUM_STEPS = 150
"""So many that ranks are not done before this process, which hears of a step late, stops them."""
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def on_two(world: World) -> TrainedModel:
    return train(world, config=CONFIG, training=ON_TWO)


def rank_pids(parent: int) -> dict[int, int]:
    """The processes of a training by their rank."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) != parent:
                continue
            told = (folder / "environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        ranks = [entry for entry in told if entry.startswith(b"RANK=")]
        if ranks:
            found[int(ranks[0].removeprefix(b"RANK="))] = int(folder.name)
    return found


def weights(model: TrainedModel) -> dict[str, torch.Tensor]:
    return model.network.state_dict()


def assert_close(model: TrainedModel, other: TrainedModel) -> None:
    nothing = {name: torch.zeros_like(values) for name, values in weights(model).items()}
    length = movement(weights(model), since=nothing)
    assert movement(weights(other), since=weights(model)) < 1e-3 * length


def newest_step(folder: Path) -> int:
    """Of the partial states; a rank that is killed may leave an older one and a half one too."""
    return max(int(path.stem[-9:]) for path in folder.glob("partial-*.pt"))


def test_a_killed_rank_is_named_and_ends_the_others(world, tmp_path):
    steps = []

    def kill_rank_1(step: int, _: Any) -> None:
        steps.append(step)
        if step == 15:
            os.kill(rank_pids(os.getpid())[1], signal.SIGKILL)

    given = {"config": CONFIG, "checkpoint_dir": tmp_path / "partial"}
    with pytest.raises(RankError, match="rank 1 of 2 was ended by SIGKILL"):
        train(world, **given, training=ON_TWO, on_step=kill_rank_1)
    assert steps[:16] == list(range(16))
    assert not rank_pids(os.getpid())
    assert newest_step(tmp_path / "partial") >= 10


def test_killed_and_resumed_ends_in_the_same_bytes(world, on_two, tmp_path):
    class StopError(Exception):
        pass

    def stop(step: int, _: Any) -> None:
        if step == 15:
            raise StopError

    places = [tmp_path / "two", tmp_path / "one"]
    given = {"config": CONFIG, "checkpoint_dir": places[0]}
    with pytest.raises(StopError):
        train(world, **given, training=ON_TWO, on_step=stop)
    assert not rank_pids(os.getpid())
    first_step = newest_step(places[0])
    assert 10 <= first_step < NUM_STEPS
    shutil.copytree(*places)

    steps = []
    from_files = given | {"array_folder": tmp_path / "arrays"}
    resumed = train(
        world, **from_files, training=ON_TWO, on_step=lambda step, _: steps.append(step)
    )
    assert steps == list(range(first_step, NUM_STEPS))
    assert resumed.model_version == on_two.model_version
    assert not list(places[0].iterdir())

    steps.clear()
    given["checkpoint_dir"] = places[1]
    resumed = train(world, **given, training=ALONE, on_step=lambda step, _: steps.append(step))
    assert steps[0] == first_step
    assert_close(resumed, on_two)


def test_ranks_map_the_files_of_the_examples_and_copy_none(world, tmp_path):
    prepared, _ = prepare(
        world.examples,
        world.pins,
        config=CONFIG,
        training=ON_TWO,
        array_folder=tmp_path / "arrays",
    )
    save_prepared(prepared, tmp_path / "prepared")
    loaded = load_prepared(tmp_path / "prepared")
    assert loaded.data.digest() == prepared.data.digest()
    mapped = [name for name, v in vars(prepared.data.users).items() if isinstance(v, np.memmap)]
    assert {"numeric", "recent", "recent_age", "token"} <= set(mapped)
    for name in mapped:
        again = getattr(loaded.data.users, name)
        assert isinstance(again, np.memmap)
        assert str(again.filename) == str(getattr(prepared.data.users, name).filename)
        assert np.array_equal(again, getattr(prepared.data.users, name))


def test_the_checkpoint_is_that_of_one_process(world, on_two, tmp_path):
    one = train(world, config=CONFIG, training=ALONE)
    assert_close(one, on_two)
    assert on_two.spec.pin_hash_buckets
    for name, model in (("one", one), ("two", on_two)):
        save_checkpoint(model, tmp_path / name)
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("one", "two")]
    assert files[0] == files[1]
    loaded = load_checkpoint(tmp_path / "two")
    assert loaded.model_version == on_two.model_version
    shapes = [{n: v.shape for n, v in weights(model).items()} for model in (one, loaded)]
    assert shapes[0] == shapes[1]


def test_how_many_processes_is_no_part_of_the_version(world):
    model = train(world, config=CONFIG, training=SHORT)
    claimed = replace(model, training=model.training.model_copy(update={"processes": 4}))
    assert claimed.model_version == model.model_version


def test_torchrun_gives_the_same_bytes(world, on_two, tmp_path):
    prepared, _ = prepare(world.examples, world.pins, config=CONFIG, training=ON_TWO)
    write_task(prepared, tmp_path)
    command = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    subprocess.run(
        [sys.executable, *command, "-m", "convcg_model.rank_process", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=300,
    )
    by_torchrun = read_result(prepared, tmp_path).network.state_dict()
    for name, values in weights(on_two).items():
        assert torch.equal(by_torchrun[name], values), name


@dataclass(frozen=True)
class FailsOn:
    """Is these rates, but raises where a rank reads it."""

    rank: int
    rates: RepeatRates

    def __reduce__(self):
        return _fail_on, (self.rank, self.rates)


def _fail_on(rank: int, rates: RepeatRates) -> RepeatRates:
    if os.environ["RANK"] == str(rank):
        raise ValueError("this disk is unreadable")
    return rates


def test_the_error_of_a_rank_is_told_and_the_others_end(world):
    prepared, _ = prepare(world.examples, world.pins, config=CONFIG, training=ON_TWO)
    failing: Any = FailsOn(1, prepared.repeats)
    with pytest.raises(RankError, match=r"rank 1 of 2 failed: ValueError: this disk is unreadable"):
        train_on_processes(replace(prepared, repeats=failing), report=lambda *_: None)
    assert not rank_pids(os.getpid())


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that trains on two others, for long, and says so at the first step."""
    script = tmp_path / "parent.py"
    script.write_text(
        "from tests.model.conftest import World\n"
        "from tests.model.test_processes import ON_TWO\n"
        "from tests.model.test_training import train\n"
        "long = ON_TWO.model_copy(update={'epochs': 1000})\n"
        "train(World(), training=long, on_step=lambda *_: print('step', flush=True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_no_rank_outlives_a_parent_that_was_killed(parent):
    assert parent.stdout is not None
    assert parent.stdout.readline() == "step\n"
    pids = rank_pids(parent.pid)
    assert sorted(pids) == [0, 1]
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while any(is_running(pid) for pid in pids.values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids.values() if is_running(pid)]


def is_running(pid: int) -> bool:
    """Whether there is such a process that has not ended; who inherits it may be slow to look."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_too_many_processes_for_a_batch_are_refused(world):
    few = ON_TWO.model_copy(update={"batch_size": 2, "processes": 3})
    with pytest.raises(ValueError, match="processes is 3, but a batch has 2 positives"):
        train(world, training=few)
