"""The watcher goes on with what it has, whatever it finds, and says why."""

import datetime as dt
import shutil

import pytest

from convcg_model.index import load_bundle
from convcg_model.live_index import PinChanges, pin_changes
from convcg_serving.champion import Champion
from convcg_serving.release import Release
from convcg_serving.watcher import Places, Watcher

from .conftest import DAY, NOW, write_features

NEXT = DAY + dt.timedelta(days=1)


class Registry:
    """What serves, as a test sets it; an exception is raised."""

    def __init__(self, found):
        self.found = found

    def __call__(self):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def root(features, tmp_path):
    shutil.copytree(features, tmp_path / "features" / features.name)
    return tmp_path


def serving(watcher: Watcher) -> Release:
    assert watcher.release is not None
    return watcher.release


def day_of(release: Release) -> dt.date:
    assert release.features is not None
    return release.features.day


def watch(champion, root):
    registry = Registry(champion)
    watcher = Watcher(registry, Places(root / "features", root / "pins"))
    watcher.look()
    return registry, watcher


def test_model_and_features_change_as_one(champion, challenger, root, world):
    registry, watcher = watch(champion, root)
    first = watcher.release
    assert first is not None
    assert (first.champion, day_of(first), watcher.fault) == (champion, DAY, None)
    watcher.look()
    assert watcher.release is first, "nothing new, nothing loaded"
    write_features(world, root / "features", day=NEXT, num=20)
    registry.found = challenger
    watcher.look()
    assert (serving(watcher).champion, day_of(serving(watcher))) == (challenger, NEXT)
    assert watcher.before is first
    write_features(world, root / "features", day=NEXT, num=30)
    watcher.look()
    again = serving(watcher).features
    assert again is not None
    assert again.users.num_rows == 30, "written anew under the same name"
    assert watcher.before is first


def test_the_registry_is_away(champion, root):
    registry, watcher = watch(champion, root)
    registry.found = ConnectionError("no route")
    for _ in range(3):
        watcher.look()
    assert serving(watcher).champion == champion
    assert watcher.fault == "the registry cannot be asked: no route"
    assert watcher.num_faults == 3
    registry.found = champion
    watcher.look()
    assert watcher.fault is None


def test_nothing_was_promoted_yet(champion, root):
    registry, watcher = watch(None, root)
    assert watcher.release is None
    assert watcher.fault == "no model has been promoted yet"
    registry.found = champion
    watcher.look()
    assert watcher.release is not None


def half_written(bundle, folder):
    (folder / "index.json").unlink()


def corrupt(bundle, folder):
    with (folder / "embeddings.npy").open("r+b") as file:
        file.seek(200)
        file.write(b"\xff\xff")


def of_another_model(bundle, folder):
    shutil.rmtree(folder / "checkpoint")
    shutil.copytree(bundle / "checkpoint", folder / "checkpoint")


@pytest.mark.parametrize("damage", [half_written, corrupt, of_another_model])
def test_a_bundle_that_cannot_be_read_changes_nothing(champion, challenger, root, damage):
    registry, watcher = watch(champion, root)
    broken = root / "broken"
    shutil.copytree(challenger.bundle, broken)
    damage(champion.bundle, broken)
    registry.found = Champion("2", DAY, challenger.model_version, broken)
    watcher.look()
    assert serving(watcher).champion == champion
    assert "version 2" in str(watcher.fault)
    shutil.rmtree(broken)
    shutil.copytree(challenger.bundle, broken)
    watcher.look()
    assert serving(watcher).champion.version == "2", "mended, it is taken up"
    assert watcher.fault is None


def test_features_that_cannot_be_read_change_nothing(champion, root, world):
    _, watcher = watch(champion, root)
    path = write_features(world, root / "features", day=NEXT)
    (path / "users.arrow").write_bytes(b"")
    watcher.look()
    assert day_of(serving(watcher)) == DAY
    assert "users.arrow: checksum" in str(watcher.fault)
    # A server that starts now takes the older day.
    _, other = watch(champion, root)
    assert day_of(serving(other)) == DAY
    assert "users.arrow: checksum" in str(other.fault)


def test_features_that_vanish_stay_in_use(champion, root):
    _, watcher = watch(champion, root)
    shutil.rmtree(root / "features")
    watcher.look()
    release = watcher.release
    assert release is not None
    answers = release.answer([request(user_id=3)], now=NOW)
    assert len(answers[0].pins) == 5


def request(**asked):
    from convcg_serving.requests import CandidateRequest

    return CandidateRequest.model_validate({"k": 5, **asked})


def test_pins_that_came_and_went_are_taken_up(champion, root, world):
    _, watcher = watch(champion, root)
    ranked = [pin.pin_id for pin in serving(watcher).answer([request(user_id=3)], now=NOW)[0].pins]
    bundle = load_bundle(champion.bundle)
    kept = world.pins.filter([pin_id != ranked[0] for pin_id in world.pins["pin_id"].to_pylist()])
    changes = pin_changes(bundle, kept, as_of=NOW)
    changes.save(root / "pins" / champion.model_version)
    watcher.look()
    again = serving(watcher).answer([request(user_id=3)], now=NOW)[0]
    assert [pin.pin_id for pin in again.pins][:4] == ranked[1:]
    assert serving(watcher).pins_as_of == NOW
    assert serving(watcher).index.num_pins == 39


def test_pins_of_another_model_are_refused(champion, root, world):
    _, watcher = watch(champion, root)
    bundle = load_bundle(champion.bundle)
    honest = pin_changes(bundle, world.pins, as_of=NOW)
    PinChanges("0" * 64, NOW, honest.added, honest.embeddings, honest.removed).save(
        root / "pins" / champion.model_version
    )
    watcher.look()
    assert "embeddings of two models are not comparable" in str(watcher.fault)
    assert serving(watcher).index.num_pins == 40
