"""What a bundle would serve to a sample of users: how well, of whom, with which scores."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convcg_model.index import IndexBundle, measure_recall

BINS = 10
SMALLEST_SHARE = 1e-4
"""A share below it counts as much, so that an empty bin does not make the index infinite."""


@dataclass(frozen=True)
class Served:
    """Of a sample of queries: recall of the index, distinct advertisers among the best k Pins, and
    the scores of those [Q, k]."""

    index_recall: float
    advertisers_reached: int
    scores: np.ndarray


def serve_sample(
    bundle: IndexBundle, queries: pa.Table, *, catalogue: pa.Table, k: int = 100
) -> Served:
    """The best k Pins of each query, as the bundle would serve them.

    `queries` has the user columns of training examples, `catalogue` Pin features, which tell the
    advertisers of the Pins and make Pins known that are newer than the model.
    """
    ids, scores = bundle.retrieve(queries, k, catalogue=catalogue)
    found = pa.array([id_ for id_ in ids.ravel().tolist() if id_ is not None])
    known = catalogue["pin_id"].combine_chunks()
    place = pc.index_in(found.cast(known.type), value_set=known)
    advertisers = catalogue["advertiser_id"].combine_chunks().take(place.drop_null())
    return Served(
        index_recall=measure_recall(bundle, bundle.model.embed_users(queries), k),
        advertisers_reached=pc.count_distinct(advertisers, mode="only_valid").as_py(),
        scores=scores,
    )


def score_shift(before: np.ndarray, after: np.ndarray) -> float:
    """Population stability index of two samples of scores, by the deciles of the first.

    The sum over bins of (q - p) ln(q / p), where p and q are the shares of the two samples in a
    bin; 0 where they are alike (Siddiqi, "Credit Risk Scorecards", 2006). Scores of -inf, which
    stand for no Pin, are left out; NaN is the largest shift there is, infinity.

    >>> same = np.linspace(0, 1, 1000)
    >>> score_shift(same, same), round(score_shift(same, same + 0.5), 1)
    (0.0, 4.3)
    """
    before, after = before[np.isfinite(before) | np.isnan(before)], after[~np.isinf(after)]
    if np.isnan(before).any() or np.isnan(after).any() or not len(before) or not len(after):
        return float("inf")
    inner = np.unique(np.quantile(before, np.linspace(0, 1, BINS + 1)[1:-1]))
    p, q = (
        np.maximum(
            np.bincount(np.searchsorted(inner, sample, side="right"), minlength=len(inner) + 1)
            / len(sample),
            SMALLEST_SHARE,
        )
        for sample in (before, after)
    )
    return float(((q - p) * np.log(q / p)).sum())
