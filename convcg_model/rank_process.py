"""One of the processes that train a model together, as `torchrun` starts it for each rank.

    torchrun --nproc-per-node N -m convcg_model.rank_process FOLDER

`FOLDER` is written by `processes.py`, which also reads what the ranks leave in it: the first its
steps and its result, each of them why it failed.
"""

import argparse
import datetime as dt
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path

import torch
import torch.distributed as dist

from convcg_model.determinism import device_of_rank
from convcg_model.preparation import load_prepared
from convcg_model.ranks import Ranks
from convcg_model.training_loop import train

PREPARED, OPTIONS = "prepared.pickle", "options.json"
STEPS, RESULT = "steps.jsonl", "result.pt"
FAILURE = "failure-{rank}.json"
PATIENCE = dt.timedelta(hours=1)
"""So long a rank waits for another: one may be asking the newest positives."""


def main() -> None:
    """Train as the rank that the environment names; leave why it failed, if it does."""
    parser = argparse.ArgumentParser(prog="python -m convcg_model.rank_process")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--attached", action="store_true", help="end as soon as standard input does"
    )
    options = parser.parse_args()
    if options.attached:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    rank = int(os.environ["RANK"])
    try:
        run(options.folder, rank=rank)
    except BaseException as error:
        failure = {
            "at": time.time(),
            "error": "".join(traceback.format_exception_only(error)).strip(),
            "traceback": traceback.format_exc(),
        }
        path = options.folder / FAILURE.format(rank=rank)
        path.with_suffix(".tmp").write_text(json.dumps(failure))
        path.with_suffix(".tmp").rename(path)
        traceback.print_exc()
        sys.stderr.flush()
        # Not an orderly end: that may wait for ranks which wait for this one.
        os._exit(1)


def run(folder: Path, *, rank: int) -> None:
    """Train with the other ranks."""
    options = json.loads((folder / OPTIONS).read_text())
    prepared = load_prepared(folder / PREPARED)
    asked, started = prepared.training.processes, int(os.environ["WORLD_SIZE"])
    if started != asked:
        raise ValueError(f"processes is {asked}, but {started} were started: start {asked}")
    device = device_of_rank(
        prepared.training.device, local_rank=int(os.environ["LOCAL_RANK"]), processes=asked
    )
    torch.set_num_threads(options["threads"])
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "nccl"
    dist.init_process_group(backend, timeout=PATIENCE)
    checkpoint_dir = options["checkpoint_dir"]
    with (folder / STEPS).open("a") if rank == 0 else open(os.devnull, "w") as steps:

        def report(*of_step: object) -> None:
            steps.write(json.dumps(of_step) + "\n")
            steps.flush()

        trained = train(
            prepared,
            device=device,
            report=report,
            checkpoint_dir=Path(checkpoint_dir) if checkpoint_dir else None,
            ranks=Ranks(rank, started),
        )
    if rank == 0:
        network = trained.network
        result = {
            "network": {name: tensor.cpu() for name, tensor in network.state_dict().items()},
            "direction_scale": network.direction_scale,
            "course": trained.course.state(),
        }
        torch.save(result, folder / RESULT)
    dist.barrier()
    dist.destroy_process_group()


def _end_with_parent() -> None:
    """Whoever started this process holds the other end of its input for as long as it lives."""
    while os.read(sys.stdin.fileno(), 1024):  # Not buffered: its lock would outlast the rest.
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
