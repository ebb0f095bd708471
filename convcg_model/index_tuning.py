"""The index that suits a number of Pins, and how broadly it has to be searched.

A fixed breadth guarantees nothing: how much of what exact search finds an approximate one finds
depends on the vectors. So it is chosen by measuring, on one half of some user embeddings, and
reported on the other.
"""

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np

from convcg_model.config import IndexConfig
from convcg_model.eligible import Eligible
from convcg_model.exact_search import search_exactly
from convcg_model.index_search import Breadth, search_approximately, search_index, searched_share

K = 100
"""Recall is measured of the best K."""
TIE = 1e-5
"""The same inner product added up in another order differs by less."""
MAX_SHARE = 0.5
"""An approximate search that visits more of the vectors saves nothing."""
SHARES = (0.5, 0.2, 0.1, 0.05)
"""Shares of eligible vectors for which a breadth is looked for; below them search is exact."""
FILTER_QUERIES = 100
MAX_TRAINING_POINTS = 200_000


@dataclass(frozen=True)
class Tuning:
    """What was measured: the curve, and on queries of their own recall and time of the choice.

    `curve` has a row per breadth: what it is, recall and microseconds a query.
    """

    factory: str
    breadth: Breadth
    reason: str
    curve: tuple[dict[str, float], ...] = ()
    recall: float | None = None
    microseconds: float | None = None
    exact_microseconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "reason": self.reason,
            "curve": list(self.curve),
            "recall": self.recall,
            "microseconds": self.microseconds,
            "exact_microseconds": self.exact_microseconds,
        }


def make_index(
    vectors: np.ndarray, *, config: IndexConfig, queries: np.ndarray | None = None
) -> tuple[faiss.Index, Tuning]:
    """An index over vectors [N, D] by inner product, and how it is to be searched.

    With `factory` auto it is exact below `exact_below` vectors; else an inverted file of rounded
    vectors, with the smallest number of probes whose recall@100 reaches `target_recall` on half of
    the `queries` [Q, D]; without queries a sample of the vectors stands in for them. Where no
    breadth worth its work reaches it, search is exact.
    """
    own = Breadth(config.num_probes, config.ef_search, config.refine)
    if config.factory != "auto":
        return _build(config.factory, vectors, config), Tuning(
            config.factory, own, "the factory is set"
        )
    if len(vectors) < config.exact_below:
        reason = f"{len(vectors):,} Pins are fewer than {config.exact_below:,} (exact_below)"
        return _build("Flat", vectors, config), Tuning("Flat", own, reason)
    lists = 2 ** round(math.log2(4 * math.sqrt(len(vectors))))
    index = _build(f"IVF{lists},SQ8", vectors, config)
    asked = _stand_ins(vectors) if queries is None or len(queries) < 20 else queries
    tuning = _tune(index, vectors, asked, factory=f"IVF{lists},SQ8", own=own, config=config)
    return (index if tuning.factory != "Flat" else _build("Flat", vectors, config)), tuning


def recall_of(found: np.ndarray, scores: np.ndarray, exact_scores: np.ndarray) -> float:
    """Share of the K best of exact search that was found, mean over queries; ties count.

    `found` [Q, K] are places (-1: none) with their exact scores [Q, K], `exact_scores` [Q, K] those
    of exact search.
    """
    return float(((scores >= exact_scores[:, -1:] - TIE) & (found >= 0)).mean())


def _tune(
    index: faiss.Index,
    vectors: np.ndarray,
    queries: np.ndarray,
    *,
    factory: str,
    own: Breadth,
    config: IndexConfig,
) -> Tuning:
    halves = np.ascontiguousarray(queries[::2]), np.ascontiguousarray(queries[1::2])
    exact = [search_exactly(vectors, half, K)[1] for half in halves]
    curve, chosen = [], None
    for probes in (2**i for i in range(int(math.log2(index.nlist)) + 1)):
        breadth = replace(own, num_probes=probes)
        if searched_share(index, breadth) > MAX_SHARE:
            break
        recall, microseconds = _measure(index, vectors, halves[0], exact[0], breadth)
        curve.append({"num_probes": probes, "recall": recall, "microseconds": microseconds})
        if recall >= config.target_recall:
            chosen = breadth
            break
    begun = time.perf_counter()
    for query in halves[1][:20]:
        search_exactly(vectors, query[None], K)
    exact_us = 1e6 * (time.perf_counter() - begun) / max(1, len(halves[1][:20]))
    if chosen is None:
        best = max((row["recall"] for row in curve), default=0.0)
        reason = (
            f"search is exact: no more than {best:.4f} of the best {K} were found by visiting "
            f"{MAX_SHARE:.0%} of the Pins, {config.target_recall:g} is wanted (target_recall)"
        )
        return Tuning("Flat", own, reason, tuple(curve), 1.0, exact_us, exact_us)
    chosen = replace(chosen, filtered=_tune_filtered(index, vectors, halves[0], chosen, config))
    recall, microseconds = _measure(index, vectors, halves[1], exact[1], chosen)
    reason = (
        f"the fewest probes that find {config.target_recall:g} of the best {K} "
        f"on {len(halves[0]):,} queries"
    )
    return Tuning(factory, chosen, reason, tuple(curve), recall, microseconds, exact_us)


def _tune_filtered(
    index: faiss.Index,
    vectors: np.ndarray,
    queries: np.ndarray,
    chosen: Breadth,
    config: IndexConfig,
) -> tuple[tuple[float, int], ...]:
    """The fewest probes that reach the target where a share is eligible, drawn at random."""
    found: list[tuple[float, int]] = []
    queries, probes = queries[:FILTER_QUERIES], chosen.num_probes
    for share in SHARES:
        eligible = Eligible(np.random.default_rng(0).random(len(vectors)) < share)
        exact = search_exactly(vectors, queries, K, eligible=eligible)[1]
        # Beyond, what is eligible is less than what would be visited.
        while probes < share * index.nlist:
            breadth = replace(chosen, num_probes=probes)
            places, scores = search_approximately(
                index, vectors, queries, K, breadth=breadth, eligible=eligible
            )
            if recall_of(places, scores, exact) >= config.target_recall:
                found.append((share, probes))
                break
            probes *= 2
        else:
            break
    return tuple(found)


def _measure(
    index: faiss.Index,
    vectors: np.ndarray,
    queries: np.ndarray,
    exact_scores: np.ndarray,
    breadth: Breadth,
) -> tuple[float, float]:
    """Recall, and microseconds a query, each searched by itself."""
    k = exact_scores.shape[1]
    begun = time.perf_counter()
    answers = [search_index(index, vectors, q[None], k, breadth=breadth) for q in queries]
    microseconds = 1e6 * (time.perf_counter() - begun) / max(1, len(queries))
    found, scores = (np.concatenate(part) for part in zip(*answers, strict=True))
    return recall_of(found, scores, exact_scores), microseconds


def _stand_ins(vectors: np.ndarray) -> np.ndarray:
    """Vectors in the place of users, evenly drawn."""
    return vectors[:: max(1, len(vectors) // 500)]


def _build(factory: str, vectors: np.ndarray, config: IndexConfig) -> faiss.Index:
    index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    if isinstance(index, faiss.IndexHNSW):
        index.hnsw.efConstruction = config.ef_construction
    step = max(1, len(vectors) // MAX_TRAINING_POINTS)
    index.train(np.ascontiguousarray(vectors[::step]))
    index.add(vectors)
    return index
