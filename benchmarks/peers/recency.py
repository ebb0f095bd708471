"""Peers that read a query's history alone: what was viewed last, and what others took next."""

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.peers.exchange import (
    FIRST_ITEM,
    NO_ITEM,
    Candidates,
    Data,
    Fitted,
    Rows,
    run,
)


def source_weights(rows: Rows, *, num_items: int, decay: float) -> csr_matrix:
    """[n, M]: `decay ** place` of the subject (place 0) and the recent items, the newest only."""
    sources = rows.sources()
    row, place = np.nonzero(sources >= FIRST_ITEM)
    item = sources[row, place]
    _, first = np.unique(row * num_items + item, return_index=True)
    row, place, item = row[first], place[first], item[first]
    return csr_matrix((decay**place, (row, item)), shape=(len(rows), num_items))


def fit(data: Data, settings: dict[str, Any]) -> Fitted:
    """`kind`: viewed or transitions; `decay` of the older sources, `doubt` pseudo-transitions."""
    num_items = len(data.items.pin)
    if settings.get("kind", "viewed") == "viewed":
        return Fitted(_viewed)
    decay, doubt = settings.get("decay", 0.7), settings.get("doubt", 2.0)
    sources = source_weights(data.train, num_items=num_items, decay=decay)
    taken = csr_matrix(
        (data.labels.weight, (np.arange(len(data.train)), data.labels.item)),
        shape=(len(data.train), num_items),
    )
    counts = csr_matrix(sources.T @ taken)
    total = np.asarray(counts.sum(axis=1)).ravel()
    shares = csr_matrix(counts.multiply(1 / (total + doubt)[:, None]))

    def transitions(queries: Rows, candidates: Candidates) -> np.ndarray:
        scores = candidates.popularity[queries.task].astype(np.float64)
        moved = source_weights(queries, num_items=num_items, decay=decay) @ shares
        moved = moved[:, candidates.item].toarray()
        return scores + np.where(moved > 0, 1 + moved, 0)

    return Fitted(transitions)


def _viewed(queries: Rows, candidates: Candidates) -> np.ndarray:
    """The subject, then the newest actions, then popularity."""
    scores = candidates.popularity[queries.task].astype(np.float64)
    place_of = np.full(int(max(candidates.item.max(), queries.sources().max())) + 1, -1)
    place_of[candidates.item] = np.arange(len(candidates.item))
    sources = queries.sources()
    for place in reversed(range(sources.shape[1])):
        rows = np.flatnonzero(sources[:, place] != NO_ITEM)
        columns = place_of[sources[rows, place]]
        scores[rows[columns >= 0], columns[columns >= 0]] = 1 + sources.shape[1] - place
    return scores


if __name__ == "__main__":
    run(fit)
