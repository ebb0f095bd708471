"""Keeps the server's release that of the champion and of the newest features, in a thread.

A new release is made beside the one that serves and takes its place as a whole. What cannot be
read is said, and the server goes on with what it had of it: a bundle that cannot be read leaves the
model as it is, and features that cannot be read do not keep a new champion waiting.
"""

import datetime as dt
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from convcg_model.index import IndexBundle, load_bundle
from convcg_model.live_index import DESCRIPTION as CHANGES
from convcg_model.live_index import LiveIndex, load_changes
from convcg_serving.champion import Champion
from convcg_serving.day_features import DayFeatures, features_below, load_day_features
from convcg_serving.parts import Part, stamp
from convcg_serving.release import Release, check_bundle, check_features, make_release

POLL_SECONDS = 1.0
SILENT_SECONDS = 60.0
"""A look that takes longer than this is a fault: a registry that hangs raises nothing."""
LOG = logging.getLogger("convcg.serving")

Find = Callable[[], Champion | None]
"""Tells a champion; None where there is none. It may raise."""


@dataclass(frozen=True)
class Places:
    """Where the server looks: a folder of days of features, and one of changes of Pins by model."""

    features: Path
    changes: Path | None = None


class Watcher:
    """Holds the release that serves. `find_before` tells which champion served before it."""

    def __init__(self, find: Find, places: Places, *, find_before: Find | None = None) -> None:
        self._find = find
        self._find_before = find_before
        self._places = places
        self._bundle: Part[tuple[Champion, IndexBundle]] = Part()
        self._features: Part[DayFeatures] = Part()
        self._index: Part[LiveIndex] = Part()
        self._went_back = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._begun = dt.datetime.now(dt.UTC)
        self._served_before: Champion | None = None
        self._faults: tuple[str, ...] = ()
        self.release: Release | None = None
        self.since: dt.datetime | None = None
        self.num_faults = 0
        """Looks that found something that could not be taken up."""

    @property
    def fault(self) -> str | None:
        """Why not all that is there is in service; None: it is."""
        silent = (dt.datetime.now(dt.UTC) - self._begun).total_seconds()
        faults, release = self._faults, self.release
        if release is not None and release.is_behind:
            faults = (*faults, "the users' features are older than the model")
        if silent > SILENT_SECONDS:
            faults = (*faults, f"the watcher has been busy for {silent:.0f} s with one look")
        return "; ".join(faults) or None

    def look(self) -> None:
        """Ask for the champion and the newest features, and take up what is new."""
        self._begun = dt.datetime.now(dt.UTC)
        try:
            champion = self._find()
        except Exception as error:
            self._say([f"the registry cannot be asked: {error}"])
            return
        if champion is None and self.release is None:
            self._faults = ("no model has been promoted yet",)
            return
        faults = []
        if champion is None:
            champion = self._served()
            faults.append(f"no model is named any more; version {champion.version} stays in use")
        fault = self._bundle.update((champion, stamp(champion.bundle)), partial(_load, champion))
        if fault:
            faults.append(f"version {champion.version}: {fault}")
        if self._bundle.value is None:
            self._say(faults)
            return
        champion, bundle = self._bundle.value
        faults += self._look_for_features(bundle)
        faults += self._look_for_changes(bundle)
        faults += self._put_in_service(champion)
        self._say(faults)

    def _look_for_features(self, bundle: IndexBundle) -> list[str]:
        """Load the newest features that fit the bundle; what is wrong."""
        part, kind = self._features, bundle.model.spec.pins.kind
        if part.value is not None and part.value.pin_id_kind != kind:
            part.put(None)
        days, kept = features_below(self._places.features), part.value
        if kept is not None and (not days or days[0].name < f"dt={kept.day}"):
            if not days:
                return [f"{self._places.features} holds no features; {kept.day}'s stay in use"]
            # A folder that is being replaced is away for a moment: believed when seen twice.
            self._went_back = not self._went_back
            if self._went_back:
                return []
        self._went_back = False
        faults: list[str] = []
        for path in days:
            load = partial(_load_features, path, bundle)
            fault = part.update((stamp(path), kind), load)
            if fault is None:
                break
            faults.append(fault)
            if part.value is not None:
                break
        return faults

    def _look_for_changes(self, bundle: IndexBundle) -> list[str]:
        """Load what came and went of the bundle's Pins; what is wrong."""
        part = self._index
        if part.value is None or part.value.bundle is not bundle:
            part.put(LiveIndex(bundle))
        assert part.value is not None
        path = self._folder_of_changes(bundle.model_version)
        if path is None:
            gone = part.value.as_of is not None
            return ["the changes of Pins are gone; those known stay in use"] if gone else []
        fault = part.update(stamp(path), lambda: LiveIndex(bundle, load_changes(path)))
        return [fault] if fault else []

    def _put_in_service(self, champion: Champion) -> list[str]:
        """Let the parts serve as one release, if they are others than before; what is wrong."""
        index, features = self._index.value, self._features.value
        assert index is not None
        serving = self.release
        if serving is not None and (
            serving.champion == champion and serving.index is index and serving.features is features
        ):
            return []
        try:
            release = make_release(champion, index, features)
            release.try_out(now=dt.datetime.now(dt.UTC))
        except Exception as error:
            return [f"version {champion.version} cannot answer: {error}"]
        if serving is not None and serving.champion.version != champion.version:
            self._served_before = serving.champion
        self.release, self.since = release, dt.datetime.now(dt.UTC)
        LOG.info(
            "serving version %s, the model of %s, with the features of %s",
            champion.version,
            champion.day,
            features and features.day,
        )
        return []

    def before(self) -> Release | None:
        """The champion of before beside the features that serve, loaded when it is asked for.

        None where there was none. It raises where it cannot be told or loaded.
        """
        release = self.release
        champion = self._find_before() if self._find_before else self._served_before
        if release is None or champion is None or champion.version == release.champion.version:
            return None
        _, bundle = _load(champion)
        return make_release(champion, LiveIndex(bundle), release.features)

    def start(self) -> None:
        """Look now and then every `POLL_SECONDS`, in a thread."""
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a look under way is not waited for long."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=POLL_SECONDS)

    def _watch(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:
                LOG.exception("a look failed")
                self._say([f"a look failed: {error!r}"])
            if self._stop.wait(POLL_SECONDS):
                return
            self._begun = dt.datetime.now(dt.UTC)

    def _served(self) -> Champion:
        assert self.release is not None
        return self.release.champion

    def _folder_of_changes(self, model_version: str) -> Path | None:
        if self._places.changes is None:
            return None
        path = self._places.changes / model_version
        return path if (path / CHANGES).is_file() else None

    def _say(self, faults: list[str]) -> None:
        said = tuple(faults)
        if said and said != self._faults:
            LOG.warning("%s", "; ".join(said))
        self._faults = said
        self.num_faults += bool(said)


def _load(champion: Champion) -> tuple[Champion, IndexBundle]:
    return champion, check_bundle(load_bundle(champion.bundle), champion)


def _load_features(path: Path, bundle: IndexBundle) -> DayFeatures:
    return check_features(load_day_features(path), bundle, path=path)
