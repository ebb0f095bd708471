"""Folders that a process works in: gone when it ends, or once another finds that it has."""

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = "lock"
YOUNG_S = 60.0
"""A folder so young may not be locked yet."""


@contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A folder for the files of one process, removed when the block ends.

    What processes that were killed have left beside it goes first.
    """
    parent.mkdir(parents=True, exist_ok=True)
    remove_left_behind(parent)
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_left_behind(parent: Path, *, older_than_s: float = YOUNG_S) -> None:
    """Remove the folders below a parent that no living process works in."""
    for folder in parent.glob("*/"):
        with suppress(FileNotFoundError, BlockingIOError):
            if time.time() - folder.stat().st_mtime < older_than_s:
                continue
            with (folder / LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
