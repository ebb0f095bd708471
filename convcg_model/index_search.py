"""Search in an index, approximate or exact, among all Pins or the eligible ones.

Whatever the index finds is scored anew by the vectors themselves: what it stores may be rounded.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import faiss
import numpy as np

from convcg_model.eligible import Eligible, as_eligible
from convcg_model.exact_search import search_exactly


@dataclass(frozen=True)
class Breadth:
    """How broadly an approximate index is searched.

    `num_probes` lists of an inverted file, or a beam of `ef_search` in a graph; it is asked for
    `refine` times as many as are wanted, which are then scored exactly. `filtered` has pairs of a
    share of eligible vectors, falling, and the probes that a filter with so many takes.
    """

    num_probes: int = 64
    ef_search: int = 400
    refine: float = 1.5
    filtered: tuple[tuple[float, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def for_share(self, share: float) -> "Breadth | None":
        """What a filter takes that leaves a share; None where too few are left to search so.

        The pair of the next smaller share counts: it takes no less. Without pairs the breadth
        grows as the share falls, which reaches the same number of eligible vectors.
        """
        if share >= 1:
            return self
        if not self.filtered:
            probes, beam = round(self.num_probes / share), round(self.ef_search / share)
            return replace(self, num_probes=probes, ef_search=beam)
        probes = next((probes for known, probes in self.filtered if known <= share), None)
        return None if probes is None else replace(self, num_probes=probes)


def breadth_of(said: dict[str, Any]) -> Breadth:
    """The breadth of plain values."""
    pairs = tuple((float(share), int(probes)) for share, probes in said.get("filtered", ()))
    return replace(Breadth(**{k: v for k, v in said.items() if k != "filtered"}), filtered=pairs)


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
    eligible: np.ndarray | Eligible | None = None,
    exact: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each query: (places int64 [Q, k], -1: none, scores float32 [Q, k], -inf there).

    `vectors` [N, D] are those of the index. `eligible`, bool [N], is applied within the search, so
    that k come back where k are eligible. A filter makes an approximate search miss more, for what
    it visits is mostly not eligible: it is made as much broader as it takes, and exact where that
    is less work: where the breadth is not known, or what is eligible is less than what would be
    visited. With `exact` it is exact anyway: a breadth is tuned for some k, and finds less of a
    much larger one.
    """
    allowed = as_eligible(eligible)
    k = min(k, len(vectors) if allowed is None else allowed.num)
    share = 1.0 if allowed is None else allowed.share
    wide = None if exact or is_exact(index) or not k else breadth.for_share(share)
    if wide is None or (allowed is not None and share <= searched_share(index, wide)):
        return search_exactly(vectors, queries, k, eligible=allowed)
    places, scores = search_approximately(
        index, vectors, queries, k, breadth=wide, eligible=allowed
    )
    if allowed is not None and (short := (places < 0).any(axis=1)).any():
        # Those for whom too few were visited, exactly.
        places[short], scores[short] = search_exactly(vectors, queries[short], k, eligible=allowed)
    return places, scores


def search_approximately(
    index: faiss.Index,
    vectors: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    breadth: Breadth,
    eligible: Eligible | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """As `search_index`, by an approximate index with just this breadth."""
    wanted = min(index.ntotal, max(k, round(k * breadth.refine)))
    parameters, kept = _parameters(index, breadth, wanted=wanted, eligible=eligible)
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
    eligible: Eligible | None,
) -> tuple[faiss.SearchParameters, list[Any]]:
    """FAISS' parameters of a search, and what must live as long as it."""
    kept: list[Any] = []
    selector = None
    if eligible is not None:
        bits = eligible.bits
        selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        kept += [bits, selector]
    if isinstance(index, faiss.IndexIVF):
        parameters = faiss.SearchParametersIVF()
        parameters.nprobe = min(index.nlist, breadth.num_probes)
    elif isinstance(index, faiss.IndexHNSW):
        parameters = faiss.SearchParametersHNSW()
        # A beam narrower than what is wanted finds no more than the beam.
        parameters.efSearch = max(wanted, breadth.ef_search)
    else:
        parameters = faiss.SearchParameters()
    parameters.sel = selector
    return parameters, kept
