"""What a repeat gains, by hand; that search and evaluation add it; that it is learnt."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch

from convcg_model.batches import ItemBatch, UserBatch
from convcg_model.config import ModelConfig, TaskWeights, TrainingConfig
from convcg_model.evaluation.scorers import model_scorer
from convcg_model.index import build_index
from convcg_model.repeat_rates import count_repeats
from convcg_model.repeat_score import STRIDE, RepeatScore, find_mentions
from convcg_model.training import fit
from convcg_model.training_set import fit_catalogue_and_features, training_set

SMALL = ModelConfig(
    embedding_dim=16, mlp_sizes=(16, 16), pin_id_dim=8, content_dim=4, id_dropout=0.1
)


def users(*, recent, action, age, times, subject):
    none = torch.zeros(len(subject), 0)
    items = ItemBatch(*(torch.zeros(0) for _ in range(6)))
    return UserBatch(
        items=items,
        item_row_M=torch.tensor([0, 5, 7, 9]),
        categorical={},
        numeric_BF=none,
        subject_B=torch.tensor(subject),
        token_BQ=none,
        recent_BL=torch.tensor(recent),
        action_BL=torch.tensor(action),
        age_BL=torch.tensor(age),
        times_BL=torch.tensor(times),
    )


def test_gain_is_of_the_newest_action_and_grows_with_their_number(world):
    _, spec = fit_catalogue_and_features(
        world.examples, world.pins, config=SMALL.model_copy(update={"min_pin_count": 1})
    )
    score = RepeatScore(spec)
    assert score.kind is not None
    with torch.no_grad():
        score.kind.weight[:, 0] = torch.arange(len(score.kind.weight)) / STRIDE
        score.get_parameter("slopes").copy_(torch.tensor([1.0, 2.0, 3.0]) / STRIDE)
        score.get_parameter("subject").fill_(10.0 / STRIDE)
    batch = users(
        recent=[[2, 1, 2], [0, 0, 0]],
        action=[[3, 2, 4], [0, 0, 0]],
        age=[[1.0, 0.0, 5.0], [0.0, 0.0, 0.0]],
        times=[[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]],
        subject=[1, 3],
    )
    item_1 = 2 - 0 - 2 * math.log1p(1) + 3 * math.log(1) + 10
    item_2 = 3 - math.log1p(1.0) - 2 * math.log1p(0) + 3 * math.log(2)
    gain_BP = score(batch)
    # Items 2, 1, 2 again, and the subject
    assert gain_BP[0].tolist() == pytest.approx([item_2, item_1 - 10, 0, 10], rel=1e-5)
    assert gain_BP[1].tolist() == pytest.approx([0, 0, 0, 10])
    # Catalogue rows of the items 1, 2 and 3 are 5, 7 and 9
    mentions = find_mentions(batch, pin_row_N=torch.tensor([9, 6, 7, 100, 5, 7, 0]))
    gain_BN = mentions.spread(gain_BP)
    assert gain_BN[0].tolist() == pytest.approx([0, 0, item_2, 0, item_1, item_2, 0], rel=1e-5)
    assert gain_BN[1].tolist() == pytest.approx([10, 0, 0, 0, 0, 0, 0])
    places = sorted(zip(mentions.row.tolist(), mentions.column.tolist(), strict=True))
    # Row 0: its subject Pin is one of the recent ones.
    assert sorted(set(places)) == [(0, 2), (0, 4), (0, 5), (1, 0)]
    assert places.count((0, 4)) == 2


def repeating(make_world):
    """A world in which everybody takes again what was acted on last."""
    world = make_world(sparse=True)
    newest = pa.array([row[0] for row in world.examples["user_recent_pin_ids"].to_pylist()])
    place = world.examples.column_names.index("pin_id")
    return world, world.examples.set_column(place, "pin_id", newest)


@pytest.fixture(scope="module")
def trained(make_world):
    world, examples = repeating(make_world)
    training = TrainingConfig(epochs=25, batch_size=100, device="cpu")
    return world, examples, fit(examples, world.pins, config=SMALL, training=training)


def test_a_world_of_repeats_is_learnt(trained):
    world, examples, model = trained
    scores = model_scorer(model, catalogue=world.pins)(examples, world.pins)
    assert (scores.argmax(axis=1) == examples["pin_id"].to_numpy()).mean() > 0.9


@pytest.mark.parametrize("k", [1, 5, 100])
def test_search_with_repeats_is_the_evaluated_score(trained, k):
    world, examples, model = trained
    asked = examples.slice(0, 30)
    pins = world.pins.slice(0, 30)
    bundle = build_index(model, pins)
    embedded = model.embed_users(asked, catalogue=world.pins)
    repeats = model.repeats(asked, catalogue=world.pins)
    exact = model_scorer(model, catalogue=world.pins)(asked, pins)
    ids, scores = bundle.search(embedded, k, repeats=repeats)
    assert scores == pytest.approx(-np.sort(-exact, axis=1)[:, :k], abs=1e-5)
    assert all(len(set(row)) == min(k, 30) for row in ids.tolist())
    assert bundle.search(embedded, k)[0].shape == ids.shape
    retrieved = bundle.retrieve(asked, k, catalogue=world.pins)
    assert np.array_equal(retrieved[0], ids)
    assert np.array_equal(retrieved[1], scores)
    assert (bundle.search(embedded[:0], k)[0]).shape[0] == 0


def test_without_the_switch_nothing_gains(world):
    training = TrainingConfig(epochs=1, batch_size=200, device="cpu")
    config = SMALL.model_copy(update={"repeat_score": False})
    model = fit(world.examples, world.pins, config=config, training=training, progress=False)
    repeats = model.repeats(world.examples.slice(0, 9))
    assert len(repeats.row) == len(repeats.pin_ids) == len(repeats.gain) == 0


def test_gains_start_from_what_is_counted(make_world):
    config = SMALL.model_copy(update={"min_pin_count": 1})
    world, examples = repeating(make_world)
    static, spec = fit_catalogue_and_features(examples, world.pins, config=config)
    data = training_set(examples, static, spec, task_weights=TaskWeights())
    rates = count_repeats(data, seed=0)
    recent = examples["user_recent_pin_ids"].to_pylist()
    rows = [(recent[row], examples["pin_id"][row].as_py()) for row in data.positive.tolist()]
    chances = sum(len(set(pins)) for pins, _ in rows)
    num_pins = len({pin for _, pin in rows})
    # Everybody repeats; with one pseudo-repeat among as many chances as there are Pins
    expected = math.log((len(rows) + 1) / (chances + num_pins) * num_pins)
    assert rates.recent == pytest.approx(expected)
    assert rates.subject == pytest.approx(0)
