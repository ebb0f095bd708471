"""The rows that a day of the world brings forth, as arrays, before anything is written.

Users and Pins are internal numbers here; times are microseconds since the epoch and true (clocks go
wrong only in `logs.py`).
"""

from dataclasses import dataclass

import numpy as np

from convcg_simulation.policy import Context

IDS_PER_DAY = 1_000_000_000
FIRST_RETURN_ID = 500_000_000
CLICK, REPIN, CLOSE_UP = 0, 1, 2
BY_CLICK, BY_VIEW, ORGANIC = 0, 1, 2


@dataclass(frozen=True)
class Impressions:
    """One row per Pin shown (n)."""

    impression_id: np.ndarray
    user: np.ndarray
    pin: np.ndarray
    shown_us: np.ndarray
    position: np.ndarray
    returning: np.ndarray  # shown again because the person clicked on it some days ago
    late: np.ndarray  # logged a day late
    surface: np.ndarray
    subject: np.ndarray
    category: np.ndarray
    product_type: np.ndarray
    colour: np.ndarray

    @property
    def context(self) -> Context:
        """Where each Pin was shown."""
        return Context(
            surface=self.surface,
            subject=self.subject,
            category=self.category,
            product_type=self.product_type,
            colour=self.colour,
        )


@dataclass(frozen=True)
class Clicks:
    """One row per impression of the same day: whether it was clicked, and what came of it."""

    clicked: np.ndarray
    bounced: np.ndarray
    clicked_us: np.ndarray
    dwell_s: np.ndarray


@dataclass(frozen=True)
class Engagements:
    """One row per click, repin or close-up; `impression` is the row number of the day."""

    engagement_id: np.ndarray
    impression: np.ndarray
    kind: np.ndarray
    engaged_us: np.ndarray
    dwell_s: np.ndarray  # nan unless a click whose return was logged


@dataclass(frozen=True)
class Conversions:
    """One row per report; the touch, the path and the true time are not logged."""

    conversion_id: np.ndarray
    user: np.ndarray
    user_known: np.ndarray
    advertiser: np.ndarray
    pin: np.ndarray  # -1 where the report names none
    event_name: np.ndarray  # position in schema.CONVERSION_EVENTS
    event_number: np.ndarray  # -1 without an event id
    event_us: np.ndarray
    received_us: np.ndarray
    value: np.ndarray  # nan where not reported
    path: np.ndarray  # BY_CLICK, BY_VIEW or ORGANIC
    touch_impression_id: np.ndarray  # 0 if organic
    touch_us: np.ndarray
    is_duplicate: np.ndarray


@dataclass(frozen=True)
class Day:
    """Everything that began on one day."""

    impressions: Impressions
    clicks: Clicks
    engagements: Engagements
    conversions: Conversions
