"""How far Pins are, in style, from what a person wants and from a subject Pin.

Two ways to the same numbers: row by row for the logs, and every Pin against every query by matrix
products for the ceiling.
"""

from dataclasses import dataclass

import numpy as np

from convcg_simulation.catalogue import Pins
from convcg_simulation.people import Mood


@dataclass(frozen=True)
class Distances:
    """Squared style distances of one shape: [n] by rows, or [queries, Pins]."""

    to_ideal: np.ndarray  # to what the person wants today in the Pin's category
    to_stale: np.ndarray  # to what the policy believes, some weeks old
    to_subject: np.ndarray  # meaningless without a subject


def row_distances(
    pins: Pins, *, today: Mood, stale: Mood, user: np.ndarray, pin: np.ndarray, subject: np.ndarray
) -> Distances:
    """Distances of one Pin per row."""
    style, category = pins.style[pin], pins.category[pin]
    differences = (
        style - today.ideal[user, category],
        style - stale.ideal[user, category],
        style - pins.style[subject],
    )
    return Distances(*(np.einsum("ns,ns->n", part, part) for part in differences))


def grid_distances(
    pins: Pins, *, num_shown: int, today: Mood, stale: Mood, user: np.ndarray, subject: np.ndarray
) -> Distances:
    """Distances of the first `num_shown` Pins to every query (user, subject)."""
    style, category = pins.style[:num_shown], pins.category[:num_shown]
    to_ideal, to_stale = (
        np.empty((len(user), num_shown), dtype=np.float32),
        np.empty((len(user), num_shown), dtype=np.float32),
    )
    for number in np.unique(category):
        columns = np.flatnonzero(category == number)
        to_ideal[:, columns] = _between(today.ideal[user, number], style[columns])
        to_stale[:, columns] = _between(stale.ideal[user, number], style[columns])
    return Distances(to_ideal, to_stale, _between(pins.style[subject], style))


def _between(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    squares = np.square(left).sum(axis=1)[:, None] + np.square(right).sum(axis=1)
    return np.maximum(squares - 2 * left @ right.T, 0)
