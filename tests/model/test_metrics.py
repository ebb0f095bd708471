from math import inf, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcg_model.evaluation.metrics import (
    bootstrap_means,
    interval,
    ndcg_at,
    recall_at,
    target_ranks,
    weighted_means,
)


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
        weight_Q=np.ones(4),
        user_Q=np.array([0, 0, 0, 1]),
        num_resamples=400,
        rng=np.random.default_rng(0),
    )
    shares = {value: float((means == value).mean()) for value in (0, 3 / 4, 1)}
    assert sum(shares.values()) == 1
    assert shares[3 / 4] == pytest.approx(1 / 2, abs=0.1)


def test_a_resample_is_the_ratio_of_its_own_sums():
    # User 0 has hits of weights 2 and 3, user 1 a miss of weight 4 and a hit of weight 1.
    means = bootstrap_means(
        np.array([[1.0], [1.0], [0.0], [1.0]]),
        weight_Q=np.array([2.0, 3.0, 4.0, 1.0]),
        user_Q=np.array([0, 0, 1, 1]),
        num_resamples=100,
        rng=np.random.default_rng(0),
    )
    assert set(means[:, 0].tolist()) == {5 / 5, 1 / 5, (5 + 1) / (5 + 5)}


weighted_queries = st.lists(
    st.tuples(st.floats(0, 1), st.floats(1, 5), st.integers(0, 3)), min_size=1, max_size=12
)


@given(weighted_queries, st.integers(0, 9))
def test_bootstrap_agrees_with_drawing_one_user_after_another(queries, seed):
    users = sorted({user for _, _, user in queries})
    means = bootstrap_means(
        np.array([[value] for value, _, _ in queries]),
        weight_Q=np.array([weight for _, weight, _ in queries]),
        user_Q=np.array([users.index(user) for _, _, user in queries]),
        num_resamples=4,
        rng=np.random.default_rng(seed),
    )
    draws = np.random.default_rng(seed).integers(len(users), size=(4, len(users)))
    for mean, drawn in zip(means[:, 0], draws, strict=True):
        lived = [
            (value, weight)
            for number in drawn
            for value, weight, user in queries
            if user == users[number]
        ]
        weighed = sum(value * weight for value, weight in lived)
        assert mean == pytest.approx(weighed / sum(weight for _, weight in lived))


def test_weighted_mean_by_hand():
    values = np.array([[1.0, 0.5], [0.0, 1.0], [1.0, 0.0]])
    means = weighted_means(values, weight_Q=np.array([1.0, 4.0, 2.0]))
    assert means.tolist() == [(1 + 2) / (1 + 4 + 2), (1 * 0.5 + 4 * 1) / (1 + 4 + 2)]


def test_bootstrap_is_seeded_and_columns_share_the_draws():
    rng = np.random.default_rng(1)
    user = np.r_[np.arange(50), rng.integers(50, size=150)]
    first = rng.random(200)
    values = np.stack([first, first + 0.25], axis=1)

    def resample():
        return bootstrap_means(
            values,
            weight_Q=np.ones(200),
            user_Q=user,
            num_resamples=64,
            rng=np.random.default_rng(3),
        )

    assert np.array_equal(resample(), resample())
    assert np.allclose(resample()[:, 1] - resample()[:, 0], 0.25)


def test_interval_of_single_query_users_is_the_normal_one():
    values = (np.arange(2000) % 2)[:, None].astype(float)
    means = bootstrap_means(
        values,
        weight_Q=np.ones(2000),
        user_Q=np.arange(2000),
        num_resamples=2000,
        rng=np.random.default_rng(0),
    )
    low, high = interval(means)[:, 0]
    assert low == pytest.approx(0.5 - 1.96 * np.sqrt(0.25 / 2000), abs=0.002)
    assert high == pytest.approx(0.5 + 1.96 * np.sqrt(0.25 / 2000), abs=0.002)


def test_chunks_of_resamples_do_not_change_their_number(monkeypatch):
    monkeypatch.setattr("convcg_model.evaluation.metrics._MAX_CELLS", 7)
    means = bootstrap_means(
        np.ones((3, 1)),
        weight_Q=np.ones(3),
        user_Q=np.arange(3),
        num_resamples=5,
        rng=np.random.default_rng(0),
    )
    assert means.tolist() == [[1.0]] * 5
