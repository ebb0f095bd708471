"""How long a purchase takes, and how long its report: both by advertiser."""

import numpy as np

from convcg_simulation.advertisers import NIGHTLY, WEEKLY, Advertisers
from convcg_simulation.catalogue import DAY_US

LONGEST_DELAY_DAYS = 40
"""Purchases that take longer are not made any more."""
LONGEST_LAG_DAYS = 7
DUPLICATE_WINDOW_H = 48
_SECOND_US = 1_000_000


def shopping_delay_us(advertisers: Advertisers, *, advertiser: np.ndarray, rng) -> np.ndarray:
    """Microseconds from the touch to the purchase: log-normal around the advertiser's median."""
    spread = advertisers.delay_sigma[advertiser] * rng.normal(size=len(advertiser))
    hours = advertisers.median_delay_h[advertiser] * np.exp(spread)
    return np.minimum(hours * 3600 * _SECOND_US, 10 * 365 * DAY_US).astype(np.int64)


def received_us(
    advertisers: Advertisers, *, advertiser: np.ndarray, event_us: np.ndarray, rng
) -> np.ndarray:
    """When the report arrives: within minutes, with the next nightly or with the weekly upload."""
    lag = np.maximum(1, rng.exponential(240, len(advertiser))) * _SECOND_US
    at_once = event_us + np.minimum(lag, 6 * 3600 * _SECOND_US).astype(np.int64)
    upload = advertisers.upload_s[advertiser] * _SECOND_US
    nightly = event_us + 1 + (upload - event_us - 1) % DAY_US
    weekly = weekly_upload_us(advertisers, advertiser=advertiser, event_us=event_us)
    kind = advertisers.reporting[advertiser]
    return np.where(kind == WEEKLY, weekly, np.where(kind == NIGHTLY, nightly, at_once))


def weekly_upload_us(
    advertisers: Advertisers, *, advertiser: np.ndarray, event_us: np.ndarray
) -> np.ndarray:
    """When the first weekly upload after an event is, for any advertiser."""
    upload = advertisers.upload_s[advertiser] * _SECOND_US
    # Day 0 of the epoch was a Thursday: shift so that a week starts on Monday.
    of_week = advertisers.upload_weekday[advertiser] * DAY_US + upload - 3 * DAY_US
    return event_us + 1 + (of_week - event_us - 1) % (7 * DAY_US)


def second_report_us(received: np.ndarray, *, rng) -> np.ndarray:
    """When the same event comes again over the second channel: within 48 hours."""
    hours = np.minimum(rng.lognormal(1.0, 1.3, len(received)), DUPLICATE_WINDOW_H - 0.5)
    return received + (hours * 3600 * _SECOND_US).astype(np.int64)


def arrived_share(
    advertisers: Advertisers, *, window_days: int, age_days: int, seed: int
) -> np.ndarray:
    """By advertiser, the share of purchases made within the window and reported in time.

    In time is at most `age_days` days after the day of the touch. Of 2,000 draws per advertiser.
    """
    rng = np.random.default_rng([seed, window_days])
    num_advertisers, draws = len(advertisers.size), 2_000
    advertiser = np.repeat(np.arange(num_advertisers), draws)
    touch = rng.integers(0, 7 * DAY_US, len(advertiser))
    delay = shopping_delay_us(advertisers, advertiser=advertiser, rng=rng)
    received = received_us(advertisers, advertiser=advertiser, event_us=touch + delay, rng=rng)
    counted = (delay < window_days * DAY_US) & (received // DAY_US - touch // DAY_US <= age_days)
    return counted.reshape(num_advertisers, draws).mean(axis=1).astype(np.float32)
