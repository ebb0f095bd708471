"""What becomes of conversions after their report: orders that are cancelled, sent back, corrected.

Off by default: a world without them is the same to the byte. What a pipeline makes of them belongs
to `convcg_assets/tables/adjusted_conversions.py`.
"""

from dataclasses import dataclass

import numpy as np

from convcg_assets.sources.columns import ADJUSTMENT_TYPES
from convcg_simulation.catalogue import DAY_US
from convcg_simulation.delays import LONGEST_DELAY_DAYS
from convcg_simulation.randomness import generator
from convcg_simulation.world import World

RETRACTION, RESTATEMENT = (ADJUSTMENT_TYPES.index(k) for k in ("retraction", "restatement"))
RETRACTED_SHARE = 0.6
AGAIN_SHARE = 0.2
"""Of those adjusted once: a parcel is sent back in part, and then the rest of it."""
MEAN_DAYS, LONGEST_DAYS, LONGEST_LAG_DAYS = 8.0, 45.0, 2.0
DAYS_TO_LAST_ADJUSTMENT = LONGEST_DELAY_DAYS + 2 * int(LONGEST_DAYS + LONGEST_LAG_DAYS) + 1


@dataclass(frozen=True)
class Adjustments:
    """One row per adjustment of purchases whose touch was on one day; `row` is the report's."""

    row: np.ndarray
    kind: np.ndarray
    adjusted_us: np.ndarray
    received_us: np.ndarray
    value: np.ndarray


def draw_adjustments(world: World, began: int) -> Adjustments:
    """The adjustments, whenever received, of what was bought after touches of a day.

    Only what has an event id can be adjusted, and only what has a value restated.
    """
    reports, config = world.conversions(began), world.config
    rng, n = generator(config.seed, purpose="adjustments", day=began), len(reports.event_us)
    can_be = (reports.event_number >= 0) & ~reports.is_duplicate
    chosen = can_be & (rng.random(n) < config.adjusted_share)
    since_us = reports.event_us
    parts = []
    for _ in range(2):
        kind = np.where(rng.random(n) < RETRACTED_SHARE, RETRACTION, RESTATEMENT)
        kind = np.where(np.isnan(reports.value), RETRACTION, kind)
        waited = np.minimum(rng.exponential(MEAN_DAYS, n), LONGEST_DAYS)
        lag = rng.uniform(0, LONGEST_LAG_DAYS, n)
        adjusted_us = since_us + (waited * DAY_US).astype(np.int64)
        value = np.round(reports.value * rng.uniform(0.2, 1, n), 2)
        row = np.flatnonzero(chosen)
        parts.append(
            Adjustments(
                row=row,
                kind=kind[row],
                adjusted_us=adjusted_us[row],
                received_us=(adjusted_us + (lag * DAY_US).astype(np.int64))[row],
                value=np.where(kind == RESTATEMENT, value, np.nan)[row],
            )
        )
        since_us = adjusted_us
        chosen = chosen & (kind == RESTATEMENT) & (rng.random(n) < AGAIN_SHARE)
    first, again = (vars(part) for part in parts)
    return Adjustments(**{name: np.concatenate([c, again[name]]) for name, c in first.items()})
