"""Which runs are alive on this machine: each holds a lock that the kernel drops when it dies.

A run killed together with its daemon stays "started" in the orchestrator's books. Unlike a
heartbeat, a lock needs no clock.
"""

import atexit
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_until_exit = ExitStack()
_held: set[str] = set()
atexit.register(_until_exit.close)


def hold_until_exit(home: Path, run_id: str) -> None:
    """Hold the run's lock as long as this process lives: its end is written after its last step."""
    if run_id not in _held:
        _held.add(run_id)
        _until_exit.enter_context(hold_lock(home, run_id))


@contextmanager
def hold_lock(home: Path, run_id: str) -> Iterator[None]:
    """Hold the run's lock: shared, since a run may have several processes."""
    path = _path(home, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _share(path)
    try:
        yield
    finally:
        try:
            # The last to let go removes the file: the others' lock is to be found by its name.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            pass
        finally:
            os.close(file)


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


def _share(path: Path) -> int:
    """A shared lock on the file of that name, not on one that was removed meanwhile."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(file, fcntl.LOCK_SH)
        try:
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        except FileNotFoundError:
            pass
        os.close(file)


def _path(home: Path, run_id: str) -> Path:
    return home / "locks" / f"{run_id}.lock"
