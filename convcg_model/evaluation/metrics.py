"""Metrics of a ranking with one relevant Pin per query, and their bootstrap intervals.

Shape suffixes: Q queries, N Pins, M metric columns, U users, B bootstrap resamples.
What is a query, which Pins are candidates and which slices are reported stands in `evaluation.py`.
"""

import numpy as np

_MAX_CELLS = 4_000_000


def target_ranks(scores_QN: np.ndarray, *, target_Q: np.ndarray) -> np.ndarray:
    """Rank of each query's target among all Pins, from 1, as float64 [Q].

    Ties share the rank expected if they were broken at random,
    `1 + #greater + #equal others / 2`: a scorer that gives every Pin the same score gets the
    middle rank, not the first. `target_Q` is the target's column; -1 (not among the Pins) gives
    `inf`. A NaN among the scores is a ValueError; `-inf` ranks last.

    >>> target_ranks(np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 1.0]]), target_Q=np.array([2, 0]))
    array([2., 2.])
    """
    num_queries, num_pins = scores_QN.shape
    if target_Q.shape != (num_queries,):
        raise ValueError(f"{num_queries} rows of scores need as many targets, not {target_Q.shape}")
    if num_queries and (target_Q.min() < -1 or target_Q.max() >= num_pins):
        raise ValueError(f"a target lies outside the {num_pins} columns of the scores")
    ranks_Q = np.full(num_queries, np.inf)
    found_Q = target_Q >= 0
    rows = scores_QN if found_Q.all() else scores_QN[found_Q]
    target_score = rows[np.arange(len(rows)), target_Q[found_Q]][:, None]
    # Sums of floats are NaN or inf whenever a part is; looking closer only then spares a pass.
    if not np.isfinite(rows.sum()) and np.isnan(rows).any():
        row = int(np.flatnonzero(np.isnan(scores_QN).any(axis=1))[0])
        raise ValueError(f"scores must not be NaN: query {row} of this chunk has one")
    num_greater = np.count_nonzero(rows > target_score, axis=1)
    num_equal_others = np.count_nonzero(rows == target_score, axis=1) - 1
    ranks_Q[found_Q] = 1 + num_greater + num_equal_others / 2
    return ranks_Q


def recall_at(ranks_Q: np.ndarray, *, k: int) -> np.ndarray:
    """1.0 where the target is among the first k, else 0.0 [Q]; the mean over queries is recall@k.

    >>> recall_at(np.array([1.0, 10.0, 10.5, np.inf]), k=10)
    array([1., 1., 0., 0.])
    """
    return (ranks_Q <= k).astype(np.float64)


def ndcg_at(ranks_Q: np.ndarray, *, k: int) -> np.ndarray:
    """Normalised discounted cumulative gain at k of each query, in [0, 1] [Q].

    With a single relevant Pin the ideal gain is 1, so it is `1 / log2(1 + rank)` up to k, else 0
    (Järvelin and Kekäläinen 2002).

    >>> ndcg_at(np.array([1.0, 3.0, 101.0]), k=100)
    array([1. , 0.5, 0. ])
    """
    return np.where(ranks_Q <= k, 1 / np.log2(1 + ranks_Q), 0.0)


def weighted_means(values_QM: np.ndarray, *, weight_Q: np.ndarray) -> np.ndarray:
    """`sum(weight value) / sum(weight)` of every column [M] (ratio estimator, Hajek 1971).

    >>> weighted_means(np.array([[1.0], [0.0], [0.0]]), weight_Q=np.array([2.0, 1.0, 1.0]))
    array([0.5])
    """
    return (values_QM * weight_Q[:, None]).sum(axis=0) / weight_Q.sum()


def bootstrap_means(
    values_QM: np.ndarray,
    *,
    weight_Q: np.ndarray,
    user_Q: np.ndarray,
    num_resamples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Weighted means of every column over resamples of the *users* [B, M].

    One person's queries are alike, so whole users are drawn with replacement, as many as there are,
    each with all of their queries, and every resample is the ratio of its own sums,
    `sum(weight value) / sum(weight)`. All columns share the draws: the difference of two columns of
    the result is a paired bootstrap of their difference. `weight_Q` is positive, `user_Q` holds
    user codes 0..U-1, each at least once.
    """
    num_queries, num_columns = values_QM.shape
    if num_queries == 0:
        raise ValueError("there is nothing to resample: no queries")
    num_users = int(user_Q.max()) + 1
    sums = np.empty((num_users, num_columns + 1))
    sums[:, 0] = np.bincount(user_Q, weight_Q, minlength=num_users)
    for column in range(num_columns):
        weighted_Q = weight_Q * values_QM[:, column]
        sums[:, column + 1] = np.bincount(user_Q, weighted_Q, minlength=num_users)
    means = np.empty((num_resamples, num_columns))
    step = max(1, _MAX_CELLS // num_users)
    for start in range(0, num_resamples, step):
        size = min(step, num_resamples - start)
        drawn = rng.integers(num_users, size=(size, num_users))
        drawn += np.arange(size)[:, None] * num_users
        times_BU = np.bincount(drawn.ravel(), minlength=size * num_users).reshape(size, num_users)
        totals = times_BU.astype(np.float64) @ sums
        means[start : start + size] = totals[:, 1:] / totals[:, :1]
    return means


def interval(samples_BM: np.ndarray, *, level: float = 0.95) -> np.ndarray:
    """Lower and upper percentile of every column's resamples [2, M] (percentile bootstrap)."""
    tail = (1 - level) / 2
    return np.quantile(samples_BM, [tail, 1 - tail], axis=0)
