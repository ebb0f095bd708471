"""The index within the day and candidates of many users, against all scores sorted."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from convcg_model import candidates
from convcg_model.candidates import find_candidates
from convcg_model.config import IndexConfig, ModelConfig, TrainingConfig
from convcg_model.evaluation.scorers import model_scorer
from convcg_model.index import build_index
from convcg_model.live_index import LiveIndex, PinChanges, load_changes, pin_changes
from convcg_model.training import fit

SMALL = ModelConfig(embedding_dim=16, mlp_sizes=(16, 16, 16), pin_id_dim=8, content_dim=4)
NOW = dt.datetime(2026, 1, 5, 9, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def model(world):
    training = TrainingConfig(epochs=3, batch_size=100, device="cpu")
    return fit(world.examples, world.pins, config=SMALL, training=training, progress=False)


@pytest.fixture(scope="module", params=["Flat", "IVF4,SQ8"])
def live(request, model, world, tmp_path_factory):
    """A bundle of the first 30 Pins, of which 5 went and 10 came."""
    config = IndexConfig(factory=request.param, num_probes=4, refine=4)
    bundle = build_index(model, world.pins.slice(0, 30), config=config)
    changes = pin_changes(bundle, world.pins.slice(5), as_of=NOW)
    path = tmp_path_factory.mktemp("changes") / "pins"
    changes.save(path)
    return LiveIndex(bundle, load_changes(path))


def expected(model, world, asked, eligible):
    """Ids and scores of the eligible Pins of now, best first, one user after another."""
    now = world.pins.slice(5)
    scores = model_scorer(model, catalogue=world.pins)(asked, now)
    ids = now["pin_id"].to_pylist()
    return [
        sorted(((-s, p) for p, s in zip(ids, row.tolist(), strict=True) if p in eligible))
        for row in scores
    ]


def best_under(best, *, k, limit, bought):
    """Ids and scores of a user's candidates, from all Pins best first; an advertiser's are every
    fifth."""
    wanted, counts = [], dict.fromkeys(range(5), 0)
    for score, pin in best:
        full = limit is not None and counts[pin % 5] >= limit
        if full or pin in (bought or ()) or len(wanted) == k:
            continue
        counts[pin % 5] += 1
        wanted.append((pin, -score))
    return wanted


def tower(model, world):
    return model.user_tower(catalogue=world.pins)


@pytest.mark.parametrize("share", [None, 0.6, 0.1, 0.0])
def test_what_came_is_found_and_what_went_is_not(live, model, world, share):
    asked = world.examples.slice(0, 40)
    embedded, repeats = tower(model, world).embed_with_repeats(tower(model, world).encode(asked))
    mask = None if share is None else np.random.default_rng(1).random(40) < share
    pins = live.pins["pin_id"].to_pylist()
    eligible = {p for i, p in enumerate(pins) if mask is None or mask[i]} - set(range(5))
    ids, scores = live.search(embedded, 12, repeats=repeats, eligible=mask)
    for row, best in enumerate(expected(model, world, asked, eligible)):
        found = [p for p in ids[row].tolist() if p is not None]
        assert found == [p for _, p in best[:12]]
        assert scores[row][: len(found)] == pytest.approx([-s for s, _ in best[:12]], abs=1e-5)
    assert live.num_pins == 35
    assert live.as_of == NOW


def test_a_pin_that_changed_is_shown_as_it_is_now(model, world):
    bundle = build_index(model, world.pins)
    place = world.pins.column_names.index("price")
    dear = world.pins.set_column(place, "price", pa.array([99.0] * 40)).slice(3, 1)
    gone = pin_changes(bundle, world.pins.slice(0, 3), as_of=NOW).removed
    anew = pin_changes(build_index(model, world.pins.slice(0, 3)), dear, as_of=NOW)
    live = LiveIndex(bundle, PinChanges(anew.model_version, NOW, anew.added, anew.embeddings, gone))
    ids, _ = live.search(model.embed_users(world.examples.slice(0, 5)), 100)
    assert all(sorted(row) == [0, 1, 2, 3] for row in ids.tolist())
    assert live.num_pins == 4
    assert live.pins["price"].to_pylist()[live.lookup.find(pa.array([3]), role="x")[0]] == 99.0


@pytest.mark.parametrize("limit", [None, 1, 2, 50])
@pytest.mark.parametrize("share", [None, 0.5])
def test_candidates_are_the_best_under_the_limits(live, model, world, limit, share):
    asked = world.examples.slice(0, 40)
    mask = None if share is None else np.random.default_rng(2).random(40) < share
    pins = live.pins["pin_id"].to_pylist()
    eligible = {p for i, p in enumerate(pins) if mask is None or mask[i]} - set(range(5))
    bought = [None if i % 3 else [7, 12, 33, 99] for i in range(40)]
    found = find_candidates(
        asked,
        index=live,
        tower=tower(model, world),
        k=6,
        left_out=bought,
        eligible=mask,
        max_per_advertiser=limit,
    )
    for user, best in enumerate(expected(model, world, asked, eligible)):
        wanted = best_under(best, k=6, limit=limit, bought=bought[user])
        own = found.user == user
        assert [pins[place] for place in found.pin[own]] == [pin for pin, _ in wanted]
        assert found.rank[own].tolist() == list(range(1, len(wanted) + 1))
        assert found.score[own] == pytest.approx([score for _, score in wanted], abs=1e-5)


@pytest.mark.parametrize("limit", [None, 1, 2, 3])
@pytest.mark.parametrize("share", [None, 0.8])
@pytest.mark.parametrize("cells", [1, candidates.MAX_CELLS])
def test_users_whom_a_narrow_search_leaves_short_are_searched_exactly(
    model, world, limit, share, cells, monkeypatch
):
    """One list of eight holds fewer Pins than a user is to have, under limits that leave five, ten
    and fifteen; searched in one go and user by user."""
    monkeypatch.setattr(candidates, "MAX_CELLS", cells)
    config = IndexConfig(factory="IVF8,Flat", num_probes=1, refine=1)
    live = LiveIndex(build_index(model, world.pins, config=config))
    mask = None if share is None else np.random.default_rng(3).random(40) < share
    eligible = {p for p in range(40) if mask is None or mask[p]}
    asked = world.examples.slice(0, 40)
    bought = [None if i % 2 else [7, 12, 17, 33, 99, 7] for i in range(40)]
    found = find_candidates(
        asked,
        index=live,
        tower=tower(model, world),
        k=20,
        left_out=bought,
        eligible=mask,
        max_per_advertiser=limit,
    )
    scores = model_scorer(model, catalogue=world.pins)(asked, world.pins)
    for user, row in enumerate(scores.tolist()):
        best = sorted((-score, pin) for pin, score in enumerate(row) if pin in eligible)
        wanted = best_under(best, k=20, limit=limit, bought=bought[user])
        own = found.user == user
        assert found.pin[own].tolist() == [pin for pin, _ in wanted]
        assert found.score[own] == pytest.approx([score for _, score in wanted], abs=1e-5)


def test_nobody_and_nothing(live, model, world):
    nobody = find_candidates(
        world.examples.slice(0, 0), index=live, tower=tower(model, world), k=3, left_out=[]
    )
    assert len(nobody.user) == len(nobody.pin) == len(nobody.rank) == 0
    nothing = find_candidates(
        world.examples.slice(0, 2),
        index=live,
        tower=tower(model, world),
        k=3,
        left_out=[None, None],
        eligible=np.zeros(40, dtype=bool),
    )
    assert len(nothing.pin) == 0
