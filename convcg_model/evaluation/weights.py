"""How much each query counts: a positive stands also for those like it that have yet to arrive.

A conversion that is credited by its advertiser alone says less of the Pin than one that names it,
and counts as much less as in training (`match_factor`).

Conversions of young label days are under-represented, and those of slow advertisers more so. Each
query therefore counts the reciprocal of the share that has arrived (inverse-probability weighting,
Horvitz and Thompson 1952), the same factor as in training. How that share is estimated is no
business of this package.
"""

import numpy as np
import pyarrow as pa

_STEPS = 2**20


def maturity_factors(positives: pa.Table, *, max_factor: float | None = None) -> np.ndarray | None:
    """Weight of every positive, its `maturity_factor`, where null counts 1, as float64 [Q].

    None if the table has no such column: then nothing is known of the labels' maturity. ValueError:
    a factor below 1, above `max_factor`, or not finite.
    """
    if "maturity_factor" not in positives.column_names:
        return None
    factor_Q = positives["maturity_factor"].fill_null(1.0).to_numpy().astype(np.float64)
    highest = np.inf if max_factor is None else max_factor
    refused_Q = ~((factor_Q >= 1) & (factor_Q <= highest) & np.isfinite(factor_Q))
    if refused_Q.any():
        row = int(np.flatnonzero(refused_Q)[0])
        raise ValueError(
            f"a maturity_factor is a number of labels, from 1 to w_max = {highest:g}, and that of "
            f"impression {positives['impression_id'][row]} is {factor_Q[row]}"
        )
    # Multiples of 2^-20 add up without rounding, in any order: two scorers that hit the same
    # queries differ by exactly 0, whatever the weights.
    return np.round(factor_Q * _STEPS) / _STEPS


def match_factors(positives: pa.Table) -> np.ndarray:
    """What the match of every positive weighs, its `match_factor`, as float64 [Q].

    Null, and every positive of a table without the column, counts 1. ValueError: a factor that is
    not above 0 and at most 1.
    """
    if "match_factor" not in positives.column_names:
        return np.ones(positives.num_rows)
    match_Q = positives["match_factor"].fill_null(1.0).to_numpy().astype(np.float64)
    refused_Q = ~((match_Q > 0) & (match_Q <= 1))
    if refused_Q.any():
        row = int(np.flatnonzero(refused_Q)[0])
        raise ValueError(
            "a match_factor is above 0 and at most 1, and that of impression "
            f"{positives['impression_id'][row]} is {match_Q[row]}"
        )
    return match_Q


def query_weights(factor_Q: np.ndarray | None, match_Q: np.ndarray) -> np.ndarray:
    """Weight of every query [Q]: how many it stands for, times what its match weighs.

    >>> query_weights(np.array([1.0, 2.0]), np.array([1.0, 0.25])).tolist()
    [1.0, 0.5]
    """
    weight_Q = match_Q if factor_Q is None else factor_Q * match_Q
    # Sums of multiples of a power of two are exact, see `maturity_factors`.
    return np.maximum(np.round(weight_Q * _STEPS), 1) / _STEPS


def maturity(factor_Q: np.ndarray | None) -> float | None:
    """Estimated share of the labels that have arrived: those here over those they stand for.

    None without factors or without labels. A capped factor stands for too few: the share is then
    an upper bound.

    >>> maturity(np.array([1.0, 2.0, 5.0]))
    0.375
    """
    return None if factor_Q is None or len(factor_Q) == 0 else len(factor_Q) / float(factor_Q.sum())


def effective_queries(factor_Q: np.ndarray) -> float:
    """Number of equally weighted queries that would give as sure a mean (Kish 1965, section 11.7).

    >>> effective_queries(np.array([1.0, 1.0, 2.0, 2.0]))
    3.6
    """
    return float(factor_Q.sum() ** 2 / (factor_Q**2).sum())


def num_capped(factor_Q: np.ndarray | None, *, max_factor: float | None) -> int:
    """Positives with the greatest factor: they may stand for more than they count."""
    if factor_Q is None or max_factor is None:
        return 0
    return int((factor_Q >= max_factor * (1 - 1e-6)).sum())
