"""Search in an index, approximate or exact, among all Pins or the eligible ones.

Whatever the index finds is scored anew by the vectors themselves: what it stores may be rounded.
"""

from dataclasses import asdict, dataclass
from typing import Any

import faiss
import numpy as np

from convcg_model.exact_search import search_exactly


@dataclass(frozen=True)
class Breadth:
    """How broadly an approximate index is searched.

    `num_probes` lists of an inverted file, or a beam of `ef_search` in a graph; it is asked for
    `refine` times as many as are wanted, which are then scored exactly.
    """

    num_probes: int = 64
    ef_search: int = 400
    refine: float = 1.5

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def is_exact(index: faiss.Index) -> bool:
    """Whether the index is a plain list of vectors."""
    return isinstance(index, faiss.IndexFlat)


def searched_share(index: faiss.Index, breadth: Breadth) -> float:
    """About which share of the vectors a query is compared with."""
    if isinstance(index, faiss.IndexIVF):
        return min(1.0, breadth.num_probes / index.nlist)
    if isinstance(index, faiss.IndexHNSW):
        links = 2 * index.hnsw.nb_neighbors(1)
        return min(1.0, breadth.ef_search * links / max(1, index.ntotal))
    return 1.0


def search_index(
    index: faiss.Index,
    vectors: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    breadth: Breadth,
    eligible: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each query: (places int64 [Q, k], -1: none, scores float32 [Q, k], -inf there).

    `vectors` [N, D] are those of the index. `eligible`, bool [N], is applied within the search, so
    that k come back where k are eligible. A filter makes an approximate search miss more, for what
    it visits is mostly not eligible: it is made broader by as much, and becomes exact where that
    is less work, which is where the share of eligible vectors is below the root of the share that
    is visited.
    """
    if eligible is None:
        if is_exact(index):
            return search_exactly(vectors, queries, k)
        return _search_approximately(index, vectors, queries, min(k, len(vectors)), breadth=breadth)
    rows = np.flatnonzero(eligible)
    share = len(rows) / max(1, len(vectors))
    visited = searched_share(index, breadth)
    if is_exact(index) or share * share <= visited or len(rows) <= k:
        return search_exactly(vectors, queries, k, rows=rows)
    return _search_approximately(
        index, vectors, queries, k, breadth=breadth, eligible=eligible, share=share
    )


def _search_approximately(
    index: faiss.Index,
    vectors: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    breadth: Breadth,
    eligible: np.ndarray | None = None,
    share: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    wanted = min(index.ntotal, max(k, round(k * breadth.refine)))
    parameters, kept = _parameters(index, breadth, wanted=wanted, eligible=eligible, share=share)
    _, places = index.search(queries, wanted, params=parameters)
    del kept  # FAISS holds no reference of its own to what the selector reads.
    scores = np.einsum("qd,qkd->qk", queries, vectors[np.maximum(places, 0)])
    scores = np.where(places < 0, -np.inf, scores).astype(np.float32)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(places, best, axis=1), np.take_along_axis(scores, best, axis=1)


def _parameters(
    index: faiss.Index,
    breadth: Breadth,
    *,
    wanted: int,
    eligible: np.ndarray | None,
    share: float,
) -> tuple[faiss.SearchParameters, list[Any]]:
    """FAISS' parameters of a search, and what must live as long as it."""
    kept: list[Any] = []
    selector = None
    if eligible is not None:
        bits = np.packbits(eligible, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        kept += [bits, selector]
    if isinstance(index, faiss.IndexIVF):
        parameters = faiss.SearchParametersIVF()
        parameters.nprobe = min(index.nlist, round(breadth.num_probes / share))
    elif isinstance(index, faiss.IndexHNSW):
        parameters = faiss.SearchParametersHNSW()
        # A beam narrower than what is wanted finds no more than the beam.
        parameters.efSearch = max(wanted, round(breadth.ef_search / share))
    else:
        parameters = faiss.SearchParameters()
    parameters.sel = selector
    return parameters, kept
