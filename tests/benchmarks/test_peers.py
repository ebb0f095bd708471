"""What peers are handed and what they hand back, on a tiny world."""

import numpy as np
import pytest

from benchmarks.peers import neighbours, popularity, recency
from benchmarks.peers.exchange import (
    TOP,
    Candidates,
    Data,
    Items,
    Labels,
    Rows,
    over_popularity,
    top_candidates,
)

NUM_ITEMS = 8


def rows(*, user, task, time, recent, subject=None):
    n = len(user)
    return Rows(
        number=np.arange(n),
        user=np.array(user),
        task=np.array(task),
        time=np.array(time, dtype=float),
        context=np.zeros((n, 0), dtype=int),
        numeric=np.zeros((n, 0), dtype="f4"),
        subject=np.array(subject or [0] * n),
        recent=np.array(recent),
        recent_age=np.zeros((n, len(recent[0]))),
    )


@pytest.fixture
def data(tmp_path):
    item = np.array([2, 3, 3, 4, 2, 5])
    train = rows(
        user=[0, 0, 1, 1, 2, 2],
        task=[1, 1, 1, 0, 1, 1],
        time=[0, 1, 2, 3, 4, 5],
        recent=[[0, 0], [2, 0], [0, 0], [3, 0], [0, 0], [2, 0]],
    )
    weight = np.array([1.0, 1, 2, 1, 1, 1])
    np.savez(tmp_path / "stream.npz", time=train.time, item=item, task=train.task, weight=weight)
    codes = np.arange(NUM_ITEMS)
    nothing = np.zeros((NUM_ITEMS, 0), dtype="f4")
    return Data(
        train=train,
        labels=Labels(item=item, weight=weight, numeric=np.zeros((6, 0))),
        items=Items(codes, codes * 0, codes * 0, nothing, nothing),
        sizes={"users": 3},
        folder=tmp_path,
    )


@pytest.fixture
def candidates():
    item = np.arange(2, NUM_ITEMS)
    levels = np.tile(np.linspace(0, 0.5, len(item)), (2, 1))
    return Candidates(np.array(0), item, np.zeros((len(item), 0)), levels)


def test_streaming_popularity_counts_what_was_before_the_moment(data, candidates):
    queries = rows(user=[0, 0, 0], task=[1, 1, 0], time=[2.0, 4.5, 4.5], recent=[[0], [0], [0]])
    score = popularity.fit(data, {"kind": "streaming", "half_life_days": 1.0}).score
    scores = score(queries, candidates) - candidates.popularity[queries.task]
    # Engagements before time 2 (not at it): item 2 at 0 and item 3 at 1. Conversions: item 4 at 3.
    assert scores[0].tolist() == pytest.approx([1 + 0.25, 1 + 0.5, 0, 0, 0, 0])
    half = 0.5**0.5
    newest = [1 + 0.5**4.5 + half, 1 + 0.5**3.5 + 2 * 0.5**2.5, 0, 0, 0, 0]
    assert scores[1].tolist() == pytest.approx(newest)
    assert scores[2].tolist() == pytest.approx([0, 0, 1 + 0.5**1.5, 0, 0, 0])


def test_transitions_go_from_what_was_done_to_what_was_taken(data, candidates):
    queries = rows(user=[0], task=[1], time=[9.0], recent=[[2, 0]])
    score = recency.fit(data, {"kind": "transitions", "decay": 0.5, "doubt": 2.0}).score
    scores = score(queries, candidates) - candidates.popularity[queries.task]
    # From 2 once to 3 and once to 5, at place 1: 0.5 each, of a total of 1 and 2 in doubt.
    share = 0.5 * 0.5 / (1 + 2)
    assert scores[0].tolist() == pytest.approx([0, 1 + share, 0, 1 + share, 0, 0])


def test_what_was_viewed_last_is_first_and_the_subject_before_it(data, candidates):
    queries = rows(user=[0], task=[1], time=[9.0], recent=[[4, 2, 4]], subject=[6])
    scores = recency.fit(data, {"kind": "viewed"}).score(queries, candidates)[0]
    assert np.argsort(-scores)[:3].tolist() == [6 - 2, 4 - 2, 2 - 2]


@pytest.mark.parametrize("own", [False, True])
def test_item_knn_is_of_who_took_both(data, candidates, own):
    queries = rows(user=[-1], task=[1], time=[9.0], recent=[[2, 0]])
    score = neighbours.fit(data, {"kind": "knn", "decay": 1.0, "own": own}).score
    scores = score(queries, candidates) - candidates.popularity[queries.task]
    # 2 was taken by users 0 and 2, 3 by 0 and 1, 5 by 2.
    expected = [1 + 1.0 if own else 0, 1 + 1 / 2, 0, 1 + 1 / np.sqrt(2), 0, 0]
    assert scores[0].tolist() == pytest.approx(expected)


def test_ease_is_the_regularised_regression_without_a_diagonal(data, candidates):
    queries = rows(user=[-1], task=[1], time=[9.0], recent=[[2, 0]])
    score = neighbours.fit(data, {"kind": "ease", "decay": 1.0, "penalty": 2.0}).score
    scores = score(queries, candidates)[0, :4]  # items 2 to 5, which have positives
    taken = np.array([[1.0, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]])
    weights = np.zeros(4)
    for target in range(1, 4):  # each column is a ridge regression on the others
        others = [item for item in range(4) if item != target]
        x, y = taken[:, others], taken[:, target]
        solved = np.linalg.solve(x.T @ x + 2.0 * np.eye(3), x.T @ y)
        weights[target] = solved[others.index(0)]
    assert (scores - scores[0]).tolist() == pytest.approx(weights - weights[0])


def test_unknown_users_and_items_are_in_order_of_popularity(candidates):
    queries = rows(user=[0, -1], task=[1, 1], time=[0.0, 0.0], recent=[[0], [0]])
    learned = np.array([[-5.0, -7, 0, 0, 0, 0]] * 2)
    known_N = np.array([True, True, False, False, False, False])
    scores = over_popularity(
        learned, queries, candidates, known_Q=np.array([True, False]), known_N=known_N
    )
    assert np.argsort(-scores[0]).tolist() == [0, 1, 5, 4, 3, 2]
    assert scores[1].tolist() == candidates.popularity[1].astype("f4").tolist()


def test_top_candidates_are_sorted_and_ties_drawn():
    scores = np.array([[1.0, 3, 3, 0]])
    assert top_candidates(scores, order=np.array([0, 1, 2, 3]))[0, :5].tolist() == [1, 2, 0, 3, -1]
    assert top_candidates(scores, order=np.array([3, 2, 1, 0]))[0, :4].tolist() == [2, 1, 0, 3]
    many = np.random.default_rng(0).random((3, 2 * TOP))
    best = np.argsort(-many, axis=1)[:, :TOP]
    assert (top_candidates(many, order=np.arange(2 * TOP)) == best).all()
    with pytest.raises(ValueError, match="NaN"):
        top_candidates(np.array([[np.nan]]), order=np.array([0]))
