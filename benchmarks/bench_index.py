"""Benchmark: the index that finds its own breadth, filters, and Pins that came and went.

    python -m benchmarks.bench_index --pins 100000 1000000

Vectors of 64 numbers around 2,000 centres, lengths from half to double, as embeddings with a prior
have them; queries are drawn likewise. One thread, K = 100, each query searched by itself. Time
is the median over queries, and so are ratios to exact search in the same run. The last line is one
JSON object.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import torch

from convcg_model.config import IndexConfig
from convcg_model.eligible import Eligible
from convcg_model.exact_search import search_exactly
from convcg_model.index_search import search_index
from convcg_model.index_tuning import make_index, recall_of

DIM, CENTRES, K = 64, 2_000, 100
ELIGIBLE = (0.5, 0.1, 0.01, 0.001)
CHANGES = (0.01, 0.05, 0.2)


Search = Callable[..., tuple[np.ndarray, np.ndarray]]


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_index", description=__doc__)
    parser.add_argument("--pins", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    sizes = [measure(num, num_queries=options.queries) for num in options.pins]
    print(json.dumps({"benchmark": "index", "sizes": sizes}))


def measure(num_pins: int, *, num_queries: int) -> dict[str, Any]:
    """What `auto` chooses for so many Pins, and what that gives on queries it has not seen."""
    vectors = draw(num_pins, seed=1)
    begun = time.perf_counter()
    index, tuning = make_index(vectors, config=IndexConfig(), queries=draw(500, seed=2))
    built = time.perf_counter() - begun
    queries = draw(num_queries, seed=3)
    exact_scores = search_exactly(vectors, queries, K)[1]
    exact_us = _median_us(lambda q: search_exactly(vectors, q, K), queries)

    def search(query: np.ndarray, eligible: Eligible | None = None) -> Any:
        return search_index(index, vectors, query, K, breadth=tuning.breadth, eligible=eligible)

    us = _median_us(search, queries)
    return {
        "pins": num_pins,
        "factory": tuning.factory,
        "num_probes": tuning.breadth.num_probes,
        "filtered": tuning.breadth.filtered,
        "curve": list(tuning.curve),
        "build_seconds": round(built, 1),
        "recall": round(_recall(search(queries), exact_scores), 4),
        "us": us,
        "exact_us": exact_us,
        "batch_us": round(1e6 * _seconds(lambda: search(queries)) / num_queries),
        "filters": [_filtered(vectors, queries, share, search) for share in ELIGIBLE],
        "changes": [_changed(vectors, queries, share, search) for share in CHANGES],
    }


def _filtered(
    vectors: np.ndarray, queries: np.ndarray, share: float, search: Search
) -> dict[str, Any]:
    """Recall and time where a share of the Pins is eligible, drawn at random."""
    eligible = Eligible(np.random.default_rng(4).random(len(vectors)) < share)
    exact_scores = search_exactly(vectors, queries, K, eligible=eligible)[1]
    found = search(queries, eligible)
    return {
        "eligible": share,
        "recall": round(_recall(found, exact_scores), 4),
        "us": _median_us(lambda q: search(q, eligible), queries),
        "exact_us": _median_us(lambda q: search_exactly(vectors, q, K, eligible=eligible), queries),
    }


def _changed(
    vectors: np.ndarray, queries: np.ndarray, share: float, search: Search
) -> dict[str, Any]:
    """Recall and time where a share of the Pins went and as many came, searched beside."""
    num = round(share * len(vectors))
    added = draw(num, seed=5)
    remaining = np.ones(len(vectors), dtype=bool)
    remaining[np.random.default_rng(6).choice(len(vectors), num, replace=False)] = False
    shown = Eligible(remaining)

    def both(query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places, scores = search(query, shown)
        more, more_scores = search_exactly(added, query, K)
        together = np.concatenate([scores, more_scores], axis=1)
        of_all = np.concatenate([places, more + len(vectors)], axis=1)
        best = np.argsort(-together, axis=1)[:, :K]
        return np.take_along_axis(of_all, best, 1), np.take_along_axis(together, best, 1)

    now = np.concatenate([vectors[remaining], added])
    exact_scores = search_exactly(now, queries, K)[1]
    return {
        "changed": share,
        "recall": round(_recall(both(queries), exact_scores), 4),
        "us": _median_us(both, queries),
    }


def draw(num: int, *, seed: int) -> np.ndarray:
    """float32 [num, DIM] around centres that all draws share."""
    centres = np.random.default_rng(0).normal(size=(CENTRES, DIM))
    generator = np.random.default_rng(seed)
    vectors = centres[generator.integers(CENTRES, size=num)]
    vectors = vectors + 0.5 * generator.normal(size=(num, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors * generator.uniform(0.5, 2, size=(num, 1))).astype(np.float32)


def _recall(found: tuple[np.ndarray, np.ndarray], exact_scores: np.ndarray) -> float:
    return recall_of(found[0], found[1], exact_scores)


def _median_us(search: Callable[[np.ndarray], Any], queries: np.ndarray) -> int:
    return round(1e6 * statistics.median(_seconds(lambda q=q: search(q[None])) for q in queries))


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
