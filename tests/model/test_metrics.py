from math import inf, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcg_model.metrics import bootstrap_means, interval, ndcg_at, recall_at, target_ranks


def test_rank_counts_the_greater_and_half_of_the_equal_others():
    scores = np.array([[9.0, 5.0, 5.0, 5.0, 1.0]])
    assert target_ranks(scores, target_Q=np.array([0])) == 1
    assert target_ranks(scores, target_Q=np.array([1])) == 1 + 1 + 2 / 2
    assert target_ranks(scores, target_Q=np.array([4])) == 1 + 4


def test_rank_of_a_constant_scorer_is_the_middle():
    assert target_ranks(np.zeros((1, 101)), target_Q=np.array([7])) == 51


def test_rank_of_a_missing_target_is_infinite_and_counts_as_a_miss():
    ranks = target_ranks(np.array([[1.0, 2.0], [1.0, 2.0]]), target_Q=np.array([-1, 1]))
    assert ranks.tolist() == [inf, 1]
    assert recall_at(ranks, k=1000).mean() == 1 / 2
    assert ndcg_at(ranks, k=1000).mean() == 1 / 2


def test_minus_infinity_ranks_last_and_nan_is_refused():
    scores = np.array([[-inf, 0.0, 1.0]])
    assert target_ranks(scores, target_Q=np.array([0])) == 3
    with pytest.raises(ValueError, match="query 1 of this chunk"):
        target_ranks(np.array([[0.0, 1.0], [np.nan, 1.0]]), target_Q=np.array([0, 1]))
    with pytest.raises(ValueError, match="outside the 2 columns"):
        target_ranks(np.zeros((1, 2)), target_Q=np.array([2]))


score_rows = st.integers(1, 6).flatmap(
    lambda num_pins: st.lists(
        st.tuples(
            st.lists(st.integers(0, 3), min_size=num_pins, max_size=num_pins),
            st.integers(-1, num_pins - 1),
        ),
        min_size=1,
        max_size=5,
    )
)


@given(score_rows)
def test_rank_is_the_mean_over_all_orders_that_break_the_ties(rows):
    scores = np.array([scores for scores, _ in rows], dtype=np.float32)
    targets = np.array([target for _, target in rows])
    for row, rank in enumerate(target_ranks(scores, target_Q=targets)):
        others, target = scores[row], targets[row]
        if target < 0:
            assert rank == inf
            continue
        better = sum(score > others[target] for score in others)
        tied = sum(score == others[target] for score in others)
        places = [better + place for place in range(1, tied + 1)]
        assert rank == sum(places) / len(places)


def test_recall_and_ndcg_by_hand():
    ranks = np.array([1.0, 2.0, 100.0, 100.5, 4.0])
    assert recall_at(ranks, k=2).mean() == 2 / 5
    assert recall_at(ranks, k=100).mean() == 4 / 5
    expected = (1 / log2(2) + 1 / log2(3) + 1 / log2(101) + 0 + 1 / log2(5)) / 5
    assert ndcg_at(ranks, k=100).mean() == pytest.approx(expected)


def test_bootstrap_draws_whole_users():
    # Two users: 3 queries at 1, 1 query at 0. A resample holds both (3/4), the first twice (1)
    # or the second twice (0), and nothing else.
    values = np.array([[1.0], [1.0], [1.0], [0.0]])
    means = bootstrap_means(
        values,
        user_Q=np.array([0, 0, 0, 1]),
        num_resamples=400,
        rng=np.random.default_rng(0),
    )
    shares = {value: float((means == value).mean()) for value in (0, 3 / 4, 1)}
    assert sum(shares.values()) == 1
    assert shares[3 / 4] == pytest.approx(1 / 2, abs=0.1)


def test_bootstrap_is_seeded_and_columns_share_the_draws():
    rng = np.random.default_rng(1)
    user = np.r_[np.arange(50), rng.integers(50, size=150)]
    first = rng.random(200)
    values = np.stack([first, first + 0.25], axis=1)

    def resample():
        return bootstrap_means(values, user_Q=user, num_resamples=64, rng=np.random.default_rng(3))

    assert np.array_equal(resample(), resample())
    assert np.allclose(resample()[:, 1] - resample()[:, 0], 0.25)


def test_interval_of_single_query_users_is_the_normal_one():
    values = (np.arange(2000) % 2)[:, None].astype(float)
    means = bootstrap_means(
        values, user_Q=np.arange(2000), num_resamples=2000, rng=np.random.default_rng(0)
    )
    low, high = interval(means)[:, 0]
    assert low == pytest.approx(0.5 - 1.96 * np.sqrt(0.25 / 2000), abs=0.002)
    assert high == pytest.approx(0.5 + 1.96 * np.sqrt(0.25 / 2000), abs=0.002)


def test_chunks_of_resamples_do_not_change_their_number(monkeypatch):
    monkeypatch.setattr("convcg_model.metrics._MAX_CELLS", 7)
    means = bootstrap_means(
        np.ones((3, 1)), user_Q=np.arange(3), num_resamples=5, rng=np.random.default_rng(0)
    )
    assert means.tolist() == [[1.0]] * 5
