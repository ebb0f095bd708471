"""Baselines that need no learning: what is popular, and what the person viewed last.

Matrix factorisation, the learned baseline, is in `als.py`, what was taken next in
`transitions.py`.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convcg_model.arrow_columns import as_array, as_flat_lists
from convcg_model.evaluation.scorers import rows_of

POPULARITY_WEIGHTS = {
    "conversion": {
        "num_conversions_30d": 1.0,
        "num_clicks_30d": 0.1,
        "num_repins_30d": 0.01,
        "num_impressions_30d": 0.001,
    },
    "engagement": {
        "num_clicks_30d": 1.0,
        "num_repins_30d": 0.3,
        "num_conversions_30d": 0.1,
        "num_impressions_30d": 0.001,
    },
}
"""Per task, how much a Pin's share of the catalogue's conversions, clicks, ... counts."""


def popularity(queries: pa.Table, pins: pa.Table) -> np.ndarray:
    """Scorer: the most converted (or, for engagement, most clicked) Pins of the last 30 days.

    Every counter is taken as the Pin's share of the whole catalogue's and weighed by
    `POPULARITY_WEIGHTS` of the query's task: conversions decide for conversion, clicks for
    engagement, and the weaker counters order the Pins that have none. A counter that is null or 0
    for all Pins drops out, and the next one decides. Scores in [0, 1] of equal shape for all users.
    """
    tasks = queries["task"].to_numpy(zero_copy_only=False)
    scores = np.zeros((queries.num_rows, pins.num_rows), dtype=np.float32)
    for task in set(tasks):
        scores[tasks == task] = popularity_levels(pins, task=task)
    return scores


def popularity_levels(pins: pa.Table, *, task: str) -> np.ndarray:
    """Popularity of each Pin as its place among the distinct values, in [0, 1), float32 [N].

    Places rather than the shares themselves: a share of a millionth added to another score would
    be lost to rounding. Equal popularity stays equal.
    """
    if task not in POPULARITY_WEIGHTS:
        raise ValueError(f"no popularity for task {task!r}: it is one of {[*POPULARITY_WEIGHTS]}")
    share = np.zeros(pins.num_rows)
    for column, weight in POPULARITY_WEIGHTS[task].items():
        counter = pc.fill_null(pc.cast(pins[column], pa.float64()), 0.0).to_numpy()
        if counter.sum() > 0:
            share += weight * counter / counter.sum()
    values, place = np.unique(share, return_inverse=True)
    return (place / max(len(values), 1)).astype(np.float32)


def recently_viewed(queries: pa.Table, pins: pa.Table) -> np.ndarray:
    """Scorer: the Pin being looked at, then the person's newest actions, then popularity.

    On public shop logs "the items already viewed" alone beats published models. A Pin acted on
    more than once counts at its newest action.
    """
    scores = popularity(queries, pins)
    recent, length_Q = as_flat_lists(as_array(queries["user_recent_pin_ids"]))
    column = rows_of(pa.chunked_array([recent]), among=pins["pin_id"])
    row = np.repeat(np.arange(queries.num_rows), length_Q)
    place = np.arange(len(column)) - np.repeat(np.cumsum(length_Q) - length_Q, length_Q)
    longest = int(length_Q.max(initial=0))
    known = column >= 0
    np.maximum.at(scores, (row[known], column[known]), (1 + longest - place[known]).astype("f4"))

    subject_Q = rows_of(queries["subject_pin_id"], among=pins["pin_id"])
    looked_at = np.flatnonzero(subject_Q >= 0)
    scores[looked_at, subject_Q[looked_at]] = longest + 2
    return scores


class DecayedPopularity:
    """Scorer: the training positives of the query's task by Pin, the newest counting most.

    A positive counts its label's weight, halved for every `half_life_days` before the last training
    day. Pins without one come below, in order of popularity.
    """

    def __init__(self, positives: pa.Table, *, half_life_days: float = 7.0):
        """Count training positives (`pin_id`, `task`, `example_day`, `weight`)."""
        self.pin_ids = positives["pin_id"].unique().sort()
        day = positives["example_day"].cast(pa.int32()).to_numpy()
        age = day.max(initial=0) - day
        weight = positives["weight"].to_numpy() * 0.5 ** (age / half_life_days)
        row = rows_of(positives["pin_id"], among=self.pin_ids)
        task = positives["task"].to_numpy(zero_copy_only=False)
        self.counts = {
            name: np.bincount(row[task == name], weight[task == name], minlength=len(self.pin_ids))
            for name in POPULARITY_WEIGHTS
        }

    def __call__(self, queries: pa.Table, pins: pa.Table) -> np.ndarray:
        """Scores [Q, N], see the class."""
        scores = popularity(queries, pins)
        known = rows_of(pins["pin_id"], among=self.pin_ids)
        tasks = queries["task"].to_numpy(zero_copy_only=False)
        for task in set(tasks):
            count = np.where(known >= 0, np.append(self.counts[task], 0.0)[known], 0.0)
            # Places, for the reason that `popularity_levels` has, above every popularity.
            _, place = np.unique(count, return_inverse=True)
            scores[tasks == task] += place.astype(np.float32)
        return scores
