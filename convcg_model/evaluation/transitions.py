"""Baseline: from the Pins that a person acted on last to those that others took next.

Counted, not learnt; on logs of sessions it is hard to beat.
"""

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from convcg_model.arrow_columns import as_array, as_flat_lists
from convcg_model.evaluation.baselines import popularity
from convcg_model.evaluation.scorers import rows_of

NUM_SOURCES = 10
"""Newest actions, the Pin being looked at before them, that a transition may start from."""
DECAY = 0.7
"""What the next older source counts beside a source."""


class TransitionScorer:
    """Scorer: sum over the sources i of `DECAY ** place` times the share of i's transitions.

    A training positive is a transition from each of its sources (subject Pin, newest actions) to
    its Pin, of its label's weight times `DECAY ** place`. Pins without any come below those with,
    in order of popularity.
    """

    def __init__(self, positives: pa.Table):
        """Count the transitions of training positives with user columns and `weight`."""
        self.pin_ids = positives["pin_id"].unique().sort()
        row, source, place = _sources(positives)
        self.source_ids = source.unique().sort()
        target = rows_of(positives["pin_id"], among=self.pin_ids)[row]
        weight = positives["weight"].to_numpy().astype(np.float64)[row] * DECAY**place
        counts = csr_matrix(
            (weight, (rows_of(source, among=self.source_ids), target)),
            shape=(len(self.source_ids), len(self.pin_ids)),
        )
        total = np.asarray(counts.sum(axis=1)).ravel()
        # Two pseudo-transitions to nowhere: one observation is no certainty.
        self.shares = csr_matrix(counts.multiply(1 / (total + 2)[:, None]))

    def __call__(self, queries: pa.Table, pins: pa.Table) -> np.ndarray:
        """Scores [Q, N], see the class."""
        scores = popularity(queries, pins)
        column = rows_of(pa.chunked_array([as_array(self.pin_ids)]), among=pins["pin_id"])
        row, source, place = _sources(queries)
        known = rows_of(source, among=self.source_ids)
        found = known >= 0
        chosen = csr_matrix(
            (DECAY ** place[found], (row[found], known[found])),
            shape=(queries.num_rows, len(self.source_ids)),
        )
        moved = (chosen @ self.shares).tocoo()
        inside = column[moved.col] >= 0
        scores[moved.row[inside], column[moved.col[inside]]] += 1 + moved.data[inside]
        return scores


def _sources(table: pa.Table) -> tuple[np.ndarray, pa.ChunkedArray, np.ndarray]:
    """Row, Pin and place of every source of every row; the subject's place is 0."""
    recent, length = as_flat_lists(as_array(table["user_recent_pin_ids"]))
    row = np.repeat(np.arange(table.num_rows), length)
    place = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
    near = place < NUM_SOURCES
    subject = as_array(table["subject_pin_id"])
    has_subject = subject.is_valid().to_numpy(zero_copy_only=False)
    kind = subject.type if pa.types.is_null(recent.type) else recent.type
    pins = pa.chunked_array(
        [
            subject.filter(pa.array(has_subject)).cast(kind),
            recent.filter(pa.array(near)).cast(kind),
        ]
    )
    return (
        np.concatenate([np.flatnonzero(has_subject), row[near]]),
        pins,
        np.concatenate([np.zeros(has_subject.sum(), dtype=int), place[near] + 1]),
    )
