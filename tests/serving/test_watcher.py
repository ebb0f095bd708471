"""The watcher goes on with what it has, whatever it finds, and says why."""

import datetime as dt
import os
import shutil

import pytest

from convcg_model.index import load_bundle
from convcg_model.live_index import PinChanges, pin_changes
from convcg_serving.champion import Champion
from convcg_serving.day_features import write_day_features
from convcg_serving.release import Release
from convcg_serving.watcher import Places, Watcher

from ..model.conftest import World
from .conftest import DAY, NOW, users_of, write_features

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


def before(watcher: Watcher) -> tuple[Champion, dt.date]:
    release = watcher.before()
    assert release is not None
    return release.champion, day_of(release)


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
    assert before(watcher) == (champion, NEXT), "beside the same features"
    write_features(world, root / "features", day=NEXT, num=30)
    watcher.look()
    again = serving(watcher).features
    assert again is not None
    assert again.users.num_rows == 30, "written anew under the same name"
    assert before(watcher) == (champion, NEXT)


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


def test_features_that_cannot_be_read_keep_no_champion_waiting(champion, challenger, root, world):
    registry, watcher = watch(champion, root)
    path = write_features(world, root / "features", day=NEXT)
    (path / "users.arrow").write_bytes(b"")
    registry.found = challenger
    watcher.look()
    assert serving(watcher).champion == challenger
    assert day_of(serving(watcher)) == DAY
    assert "users.arrow: checksum" in str(watcher.fault)
    write_features(world, root / "features", day=NEXT)
    watcher.look()
    assert (day_of(serving(watcher)), watcher.fault) == (NEXT, None), "mended, they are taken up"


def test_features_that_vanish_stay_in_use(champion, root, world):
    _, watcher = watch(champion, root)
    shutil.rmtree(root / "features")
    for _ in range(3):
        watcher.look()
    assert day_of(serving(watcher)) == DAY
    assert serving(watcher).answer([request(user_id=3)], now=NOW)[0].fallbacks == ()
    assert f"holds no features; {DAY}'s stay in use" in str(watcher.fault)
    write_features(world, root / "features", day=NEXT)
    watcher.look()
    assert (day_of(serving(watcher)), watcher.fault) == (NEXT, None)


def test_features_that_were_taken_back_give_way_to_the_day_before(champion, root, world):
    write_features(world, root / "features", day=NEXT)
    _, watcher = watch(champion, root)
    shutil.rmtree(root / "features" / f"dt={NEXT}")
    days = []
    for _ in range(3):
        watcher.look()
        days.append(day_of(serving(watcher)))
    assert days == [NEXT, DAY, DAY], "a folder that is being replaced is away for a moment too"


@pytest.mark.parametrize("name", ["users.arrow", "pins.parquet", "features.json"])
def test_files_that_are_cut_short_in_use_end_nothing(champion, root, name):
    _, watcher = watch(champion, root)
    (root / "features" / f"dt={DAY}" / name).write_bytes(b"")
    watcher.look()
    answer = serving(watcher).answer([request(user_id=3)], now=NOW)[0]
    assert (len(answer.pins), answer.fallbacks) == (5, ())
    assert watcher.fault


def test_features_of_other_logs_or_of_fewer_columns_are_not_taken_up(champion, root, world):
    _, watcher = watch(champion, root)
    users = users_of(world.examples, 9).drop_columns(["num_clicks_7d", "recent_actions"])
    write_day_features(
        root / "features" / f"dt={NEXT}",
        users.to_batches(),
        world.pins,
        day=NEXT,
        schema=users.schema,
    )
    watcher.look()
    assert day_of(serving(watcher)) == DAY
    assert "users have no num_clicks_7d, recent_actions, which the model reads" in str(
        watcher.fault
    )
    write_features(World(string_ids=True, num_rows=100), root / "features", day=NEXT, num=9)
    watcher.look()
    assert day_of(serving(watcher)) == DAY
    assert "Pins' ids are not int64" in str(watcher.fault)


def test_features_of_before_the_model_are_used_and_said(champion, root):
    newer = Champion("1", NEXT, champion.model_version, champion.bundle)
    _, watcher = watch(newer, root)
    assert day_of(serving(watcher)) == DAY
    assert watcher.fault == "the users' features are older than the model"


def test_what_cannot_be_read_is_read_once_until_it_changes(champion, challenger, root, monkeypatch):
    registry, watcher = watch(champion, root)
    broken = root / "broken"
    shutil.copytree(challenger.bundle, broken)
    corrupt(champion.bundle, broken)
    registry.found = Champion("2", DAY, challenger.model_version, broken)
    loaded = []

    def counted(path):
        loaded.append(path)
        return load_bundle(path)

    monkeypatch.setattr("convcg_serving.watcher.load_bundle", counted)
    for _ in range(5):
        watcher.look()
    assert loaded == [broken]
    assert watcher.num_faults == 5, "it is said all the same"
    monkeypatch.setattr("convcg_serving.parts.RETRY_SECONDS", 0.0)
    os.utime(broken / "index.json")
    watcher.look()
    watcher.look()
    assert loaded == [broken] * 3


def test_nothing_is_loaded_twice_for_what_did_not_change(champion, challenger, root, world):
    registry, watcher = watch(champion, root)
    first = serving(watcher)
    registry.found = challenger
    watcher.look()
    second = serving(watcher)
    assert second.features is first.features
    write_features(world, root / "features", day=NEXT)
    watcher.look()
    assert serving(watcher).bundle is second.bundle
    assert day_of(serving(watcher)) == NEXT


def test_the_alias_is_gone(champion, root):
    registry, watcher = watch(champion, root)
    registry.found = None
    watcher.look()
    assert serving(watcher).champion == champion
    assert watcher.fault == "no model is named any more; version 1 stays in use"


def test_a_registry_that_hangs_is_said(champion, root):
    _, watcher = watch(champion, root)
    watcher._begun -= dt.timedelta(minutes=5)
    assert "busy for 300 s with one look" in str(watcher.fault)


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
    # A server that starts now has the bundle's Pins, and knows its users.
    _, other = watch(champion, root)
    assert (serving(other).index.num_pins, day_of(serving(other))) == (40, DAY)


def test_changes_that_vanish_stay_in_use(champion, root, world):
    _, watcher = watch(champion, root)
    changes = pin_changes(load_bundle(champion.bundle), world.pins.slice(1), as_of=NOW)
    changes.save(root / "pins" / champion.model_version)
    watcher.look()
    shutil.rmtree(root / "pins")
    watcher.look()
    assert serving(watcher).index.num_pins == 39, "what was paused is not shown again"
    assert watcher.fault == "the changes of Pins are gone; those known stay in use"
