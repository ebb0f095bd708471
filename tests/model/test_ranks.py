"""Two ranks give the losses and weights that one process has of the joint batch."""

import numpy as np
import pytest
import torch

from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.preparation import prepare
from convcg_model.ranks import Ranks
from convcg_model.towers import TwoTower

from .conftest import World
from .ranks import AGAIN, Case, movement, needs_gloo, train_case, train_on_ranks
from .test_training import SHORT, SMALL

pytestmark = [pytest.mark.torchrun, needs_gloo]


def case(model: dict[str, object] | None = None, **training: object) -> Case:
    return (
        ModelConfig.model_validate(SMALL.model_dump() | (model or {})),
        TrainingConfig.model_validate(SHORT.model_dump() | training),
    )


SAVED_AT = 38
"""A step between the best look and the end of the search, and more than half of all."""
ALL_ON = {"head": "multi", "advertiser_loss": "in_batch", "dropout": 0.2}
SEARCH = {"epochs": "auto", "max_auto_examples": 4000, "save_every_steps": SAVED_AT}
CASES = {
    "defaults": case(),
    "all on": case(ALL_ON),
    "own negatives": case(ALL_ON, hard_negative_scope="user"),
    "uneven": case(batch_size=33, hard_negatives_per_batch=7),
    "few negatives": case(hard_negatives_per_batch=1),
    "no negatives": case(hard_negatives_per_batch=0, logq_correction=False),
    "advertisers": case({"advertiser_loss": "embedding", "tower": "sequential", "dropout": 0.1}),
    "transformer": case({"history": "transformer", "transformer_dim": 16}),
    "without repeats": case({"repeat_score": False, "item_space": False, "pin_prior": False}),
    "sharded": case(ALL_ON | {"hashed_ids": True, "min_pin_count": 45}, sharded_rows=3),
    "sharded search": case(**SEARCH, sharded_rows=3),
    "search": case({"direction_scale": "auto"}, **SEARCH),
}
BF16 = case({"history": "transformer", "transformer_dim": 16}, precision="bf16")


@pytest.fixture(scope="module")
def dated():
    return World(with_times=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def on_two(folder):
    return train_on_ranks(CASES | {"bf16": BF16}, 2, folder)


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_train_as_one_process(name, on_two, dated):
    alone, together = train_case(CASES[name], dated), on_two[name]
    assert [step for step, _ in together["steps"]] == [step for step, _ in alone["steps"]]
    for (_, of_one), (step, of_two) in zip(alone["steps"], together["steps"], strict=True):
        assert of_two.keys() == of_one.keys()
        for metric, value in of_one.items():
            assert of_two[metric] == pytest.approx(value, rel=1e-4), (step, metric)
    first, last = alone["steps"][0][1]["loss"], together["steps"][0][1]["loss"]
    assert last == pytest.approx(first, rel=1e-6)

    # Not by bytes: rounding turns now and then a unit of an MLP on or off
    torch.manual_seed(SHORT.seed)
    config, training = CASES[name]
    prepared, _ = prepare(dated.examples, dated.pins, config=config, training=training)
    start = TwoTower(prepared.spec, prepared.config).state_dict()
    moved = movement(alone["weights"], since=start)
    apart = movement(together["weights"], since=alone["weights"])
    assert moved > 1
    assert apart < 2e-3 * moved


def test_the_search_of_two_ranks_takes_the_same_course(on_two, dated):
    alone = train_case(CASES["search"], dated)["course"]
    together = on_two["search"]["course"]
    assert len(alone["curve"]) > 2
    assert [step for step, _ in together["curve"]] == [step for step, _ in alone["curve"]]
    for name in ("best_step", "search_end", "finish_steps", "direction_scale"):
        assert together[name] == alone[name]
    of_one, of_two = ([score for _, score in found["curve"]] for found in (alone, together))
    np.testing.assert_allclose(of_two, of_one, rtol=1e-3)


@pytest.mark.parametrize("name", ["search", "sharded search"])
def test_a_search_goes_on_from_its_middle_to_the_same_bytes(name, on_two, folder, dated):
    straight, again = on_two[name], on_two[name + AGAIN]
    assert straight["course"]["search_end"] > SAVED_AT
    assert straight["course"]["best_step"] < SAVED_AT
    assert [step for step, _ in again["steps"]] == [
        step for step, _ in straight["steps"] if step >= SAVED_AT
    ]
    assert again["course"] == straight["course"]
    for weight, values in straight["weights"].items():
        assert torch.equal(again["weights"][weight], values), weight

    # On one process it goes on from the same file.
    alone = train_case(CASES[name], dated, checkpoint_dir=folder / name)
    assert [step for step, _ in alone["steps"]] == [step for step, _ in again["steps"]]
    nothing = {weight: torch.zeros_like(values) for weight, values in alone["weights"].items()}
    apart = movement(alone["weights"], since=again["weights"])
    assert apart < 2e-3 * movement(alone["weights"], since=nothing)


def test_bf16_on_two_ranks_loses_no_more_than_its_digits(on_two, dated):
    alone = train_case(BF16, dated)
    losses = [
        [metrics["loss"] for _, metrics in found["steps"]] for found in (alone, on_two["bf16"])
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.01)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [0, 1, 6, 7, 100])
def test_every_row_has_one_rank(size, length):
    parts = Ranks(0, size).parts(length)
    assert np.concatenate(parts).tolist() == list(range(length))
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1
