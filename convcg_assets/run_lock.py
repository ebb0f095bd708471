"""Which runs are alive on this machine: each holds a lock that the kernel drops when it dies.

A run killed together with its daemon stays "started" in the orchestrator's books. Unlike a
heartbeat, a lock needs no clock.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold_lock(home: Path, run_id: str) -> Iterator[None]:
    """Hold the run's lock: shared, since a run may have several processes."""
    path = _path(home, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def is_held(home: Path, run_id: str) -> bool:
    """Whether any process holds the run's lock."""
    try:
        file = os.open(_path(home, run_id), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _path(home: Path, run_id: str) -> Path:
    return home / "locks" / f"{run_id}.lock"
