"""What a release answers: the training rows' vectors, filters, and what is not known."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from convcg_model.evaluation.scorers import model_scorer
from convcg_model.index import load_bundle
from convcg_model.pin_filter import PinFilter
from convcg_serving.day_features import load_day_features
from convcg_serving.release import load_release
from convcg_serving.requests import CandidateRequest
from convcg_serving.skew import replay
from convcg_serving.user_rows import user_rows

from ..model.conftest import World
from .conftest import DAY, NOW, make_champion, write_features


@pytest.fixture(scope="module")
def release(champion, features):
    return load_release(champion, features)


def context_of(world, row):
    """The request of a training row, whose user is the row's number."""
    asked = world.examples.slice(row, 1).select(["surface", "subject_pin_id", "query"])
    given = {name: value for name, value in asked.to_pylist()[0].items() if value is not None}
    return CandidateRequest.model_validate({"user_id": row, **given})


def test_a_batch_is_scored_as_the_evaluation_scores_its_training_rows(release, world):
    rows = list(range(40))
    answers = release.answer([context_of(world, row) for row in rows], now=NOW)
    scores = model_scorer(release.bundle.model, catalogue=world.pins)(
        world.examples.slice(0, 40), world.pins
    )
    ids = world.pins["pin_id"].to_numpy()
    for row, answer in zip(rows, answers, strict=True):
        best = np.argsort(-scores[row], kind="stable")
        assert [pin.score for pin in answer.pins] == pytest.approx(scores[row][best], abs=1e-5)
        assert {pin.pin_id for pin in answer.pins} == set(ids.tolist())
        assert answer.fallbacks == ("fewer than k",), "there are 40 Pins, and 100 were asked for"
        assert (answer.version, answer.features_day) == ("1", DAY)


def test_a_request_is_answered_alike_alone_and_among_others(release, world):
    requests = [context_of(world, row).model_copy(update={"k": 1 + row % 7}) for row in range(20)]
    together = release.answer(requests, now=NOW)
    for request, answer in zip(requests, together, strict=True):
        alone = release.answer([request], now=NOW)[0]
        assert [pin.pin_id for pin in alone.pins] == [pin.pin_id for pin in answer.pins]
        assert len(answer.pins) == request.k


def test_filters_and_exclusions_leave_the_best_of_the_rest(release, world):
    everything = release.answer([CandidateRequest(user_id=3)], now=NOW)[0]
    ranked = [pin.pin_id for pin in everything.pins]
    allowed = {"allow_advertisers": [1, 2]}
    asked = {"user_id": 3, "k": 5, "filters": allowed, "exclude_pin_ids": [1, 7]}
    answer = release.answer([CandidateRequest.model_validate(asked)], now=NOW)[0]
    expected = [p for p in ranked if p % 5 in (1, 2) and p not in (1, 7)][:5]
    assert [pin.pin_id for pin in answer.pins] == expected
    assert answer.fallbacks == ()
    nothing = {"user_id": 3, "filters": {"allow_advertisers": [99]}}
    answer = release.answer([CandidateRequest.model_validate(nothing)], now=NOW)[0]
    assert (answer.pins, answer.fallbacks) == ((), ("no eligible Pins",))


def test_filters_are_kept_within_bounds(champion, features, monkeypatch):
    monkeypatch.setattr("convcg_serving.release.MAX_MASKS", 3)
    release = load_release(champion, features)
    filters = [PinFilter(block_pins=(pin_id,)) for pin_id in range(10)]
    kept = [release.masks.of(each, release.index.pins) for each in filters]
    again = [release.masks.of(each, release.index.pins) for each in filters[-3:]]
    assert [a is b for a, b in zip(again, kept[-3:], strict=True)] == [True] * 3
    assert release.masks.of(filters[0], release.index.pins) is not kept[0]


@pytest.mark.parametrize(
    ("asked", "fallbacks"),
    [
        ({"user_id": 3}, ()),
        ({"user_id": 9999}, ("unknown user", "no history")),
        ({}, ("unknown user", "no history")),
        ({"user_id": 3, "replace_history": True}, ("no history",)),
        ({"user_id": 3, "subject_pin_id": 4, "surface": "related_pins"}, ()),
        ({"user_id": 3, "subject_pin_id": 4444}, ("unknown subject Pin",)),
        ({"recent_actions": [{"pin_id": 4, "action": "click"}]}, ("unknown user",)),
    ],
)
def test_what_is_not_known_is_said(release, asked, fallbacks):
    request = CandidateRequest.model_validate(asked | {"k": 3})
    answer = release.answer([request], now=NOW)[0]
    assert answer.fallbacks == fallbacks
    assert len(answer.pins) == 3
    assert all(np.isfinite(pin.score) for pin in answer.pins)


def test_one_wrong_request_spoils_no_other(release):
    wrong = [
        {"user_id": "u3"},
        {"user_id": 2**70},
        {"subject_pin_id": "p1"},
        {"recent_actions": [{"pin_id": "p1", "action": "click"}]},
        {"filters": {"allow_advertisers": ["a1"]}},
    ]
    requests = [CandidateRequest.model_validate(r) for r in [*wrong, {"user_id": 3, "k": 2}]]
    *faults, answer = release.answer(requests, now=NOW)
    assert [isinstance(fault, ValueError) for fault in faults] == [True] * len(wrong)
    assert "user_id is 'u3', but such ids are 64-bit integers here" in str(faults[0])
    assert len(answer.pins) == 2


def rows_of(release, **asked):
    request = CandidateRequest.model_validate(asked)
    table, _ = user_rows([request], release.tower.spec, release.features, now=NOW)
    return table.to_pylist()[0]


