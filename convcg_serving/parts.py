"""What a release is made of, part by part: each is loaded where its folder changed, and kept where
what is there now cannot be read.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

RETRY_SECONDS = 30.0
"""So long what could not be read is not read again, unless its files change."""

Stamp = tuple[tuple[str, int, int, int], ...]
Loaded = TypeVar("Loaded")


class Part(Generic[Loaded]):
    """One part as it was read last; it stays where what is there now cannot be read."""

    def __init__(self) -> None:
        self.value: Loaded | None = None
        self._key: object = None
        self._failed: dict[object, tuple[float, str]] = {}

    def update(self, key: object, load: Callable[[], Loaded]) -> str | None:
        """Take up what `load` gives, once for each `key`, which tells what is there from what was.

        None, or why it could not be loaded; whatever it raises is told, and the value stays.
        """
        if key == self._key:
            return None
        now = time.monotonic()
        self._failed = {k: failed for k, failed in self._failed.items() if now < failed[0]}
        if key in self._failed:
            return self._failed[key][1]
        try:
            self.value = load()
        except Exception as error:
            why = str(error) or type(error).__name__
            self._failed[key] = (now + RETRY_SECONDS, why)
            return why
        self._key = key
        return None

    def put(self, value: Loaded | None) -> None:
        """Go on with a value that no `update` gave."""
        self.value, self._key = value, None


def stamp(folder: Path | None) -> Stamp | None:
    """What tells the files of a folder from others of the same names; None: there is no folder."""
    if folder is None or not folder.is_dir():
        return None
    found = []
    for path in sorted(folder.rglob("*")):
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((str(path), status.st_size, status.st_ctime_ns, status.st_ino))
    return tuple(found)
