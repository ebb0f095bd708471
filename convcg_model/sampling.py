"""Which rows a step sees: batches of positives, hard negatives, and their probabilities.

Every draw depends on the seed and the place in the training only, so that a resumed run needs no
generator state.
"""

from dataclasses import dataclass

import numpy as np

from convcg_model.config import TrainingConfig
from convcg_model.ranks import ALONE, Ranks

BLOCK_ROWS = 64
MIXED_ROWS = 2**18
ORDER = f"order 2, {BLOCK_ROWS} {MIXED_ROWS}"
"""Names the order of an epoch: a training goes on in the one that it began with."""


def num_steps(num_positives: int, *, batch_size: int) -> int:
    """Steps per epoch: batches of about `batch_size`, all equally large but for one row."""
    return max(1, round(num_positives / batch_size))


def epoch_batches(
    num_positives: int, *, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Every positive once, in the order of `shuffle`, cut into batches."""
    order = shuffle(num_positives, np.random.default_rng([seed, 0, epoch]))
    return np.array_split(order, num_steps(num_positives, batch_size=batch_size))


def shuffle(
    num_rows: int,
    generator: np.random.Generator,
    *,
    block: int = BLOCK_ROWS,
    mixed: int = MIXED_ROWS,
) -> np.ndarray:
    """The rows in random order, of which those that are read at about one time lie in few places.

    Up to `mixed` rows it is a uniform permutation. Of more, blocks of `block` neighbours come in
    random order, and `mixed` rows at a time are permuted: of a batch hardly two rows are of one
    block, but a block is read from its file once, while its pages are in memory.
    """
    if num_rows <= mixed:
        return generator.permutation(num_rows)
    firsts = generator.permutation(-(-num_rows // block)) * block
    rows = (firsts[:, None] + np.arange(block)).ravel()
    rows = rows[rows < num_rows]
    parts = np.split(rows, range(mixed, num_rows, mixed))
    return np.concatenate([generator.permutation(part) for part in parts])


class Batches:
    """The batch of every step; the order of the epoch that the last one was of is kept."""

    def __init__(self, training: TrainingConfig, ranks: Ranks = ALONE):
        assert training.batch_size != "auto"
        self._ranks = ranks
        self.batch_size, self.seed = training.batch_size, training.seed
        self._epoch: tuple[int, int] | None = None
        self._batches: list[np.ndarray] = []
        self._is_told = False

    def at(self, step: int, *, num_positives: int) -> np.ndarray:
        """The positives of a step."""
        epoch, position = divmod(step, num_steps(num_positives, batch_size=self.batch_size))
        if self._epoch != (num_positives, epoch):
            self._epoch = num_positives, epoch
            self._batches = epoch_batches(
                num_positives, batch_size=self.batch_size, seed=self.seed, epoch=epoch
            )
        return self._batches[position]

    def soon(self, step: int, *, num_positives: int) -> np.ndarray:
        """This rank's positives that come after a step, as many as are mixed at a time; told once.

        At the beginning, of a training and of an epoch, those of the first steps as well.
        """
        self.at(step, num_positives=num_positives)
        position = step % len(self._batches)
        length = max(1, MIXED_ROWS // self.batch_size)
        is_first = position == 0 or not self._is_told
        if position % length and not is_first:
            return np.zeros(0, dtype=np.int64)
        self._is_told = True
        first = position if is_first else position + length
        found = [
            rows[self._ranks.parts(len(rows))[self._ranks.rank]]
            for rows in self._batches[first : position + 2 * length]
        ]
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def sampling_probability(pin: np.ndarray) -> np.ndarray:
    """float64 [P]: each positive's Pin's share of all positives.

    Batches take every positive equally often, whatever its weight, so counts are what matters.

    >>> sampling_probability(np.array([4, 4, 9, 4])).tolist()
    [0.75, 0.75, 0.25, 0.75]
    """
    _, place, counts = np.unique(pin, return_inverse=True, return_counts=True)
    return counts[place] / len(pin)


@dataclass(frozen=True)
class HardNegativePool:
    """The hard negatives, grouped by user: user u's are `order[starts[u]:starts[u + 1]]`."""

    order: np.ndarray
    starts: np.ndarray

    def draw(self, user: np.ndarray, count: int, *, fill: bool, seed: int, step: int) -> np.ndarray:
        """Up to `count` hard negatives for a batch with these users, each at most once.

        First one of each of the batch's users who have any; then, with `fill`, of anybody.
        """
        generator = np.random.default_rng([seed, 1, step])
        present = np.unique(user)
        lengths = self.starts[present + 1] - self.starts[present]
        present, lengths = present[lengths > 0], lengths[lengths > 0]
        offset = (generator.random(len(present)) * lengths).astype(np.int64)
        drawn = generator.permutation(self.order[self.starts[present] + offset])[:count]
        missing = min(count, len(self.order)) - len(drawn)
        if fill and missing > 0:
            # Twice as many as needed, because some may be drawn already.
            others = generator.integers(0, len(self.order), size=2 * missing + len(drawn))
            others = np.setdiff1d(others, drawn)
            drawn = np.concatenate([drawn, generator.permutation(others)[:missing]])
        return drawn


def hard_negative_pool(user: np.ndarray, *, num_users: int) -> HardNegativePool:
    """Pool of hard negatives 0 to n - 1, of which the i-th is `user[i]`'s."""
    counts = np.bincount(user, minlength=num_users)
    return HardNegativePool(
        order=np.argsort(user, kind="stable"), starts=np.concatenate([[0], np.cumsum(counts)])
    )
