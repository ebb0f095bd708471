"""Training on several processes of this machine: starting the ranks, following and ending them.

None outlives the training: each ends as soon as its standard input does, which it does even where
this process is killed.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import torch
import torch.distributed as dist

from convcg_model.determinism import choose_device, device_of_rank, threads_of_each
from convcg_model.preparation import Prepared, save_prepared
from convcg_model.rank_process import FAILURE, OPTIONS, PREPARED, RESULT, STEPS
from convcg_model.sampling import num_steps
from convcg_model.towers import TwoTower
from convcg_model.training_loop import Report, Trained

POLL_S = 0.02
GRACE_S = 2.0
"""So long the others have to say why they failed, after one has."""
LOOPBACK = "127.0.0.1"


class RankError(RuntimeError):
    """A rank failed; the message says which, and its error."""


def train_on_processes(
    prepared: Prepared,
    *,
    report: Report,
    checkpoint_dir: Path | None = None,
    folder: Path | None = None,
) -> Trained:
    """Train on `training.processes` ranks; `report` is called in this process.

    `folder` is where what they read is written, for as long as it lasts. Raises RankError as soon
    as one of them fails, and ValueError where there are not enough GPUs or rows for each.
    """
    training = prepared.training
    device_of_rank(training.device, local_rank=0, processes=training.processes)
    _check_enough_rows(prepared)
    with tempfile.TemporaryDirectory(prefix="ranks-", dir=folder) as temporary:
        path = Path(temporary)
        write_task(prepared, path, checkpoint_dir=checkpoint_dir)
        with _started(path, training.processes) as ranks, (path / STEPS).open() as steps:
            is_done = False
            while not is_done:
                codes = [rank.poll() for rank in ranks]
                is_done = all(code == 0 for code in codes)
                if any(codes):
                    raise _error(path, ranks)
                for line in _whole_lines(steps):
                    report(*json.loads(line))
                time.sleep(POLL_S)
        return read_result(prepared, path)


def write_task(prepared: Prepared, folder: Path, *, checkpoint_dir: Path | None = None) -> None:
    """What ranks read of their training, in a folder that has nothing yet."""
    save_prepared(prepared, folder / PREPARED)
    options = {
        "checkpoint_dir": str(checkpoint_dir.absolute()) if checkpoint_dir else None,
        "threads": threads_of_each(prepared.training.processes),
    }
    (folder / OPTIONS).write_text(json.dumps(options))
    (folder / STEPS).touch()


def read_result(prepared: Prepared, folder: Path) -> Trained:
    """What the first rank left when all were done."""
    result = torch.load(folder / RESULT, weights_only=True)
    network = TwoTower(prepared.spec, prepared.config)
    network.load_state_dict(result["network"])
    network.direction_scale = result["direction_scale"]
    prepared.course.resume(result["course"])
    return Trained(network.to(choose_device(prepared.training.device)), prepared.course)


@contextmanager
def _started(path: Path, num_ranks: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The ranks, which meet at a store of this process; all have ended when the block ends."""
    store = dist.TCPStore(  # pyright: ignore[reportPrivateImportUsage]
        LOOPBACK, 0, is_master=True, wait_for_workers=False
    )
    # `-P`: the package of this process, whatever lies where it runs.
    command = [sys.executable, "-P", "-m", "convcg_model.rank_process", "--attached", str(path)]
    ranks = []
    try:
        for rank in range(num_ranks):
            environment = _environment(rank, num_ranks=num_ranks, port=store.port)
            ranks.append(subprocess.Popen(command, stdin=subprocess.PIPE, env=environment))
        yield ranks
    finally:
        for process in ranks:
            process.kill()
        for process in ranks:
            process.wait()
            process.stdin.close()


def _environment(rank: int, *, num_ranks: int, port: int) -> dict[str, str]:
    """What `torchrun` tells a rank, and where this package is."""
    home = str(Path(__file__).resolve().parents[1])
    told = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": num_ranks,
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": port,
        "TORCHELASTIC_USE_AGENT_STORE": True,
        "OMP_NUM_THREADS": threads_of_each(num_ranks),
        "PYTHONPATH": os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    loopback = {name for _, name in socket.if_nameindex()} & {"lo", "lo0"}
    if loopback:  # Otherwise gloo looks for the address of this machine's name.
        told["GLOO_SOCKET_IFNAME"] = loopback.pop()
    return os.environ | {name: str(value) for name, value in told.items()}


def _error(path: Path, ranks: list[subprocess.Popen[bytes]]) -> RankError:
    """Of the rank that failed first: the others fail because they lack it."""
    deadline = time.monotonic() + GRACE_S
    while any(rank.poll() is None for rank in ranks) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    codes = [rank.poll() for rank in ranks]
    said = {}
    for rank in range(len(ranks)):
        failure = path / FAILURE.format(rank=rank)
        if failure.exists():
            said[rank] = json.loads(failure.read_text())
    for rank, code in enumerate(codes):
        if code and rank not in said:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
            hint = "; often that means that memory ran out" if code == -signal.SIGKILL else ""
            return RankError(
                f"rank {rank} of {len(ranks)} {how} and left no error{hint}. What it said is in "
                "the log; a training that runs again goes on from the newest partial state"
            )
    first = min(said, key=lambda rank: said[rank]["at"])
    return RankError(
        f"rank {first} of {len(ranks)} failed: {said[first]['error']}\n{said[first]['traceback']}"
    )


def _whole_lines(file: TextIO) -> Iterator[str]:
    """The lines that were written since, without one that is being written."""
    while True:
        place = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(place)
            return
        yield line


def _check_enough_rows(prepared: Prepared) -> None:
    """ValueError where some batch has fewer positives than there are ranks."""
    training = prepared.training
    assert training.batch_size != "auto"
    sets = [prepared.data, *([prepared.validation.known] if prepared.validation else [])]
    for data in sets:
        num_positives = len(data.positive)
        smallest = num_positives // num_steps(num_positives, batch_size=training.batch_size)
        if smallest < training.processes:
            raise ValueError(
                f"processes is {training.processes}, but a batch has {smallest} positives: each "
                "process needs one at least; use fewer processes or a larger batch_size"
            )
