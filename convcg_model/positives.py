"""Which Pins are positives of which users, looked up for whole batches at once."""

from dataclasses import dataclass

import numpy as np

from convcg_model.catalogue import distinct_rows


@dataclass(frozen=True)
class PositivePairs:
    """All (user, Pin) pairs of the training positives: user u's Pins are
    `pin[starts[u]:starts[u + 1]]`.
    """

    starts: np.ndarray
    pin: np.ndarray

    def hits(self, user: np.ndarray, pin: np.ndarray) -> np.ndarray:
        """bool [B, N]: whether Pin n is a positive of row b's user, in this row or another."""
        distinct, place = distinct_rows(pin, int(pin.max(initial=0)) + 1)
        lengths = self.starts[user + 1] - self.starts[user]
        row = np.repeat(np.arange(len(user)), lengths)
        within = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        positive = self.pin[np.repeat(self.starts[user], lengths) + within]
        column_of = np.full(max(distinct.max(initial=0), self.pin.max(initial=0)) + 1, -1)
        column_of[distinct] = np.arange(len(distinct))
        column = column_of[positive]
        hit = np.zeros((len(user), len(distinct)), dtype=bool)
        hit[row[column >= 0], column[column >= 0]] = True
        return hit[:, place]


def positive_pairs(user: np.ndarray, pin: np.ndarray, *, num_users: int) -> PositivePairs:
    """Lookup of the pairs (user[i], pin[i]); users are 0 to `num_users - 1`.

    >>> pairs = positive_pairs(np.array([0, 1, 1]), np.array([7, 7, 9]), num_users=2)
    >>> pairs.hits(np.array([0, 1]), np.array([9, 7])).tolist()
    [[False, True], [True, True]]
    """
    pairs = np.unique(np.stack([user, pin], axis=1).astype(np.int64), axis=0)
    counts = np.bincount(pairs[:, 0], minlength=num_users)
    return PositivePairs(starts=np.concatenate([[0], np.cumsum(counts)]), pin=pairs[:, 1])
