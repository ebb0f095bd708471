"""The users: tastes, budgets, caution and habits; what of it drifts from day to day."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from convcg_simulation.advertisers import STYLE_DIM
from convcg_simulation.catalogue import DAY_US, Shapes
from convcg_simulation.randomness import generator, hashed_uniform
from convcg_simulation.vocabulary import (
    AGE_BUCKETS,
    AGE_SHARES,
    CATEGORY_NAMES,
    COLOURS,
    COUNTRIES,
    COUNTRY_SHARES,
    GENDER_SHARES,
    GENDERS,
)

NEED_DAYS = 10
NEED_SHARE = 0.55
NEED_STRENGTH = 2.6


@dataclass(frozen=True)
class People:
    """One row per user (U), in order of creation day."""

    user_id: np.ndarray
    country: np.ndarray
    age: np.ndarray
    gender: np.ndarray
    created_day: np.ndarray
    created_us: np.ndarray
    is_bot: np.ndarray
    activity: np.ndarray  # relative number of sessions
    category_taste: np.ndarray  # [U, C] logits
    category_drift: np.ndarray  # [U, C]
    style: np.ndarray  # [U, STYLE_DIM]
    style_drift: np.ndarray  # [U, STYLE_DIM]
    drift_period_days: np.ndarray
    drift_phase: np.ndarray
    budget: np.ndarray  # log, against the category's usual price
    price_sensitivity: np.ndarray
    caution: np.ndarray  # how much an advertiser's trust matters
    eagerness: np.ndarray  # added to the click logit
    colour: np.ndarray  # the favourite
    clock_skew_s: np.ndarray


def make_people(
    seed: int, *, day: int, num_users: int, first_number: int, first_day: date, bot_share: float
) -> People:
    """The users created on a day; those of day 0 are the stock, created in the two years before."""
    shared = generator(seed, purpose="segments")
    num_categories = len(CATEGORY_NAMES)
    by_age = shared.normal(0, 0.7, (len(AGE_BUCKETS), num_categories))
    by_gender = shared.normal(0, 0.9, (len(GENDERS), num_categories))
    style_by_country = shared.normal(0, 0.35, (len(COUNTRIES), STYLE_DIM))
    budget_by_country = shared.normal(0, 0.25, len(COUNTRIES))

    rng = generator(seed, purpose="people", day=day)
    n = num_users
    country = rng.choice(len(COUNTRIES), n, p=COUNTRY_SHARES)
    age = rng.choice(len(AGE_BUCKETS), n, p=AGE_SHARES)
    gender = rng.choice(len(GENDERS), n, p=GENDER_SHARES)
    is_bot = rng.random(n) < bot_share
    favourites = rng.random((n, num_categories)).argsort(axis=1) < 3
    created_day = rng.integers(-730, 0, n) if day == 0 else np.full(n, day)
    first_us = int(np.datetime64(first_day, "us").astype(np.int64))
    skewed = rng.random(n) < 0.004
    return People(
        user_id=3_000_000 + first_number + np.arange(n, dtype=np.int64),
        country=country,
        age=age,
        gender=gender,
        created_day=created_day,
        created_us=first_us + created_day * DAY_US + rng.integers(0, DAY_US * 2 // 3, n),
        is_bot=is_bot,
        activity=np.where(is_bot, 12.0, np.exp(rng.normal(0, 0.9, n))),
        category_taste=(
            by_age[age]
            + by_gender[gender]
            + 1.8 * favourites
            + rng.normal(0, 0.6, (n, num_categories))
        ).astype(np.float32),
        category_drift=rng.normal(0, 0.6, (n, num_categories)).astype(np.float32),
        style=(style_by_country[country] + rng.normal(0, 0.8, (n, STYLE_DIM))).astype(np.float32),
        style_drift=rng.normal(0, 0.3, (n, STYLE_DIM)).astype(np.float32),
        drift_period_days=rng.uniform(60, 240, n),
        drift_phase=rng.uniform(0, 2 * np.pi, n),
        budget=budget_by_country[country] + 0.15 * (age - 1.5) + rng.normal(0, 0.45, n),
        price_sensitivity=np.exp(rng.normal(0.4, 0.5, n)).astype(np.float32),
        caution=rng.uniform(0.5, 1.5, n).astype(np.float32),
        eagerness=rng.normal(0, 0.35, n).astype(np.float32),
        colour=rng.integers(0, len(COLOURS), n),
        clock_skew_s=np.where(skewed, rng.integers(-600, 601, n), 0),
    )


@dataclass(frozen=True)
class Mood:
    """What the users (U) want on one day."""

    taste: np.ndarray  # [U, C] logits of the category interest, needs included
    interest: np.ndarray  # [U, C] in about [-3, 3]: the interest against an even one
    ideal: np.ndarray  # [U, C, S]: the style wanted within each category
    budget: np.ndarray  # [U]


def mood(people: People, *, seed: int, day: int, shapes: Shapes) -> Mood:
    """Tastes of a day: what a person is like, a slow swing around it, and a passing need.

    For periods of ten days about every second person needs something (a sofa, a tent), often
    outside the usual tastes; it is the larger part of what is bought.
    """
    swing = np.sin(2 * np.pi * day / people.drift_period_days + people.drift_phase)
    wave = swing[:, None].astype(np.float32)
    taste = people.category_taste + wave * people.category_drift
    number = people.user_id - 3_000_000
    period = (day + number * 7) // NEED_DAYS
    keys = (number, period)
    has_need = hashed_uniform(seed, purpose="has need", keys=keys) < NEED_SHARE
    tempered = probabilities(0.6 * people.category_taste).cumsum(axis=1)
    drawn = hashed_uniform(seed, purpose="need", keys=keys)[:, None]
    need = np.minimum((tempered < drawn).sum(axis=1), taste.shape[1] - 1)
    taste[np.flatnonzero(has_need), need[has_need]] += NEED_STRENGTH
    share = probabilities(taste)
    style = people.style + wave * people.style_drift
    payday = 0.15 * np.cos(2 * np.pi * day / 30)
    return Mood(
        taste=taste,
        interest=np.clip(np.log(share * taste.shape[1]), -3, 3).astype(np.float32),
        ideal=np.einsum("cij,uj->uci", shapes.rotation, style).astype(np.float32),
        budget=(people.budget + payday).astype(np.float32),
    )


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)
