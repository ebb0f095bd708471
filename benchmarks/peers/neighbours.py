"""Peers that are linear in what a person did: item-kNN and EASE."""

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.peers.exchange import Candidates, Data, Fitted, Rows, over_popularity, run
from benchmarks.peers.recency import source_weights

MAX_EASE_ITEMS = 4_000
"""EASE inverts a matrix of all its items; of more, those with the most positives."""


def fit(data: Data, settings: dict[str, Any]) -> Fitted:
    """`kind`: knn (`own`, `decay`) or ease (`penalty`, `decay`).

    `own` says whether an item is a neighbour of itself, so that it can be recommended again.

    A person is what the query says: the subject and the recent items, each counting `decay` times
    the one after it, the last action most; and, of EASE, what the person took in training.
    """
    kind, decay = settings.get("kind", "knn"), settings.get("decay", 0.7)
    num_items = len(data.items.pin)
    named = data.train.user >= 0
    user, item = data.train.user[named], data.labels.item[named]
    taken = csr_matrix((np.ones(len(user)), (user, item)), shape=(data.num_users, num_items))
    taken.sum_duplicates()
    taken.data[:] = 1.0
    counts = np.asarray(taken.sum(axis=0)).ravel()
    if kind == "knn":
        together = (taken.T @ taken).tocoo()
        norms = np.sqrt(counts[together.row] * counts[together.col])
        cosines = together.data / norms
        if not settings.get("own", False):
            cosines[together.row == together.col] = 0
        similar = csr_matrix((cosines, (together.row, together.col)), shape=together.shape)
        kept = np.arange(num_items)
    else:
        # Steck, Embarrassingly Shallow Autoencoders (2019), equation 8
        kept = np.sort(np.argsort(-counts, kind="stable")[:MAX_EASE_ITEMS])
        kept = kept[counts[kept] > 0]
        few = taken[:, kept]
        gram = (few.T @ few).toarray() + settings.get("penalty", 100.0) * np.eye(len(kept))
        inverse = np.linalg.inv(gram)
        similar = -inverse / np.diag(inverse)
        np.fill_diagonal(similar, 0.0)
    place_of = np.full(num_items, -1)
    place_of[kept] = np.arange(len(kept))

    def score(queries: Rows, candidates: Candidates) -> np.ndarray:
        person = source_weights(queries, num_items=num_items, decay=decay)
        if kind == "ease":
            before = taken[np.maximum(queries.user, 0)].multiply((queries.user >= 0)[:, None])
            person = csr_matrix(person + before)
        place_N = place_of[candidates.item]
        person = person[:, kept]
        has_any = np.asarray(person.sum(axis=1)).ravel() > 0
        moved = person @ similar
        moved = moved.toarray() if kind == "knn" else np.asarray(moved)
        moved = moved[:, np.maximum(place_N, 0)]
        if kind == "knn":  # no neighbour in common: as little known as a new item
            popularity = candidates.popularity[queries.task]
            return popularity + np.where(moved > 0, 1 + moved, 0)
        return over_popularity(moved, queries, candidates, known_Q=has_any, known_N=place_N >= 0)

    return Fitted(score)


if __name__ == "__main__":
    run(fit)
