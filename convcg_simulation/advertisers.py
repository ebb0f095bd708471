"""The advertisers: what they sell, how much people trust them, and how they report conversions."""

from dataclasses import dataclass

import numpy as np

from convcg_simulation.randomness import generator
from convcg_simulation.vocabulary import CATEGORY_NAMES

STYLE_DIM = 6
REALTIME, NIGHTLY, WEEKLY = 0, 1, 2
REPORTING_SHARES = (0.6, 0.28, 0.12)
DELAY_PROFILES = (0, 1, 2)
"""Impulse buys, considered buys, slow buys."""
DELAY_SHARES = (0.45, 0.35, 0.2)
MEDIAN_DELAY_H = (0.5, 26.0, 150.0)
DELAY_SIGMA = (1.2, 1.1, 0.7)


@dataclass(frozen=True)
class Advertisers:
    """One row per advertiser (A); the index is internal, `advertiser_id` is what logs show."""

    advertiser_id: np.ndarray
    size: np.ndarray  # relative number of Pins
    budget: np.ndarray  # log of how strongly its Pins are pushed
    categories: np.ndarray  # [A, 3] category numbers, the main one first
    style: np.ndarray  # [A, STYLE_DIM]
    price_level: np.ndarray  # log
    trust: np.ndarray  # added to the log of the conversion rate
    delay_profile: np.ndarray
    median_delay_h: np.ndarray
    delay_sigma: np.ndarray
    reporting: np.ndarray
    upload_s: np.ndarray  # second of the day of the nightly or weekly upload
    upload_weekday: np.ndarray
    names_pin: np.ndarray  # whether reports name the Pin
    second_channel: np.ndarray  # whether most events are reported twice
    sends_event_id: np.ndarray
    unknown_user_share: np.ndarray
    clock_skew_s: np.ndarray
    sells_service: np.ndarray  # its conversions are signups


def advertiser_number(advertisers: Advertisers, advertiser_id: int) -> int:
    """The number (row) of an advertiser; ValueError for an id that no log shows."""
    found = np.flatnonzero(advertisers.advertiser_id == advertiser_id)
    if not len(found):
        first, second, *_, last = advertisers.advertiser_id.tolist()
        raise ValueError(
            f"advertiser {advertiser_id} is unknown; this world has {first}, {second}, ... {last}"
        )
    return int(found[0])


def make_advertisers(seed: int, *, num_advertisers: int) -> Advertisers:
    """The advertisers of a world."""
    rng = generator(seed, purpose="advertisers")
    n = num_advertisers
    profile = rng.choice(DELAY_PROFILES, size=n, p=DELAY_SHARES)
    second_channel = rng.random(n) < 0.3
    skewed = rng.random(n) < 0.06
    return Advertisers(
        advertiser_id=500_000 + 13 * np.arange(n, dtype=np.int64),
        size=rng.permutation((1.0 + np.arange(n)) ** -0.7),
        budget=rng.normal(0, 0.4, n),
        categories=np.stack(
            [rng.permutation(len(CATEGORY_NAMES))[:3] for _ in range(n)],
        ),
        style=rng.normal(0, 0.6, (n, STYLE_DIM)),
        price_level=rng.normal(0, 0.45, n),
        trust=rng.normal(0, 0.5, n).astype(np.float32),
        delay_profile=profile,
        median_delay_h=np.array(MEDIAN_DELAY_H)[profile] * np.exp(rng.normal(0, 0.35, n)),
        delay_sigma=np.array(DELAY_SIGMA)[profile],
        reporting=rng.choice((REALTIME, NIGHTLY, WEEKLY), size=n, p=REPORTING_SHARES),
        upload_s=rng.integers(2 * 3600, 7 * 3600, n),
        upload_weekday=rng.integers(0, 7, n),
        names_pin=rng.random(n) < 0.8,
        second_channel=second_channel,
        sends_event_id=second_channel | (rng.random(n) < 0.75),
        unknown_user_share=rng.beta(1.5, 10, n),
        clock_skew_s=np.where(skewed, rng.integers(-1200, 1201, n), 0),
        sells_service=rng.random(n) < 0.04,
    )
