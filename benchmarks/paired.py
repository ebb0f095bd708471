"""The mean of a metric over queries, and its paired difference from another scorer's."""

from typing import NamedTuple

import numpy as np

from convcg_model.evaluation.metrics import bootstrap_means, interval, weighted_means


class Paired(NamedTuple):
    """`difference` is value minus the other's mean, `low` and `high` its 95 % interval."""

    value: float
    difference: float
    low: float
    high: float


def paired(
    value_Q: np.ndarray, *, other_Q: np.ndarray, weight_Q: np.ndarray, user_Q: np.ndarray
) -> Paired:
    """Query by query; the interval is a bootstrap over users."""
    values = np.stack([value_Q, value_Q - other_Q], axis=1)
    value, difference = weighted_means(values, weight_Q=weight_Q)
    samples = bootstrap_means(
        values,
        weight_Q=weight_Q,
        user_Q=np.unique(user_Q, return_inverse=True)[1],
        num_resamples=1000,
        rng=np.random.default_rng(0),
    )
    low, high = interval(samples)[:, 1]
    return Paired(*(round(float(number), 4) for number in (value, difference, low, high)))
