"""Keeps the server's release that of the champion and of the newest features, in a thread.

A new release is loaded beside the one that serves and takes its place as a whole. Where that fails
the server goes on with what it has, and says why.
"""

import datetime as dt
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from convcg_model.live_index import DESCRIPTION as CHANGES
from convcg_serving.champion import Champion
from convcg_serving.day_features import DESCRIPTION as FEATURES
from convcg_serving.day_features import newest_features
from convcg_serving.release import Release, load_release

POLL_SECONDS = 1.0
LOG = logging.getLogger("convcg.serving")

Find = Callable[[], Champion | None]
"""Tells the champion; None where there is none yet. It may raise."""


@dataclass(frozen=True)
class Places:
    """Where the server looks: a folder of days of features, and one of changes of Pins by model."""

    features: Path
    changes: Path | None = None


class Watcher:
    """Holds the release that serves, and the one before it."""

    def __init__(self, find: Find, places: Places) -> None:
        self._find = find
        self._places = places
        self._loaded: tuple[object, ...] | None = None
        self._failed: tuple[object, ...] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.release: Release | None = None
        self.before: Release | None = None
        self.since: dt.datetime | None = None
        self.fault: str | None = None
        """Why what was found last could not be loaded, or the registry not be asked."""
        self.num_faults = 0

    def look(self) -> None:
        """Ask for the champion and the newest features, and load what is new."""
        try:
            champion = self._find()
        except Exception as error:
            self._say(f"the registry cannot be asked: {error}")
            return
        if champion is None:
            self.fault = None if self.release else "no model has been promoted yet"
            return
        features = newest_features(self._places.features)
        changes = self._changes_of(champion)
        wanted = (champion, _stamp(features, FEATURES), _stamp(changes, CHANGES))
        if wanted == self._loaded:
            self.fault = self._failed = None
            return
        try:
            release = load_release(champion, features, changes=changes)
        except Exception as error:
            release = self._without_the_newest(champion, features, error)
            if release is None:
                return
        else:
            self.fault = self._failed = None
            self._loaded = wanted
        if self.release is None or self.release.champion != champion:
            self.before = self.release
        self.release, self.since = release, dt.datetime.now(dt.UTC)
        LOG.info(
            "serving version %s, the model of %s, with the features of %s",
            champion.version,
            champion.day,
            release.features and release.features.day,
        )

    def _without_the_newest(
        self, champion: Champion, features: Path | None, error: Exception
    ) -> Release | None:
        """At the first look, what can be loaded of older days; later what serves stays."""
        self._say(f"version {champion.version} with {features}: {error}")
        if self.release is not None or features is None:
            return None
        older = newest_features(
            self._places.features, before=dt.date.fromisoformat(features.name.removeprefix("dt="))
        )
        try:
            return load_release(champion, older)
        except Exception as other:
            self._say(f"version {champion.version} with {older}: {other}")
            return None

    def start(self) -> None:
        """Look now, and then every `POLL_SECONDS`."""
        self.look()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self.look()

    def _changes_of(self, champion: Champion) -> Path | None:
        if self._places.changes is None:
            return None
        path = self._places.changes / champion.model_version
        return path if (path / CHANGES).is_file() else None

    def _say(self, fault: str) -> None:
        if fault != self.fault:
            LOG.warning("%s; going on with what serves", fault)
        self.fault = fault
        self.num_faults += 1


def _stamp(folder: Path | None, described_in: str) -> tuple[str, int, int] | None:
    """What tells a folder from another of the same name."""
    if folder is None:
        return None
    try:
        status = (folder / described_in).stat()
    except OSError:
        return (str(folder), 0, 0)
    return (str(folder), status.st_mtime_ns, status.st_ino)
