"""Exact search: the k vectors of highest inner product, by a matrix product and a partial sort.

The yardstick of every approximate index, and the search itself where there are few Pins. One
product over a block of queries is several times as fast as FAISS' flat index.
"""

import numpy as np
import torch

MAX_CELLS = 2**25
"""Scores held at a time: queries x vectors."""


def search_exactly(
    vectors: np.ndarray, queries: np.ndarray, k: int, *, rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of N vectors for each query: (rows int64 [Q, k], scores float32 [Q, k]), best
    first.

    `vectors` [N, D] and `queries` [Q, D] are float32; with `rows` only those vectors are searched.
    With fewer than k there are as many columns as vectors.
    """
    searched = vectors if rows is None else vectors[rows]
    k = min(k, len(searched))
    found = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    if k == 0:
        return found, scores
    transposed = torch.from_numpy(np.ascontiguousarray(searched)).T
    block = max(1, MAX_CELLS // len(searched))
    with torch.inference_mode():
        for start in range(0, len(queries), block):
            asked = torch.from_numpy(np.ascontiguousarray(queries[start : start + block]))
            best = torch.topk(asked @ transposed, k, dim=1)
            scores[start : start + block] = best.values.numpy()
            found[start : start + block] = best.indices.numpy()
    return (found if rows is None else rows[found]), scores