def test_an_action_of_today_takes_the_place_of_the_stored_one(release):
    stored = rows_of(release, user_id=2)
    pins, kinds = stored["user_recent_pin_ids"], stored["user_recent_actions"]
    assert kinds == ["click", "checkout", "repin"]
    again = {"pin_id": pins[1], "action": "checkout", "at": "2026-01-05T14:59:00Z"}
    older = {"pin_id": 5, "action": "repin", "at": "2026-01-04T12:00:00"}
    row = rows_of(release, user_id=2, recent_actions=[again, older])
    assert row["user_recent_pin_ids"] == [pins[1], 5, pins[0], pins[2]]
    assert row["user_recent_actions"] == ["checkout", "repin", "click", "repin"]
    assert row["user_recent_age_days"] == [0.0, 0.5, 0.5, 9.0]
    assert row["user_days_since_action"] == 0
    replaced = rows_of(release, user_id=2, recent_actions=[older], replace_history=True)
    assert replaced["user_recent_pin_ids"] == [5]
    assert replaced["user_days_since_action"] == 0
    jumbled = rows_of(release, user_id=2, recent_actions=[older, again])
    assert jumbled["user_recent_pin_ids"] == row["user_recent_pin_ids"]
    counters = "user_num_clicks_30d"
    assert row[counters] == replaced[counters] == stored[counters]


def test_a_profile_takes_the_place_of_the_stored_one_field_by_field(release):
    stored = rows_of(release, user_id=2)
    row = rows_of(release, user_id=2, profile={"country": "zz", "gender": None})
    assert row["user_country"] == "zz"
    assert row["user_gender"] is None
    assert row["user_age_bucket"] == stored["user_age_bucket"]


def examples_of(world, num):
    ids = pa.array(range(num))
    place = world.examples.column_names.index("user_id")
    return world.examples.slice(0, num).set_column(place, "user_id", ids)


def test_a_replay_finds_nothing_where_all_is_the_same(release, world):
    skew = replay(examples_of(world, 50), release.features, release.tower.spec, tower=release.tower)
    assert not skew.is_there
    assert (skew.rows, skew.vectors) == (50, pytest.approx(0, abs=1e-6))


@pytest.mark.parametrize(
    ("name", "change", "share"),
    [
        ("user_num_clicks_7d", lambda c: pa.compute.add(c, 0.5), 1.0),
        ("user_country", lambda c: pa.array([None, *c.to_pylist()[1:]]), 1 / 50),
        ("user_recent_pin_ids", lambda c: pa.array([v[::-1] for v in c.to_pylist()]), None),
        ("user_account_age_days", lambda c: pa.nulls(len(c), pa.float64()), 1.0),
    ],
)
def test_a_replay_names_the_feature_that_differs(release, world, name, change, share):
    examples = examples_of(world, 50)
    place = examples.column_names.index(name)
    changed = examples.set_column(place, name, change(examples[name].combine_chunks()))
    skew = replay(changed, release.features, release.tower.spec, tower=release.tower)
    differing = {feature.name: feature.share for feature in skew.features if feature.share}
    assert list(differing) == [name]
    assert share is None or differing[name] == pytest.approx(share)
    assert skew.is_there


def test_text_ids_and_a_log_that_knows_little(tmp_path):
    world = World(string_ids=True, sparse=True, num_rows=200)
    champion = make_champion(world, tmp_path, version="7")
    release = load_release(champion, write_features(world, tmp_path / "features", num=20))
    answer, fault = release.answer(
        [CandidateRequest(user_id="u00003", k=3), CandidateRequest(user_id=3)], now=NOW
    )
    assert {str(pin.pin_id)[0] for pin in answer.pins} == {"p"}
    assert answer.fallbacks == ()
    assert "such ids are text here" in str(fault)


def test_features_of_other_logs_are_refused(champion, tmp_path):
    other = write_features(World(string_ids=True, num_rows=100), tmp_path, num=9)
    with pytest.raises(ValueError, match="Pins' ids are not int64"):
        load_release(champion, other)


def test_without_features_nobody_is_known(champion):
    release = load_release(champion, None)
    answer = release.answer([CandidateRequest(user_id=3, k=2)], now=NOW)[0]
    assert answer.features_day is None
    assert answer.fallbacks == ("unknown user", "no history")


def test_damaged_features_are_refused(world, tmp_path):
    path = write_features(world, tmp_path)
    with (path / "users.arrow").open("r+b") as file:
        file.seek(3000)
        file.write(b"xx")
    with pytest.raises(ValueError, match=r"users\.arrow: checksum is"):
        load_day_features(path)


def test_users_that_are_not_in_order_are_refused(world, tmp_path):
    from convcg_serving.day_features import write_day_features

    from .conftest import users_of

    users = users_of(world.examples, 10)
    batches = [*users.slice(5).to_batches(), *users.slice(0, 5).to_batches()]
    with pytest.raises(ValueError, match="0 comes after 9"):
        write_day_features(tmp_path / "dt=x", batches, world.pins, day=DAY, schema=users.schema)
    assert not (tmp_path / "dt=x").exists()


def test_a_bundle_of_another_model_than_the_registry_names_is_refused(champion, challenger):
    mixed = type(champion)("1", DAY, challenger.model_version, champion.bundle)
    with pytest.raises(ValueError, match="but version 1 is model"):
        load_release(mixed, None)
    assert load_bundle(champion.bundle).model_version == champion.model_version


def test_ages_are_told_from_the_beginning_of_the_features_day(release):
    at = dt.datetime(2026, 1, 4, 18, tzinfo=dt.timezone(dt.timedelta(hours=-6)))
    action = {"pin_id": 5, "action": "click", "at": at.isoformat()}
    row = rows_of(release, recent_actions=[action])
    assert row["user_recent_age_days"] == [0.0]
