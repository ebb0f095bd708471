"""Batches cover every positive once an epoch; the batch's users come first in hard negatives."""

import numpy as np

from convcg_model.sampling import epoch_batches, hard_negative_pool, sampling_probability


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
