"""Batches cover every positive once an epoch; the batch's users come first in hard negatives."""

import numpy as np
import pytest

from convcg_model.config import TrainingConfig
from convcg_model.sampling import (
    Batches,
    epoch_batches,
    hard_negative_pool,
    sampling_probability,
    shuffle,
)


def test_an_epoch_holds_every_positive_once_in_batches_of_equal_size():
    batches = epoch_batches(1000, batch_size=300, seed=1, epoch=0)
    assert [len(batch) for batch in batches] == [334, 333, 333]
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))


def test_epochs_differ_and_repeat():
    first, second = (epoch_batches(50, batch_size=50, seed=1, epoch=e)[0] for e in (0, 1))
    assert first.tolist() != second.tolist()
    assert first.tolist() == epoch_batches(50, batch_size=50, seed=1, epoch=0)[0].tolist()


def test_probability_is_the_share_of_positives():
    assert sampling_probability(np.array([8, 8, 2])).tolist() == [2 / 3, 2 / 3, 1 / 3]


def test_users_of_the_batch_come_first():
    pool = hard_negative_pool(np.array([0, 1, 1, 2, 5]), num_users=6)
    drawn = pool.draw(np.array([1, 1, 2, 4]), 2, fill=True, seed=0, step=0)
    assert len(drawn) == 2
    assert sorted(drawn.tolist())[1] == 3
    assert sorted(drawn.tolist())[0] in (1, 2)


def test_filled_up_from_everybody_without_repeats():
    pool = hard_negative_pool(np.arange(40) % 4, num_users=4)
    drawn = pool.draw(np.array([1]), 20, fill=True, seed=0, step=0)
    assert len(set(drawn.tolist())) == len(drawn) > 10
    assert len(pool.draw(np.array([1]), 20, fill=False, seed=0, step=0)) == 1


def test_nothing_to_draw():
    pool = hard_negative_pool(np.zeros(0, dtype=int), num_users=3)
    assert pool.draw(np.array([0, 2]), 5, fill=True, seed=0, step=0).tolist() == []


def test_up_to_so_many_rows_the_order_is_a_uniform_permutation():
    order = shuffle(1_000, np.random.default_rng(3), block=10, mixed=1_000)
    assert order.tolist() == np.random.default_rng(3).permutation(1_000).tolist()


@pytest.mark.parametrize("num_rows", [101, 1_000, 4_096, 10_007])
def test_of_more_rows_each_comes_once_and_blocks_together(num_rows):
    order = shuffle(num_rows, np.random.default_rng(5), block=8, mixed=100)
    assert sorted(order.tolist()) == list(range(num_rows))
    place = np.empty(num_rows, dtype=int)
    place[order] = np.arange(num_rows)
    # A block lies in two mixed parts at most, and those are neighbours.
    for first in range(0, num_rows, 8):
        parts = place[first : first + 8] // 100
        assert parts.max() - parts.min() <= 1
    # Neighbours are not together, and early rows do not come early.
    assert np.mean(np.abs(np.diff(order)) == 1) < 0.1
    assert abs(np.corrcoef(order, np.arange(num_rows))[0, 1]) < 0.5


def test_an_epoch_does_not_repeat_the_one_before():
    first, second = (
        shuffle(5_000, np.random.default_rng([1, 0, epoch]), block=8, mixed=500) for epoch in (0, 1)
    )
    assert np.mean(first == second) < 0.01
    # Nor do the same rows meet again: of two in one batch of 50 few are in one of the next epoch.
    batch_of = np.empty(5_000, dtype=int)
    batch_of[second] = np.arange(5_000) // 50
    together = [np.mean(batch_of[b][:, None] == batch_of[b]) for b in np.split(first, 100)]
    assert np.mean(together) < 0.05


def test_what_comes_soon_is_told_once_before_it_comes(monkeypatch):
    monkeypatch.setattr("convcg_model.sampling.MIXED_ROWS", 40)
    batches = Batches(TrainingConfig(batch_size=10, hard_negatives_per_batch=0))
    told: list[int] = []
    for step in range(25):
        position = step % 10
        told = [] if position == 0 else told
        told += batches.soon(step, num_positives=100).tolist()
        assert set(batches.at(step, num_positives=100)) <= set(told)
        assert len(told) == len(set(told))
    # A training that goes on in the middle of an epoch is told of its first steps as well.
    resumed = Batches(TrainingConfig(batch_size=10, hard_negatives_per_batch=0))
    assert set(resumed.at(6, num_positives=100)) <= set(resumed.soon(6, num_positives=100))
