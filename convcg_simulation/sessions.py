"""The visits of a day: who comes when, to which surface, with which subject Pin or query."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from convcg_simulation.catalogue import DAY_US
from convcg_simulation.config import WorldConfig
from convcg_simulation.outcomes import Scene
from convcg_simulation.people import probabilities
from convcg_simulation.policy import RELATED, SEARCH, Context, Policy
from convcg_simulation.vocabulary import COLOURS, TYPES_PER_CATEGORY

SURFACE_SHARES = (0.5, 0.3, 0.2)
MEAN_SLOTS = 10
FILLED_SHARE = 0.98
"""Slots that end with a Pin: some proposals fail, some repeat what the list already shows."""
WEEKDAY_FACTORS = (1.0, 0.97, 0.96, 0.98, 1.02, 1.16, 1.2)
HOUR_WEIGHTS = np.array(
    [3, 2, 1, 1, 1, 1, 2, 3, 4, 4, 4, 5, 5, 5, 5, 5, 5, 6, 7, 8, 9, 9, 7, 5], dtype=float
)


@dataclass(frozen=True)
class Sessions:
    """One row per visit: the user, the context, the start and the number of slots."""

    user: np.ndarray
    context: Context
    start_us: np.ndarray
    num_slots: np.ndarray


def sessions_expected(config: WorldConfig, *, day: int) -> float:
    """Expected number of visits on a day."""
    weekday = config.date_of(day).weekday()
    volume = config.impressions_per_day * (1 + config.daily_growth) ** day
    return volume * WEEKDAY_FACTORS[weekday] / (MEAN_SLOTS * FILLED_SHARE)


def visit_shares(scene: Scene, *, num_users: int) -> np.ndarray:
    """Share of the visits that each user makes."""
    activity = scene.people.activity[:num_users]
    return activity / activity.sum()


def make_sessions(
    config: WorldConfig, *, day: int, scene: Scene, policy: Policy, rng: np.random.Generator
) -> Sessions:
    """The visits of a day; new users come on the day on which they sign up."""
    num_users = len(scene.people.user_id)
    n = rng.poisson(sessions_expected(config, day=day))
    user = rng.choice(num_users, n, p=visit_shares(scene, num_users=num_users))
    surface = rng.choice(len(SURFACE_SHARES), n, p=SURFACE_SHARES)
    return Sessions(
        user=user,
        context=_contexts(scene, policy, user=user, surface=surface, rng=rng),
        start_us=_starts(scene, user=user, first=config.date_of(day), rng=rng),
        num_slots=rng.integers(4, 2 * MEAN_SLOTS - 3, n),
    )


def _starts(scene: Scene, *, user, first: date, rng) -> np.ndarray:
    midnight = int(np.datetime64(first, "us").astype(np.int64))
    hours = rng.choice(24, len(user), p=HOUR_WEIGHTS / HOUR_WEIGHTS.sum())
    share = (hours + rng.random(len(user))) / 24
    earliest = np.maximum(midnight, scene.people.created_us[user])
    # Visits end before midnight, so that a day's impressions are of that day.
    latest = midnight + DAY_US - 600_000_000
    return (earliest + share * (latest - earliest)).astype(np.int64)


def _contexts(scene: Scene, policy: Policy, *, user, surface, rng) -> Context:
    """Subjects and queries follow what people want today, which the policy does not know."""
    n = len(user)
    wanted = probabilities(scene.mood.taste).cumsum(axis=1)[user]
    category = np.minimum((wanted < rng.random(n)[:, None]).sum(axis=1), wanted.shape[1] - 1)
    number = category[:, None] * TYPES_PER_CATEGORY + np.arange(TYPES_PER_CATEGORY)
    difference = scene.shapes.type_style[number] - scene.mood.ideal[user, category][:, None, :]
    shares = probabilities(-np.square(difference).sum(axis=2) / 4.0).cumsum(axis=1)
    within = np.minimum((shares < rng.random(n)[:, None]).sum(axis=1), TYPES_PER_CATEGORY - 1)
    product_type = category * TYPES_PER_CATEGORY + within
    favourite = rng.random(n) < 0.5
    colour = np.where(favourite, scene.people.colour[user], rng.integers(0, len(COLOURS), n))
    colour = np.where(rng.random(n) < 0.5, colour, -1)
    by_type = policy.groups[1]
    subject = by_type.sample(rng, product_type)
    subject = np.where(subject < 0, by_type.order[rng.integers(0, len(by_type.order), n)], subject)
    is_related, is_search = surface == RELATED, surface == SEARCH
    pins = scene.pins
    of_search = np.where(is_search, category, -1)
    type_of_search = np.where(is_search, product_type, -1)
    return Context(
        surface=surface,
        subject=np.where(is_related, subject, -1),
        category=np.where(is_related, pins.category[subject], of_search),
        product_type=np.where(is_related, pins.product_type[subject], type_of_search),
        colour=np.where(is_search, colour, -1),
    )
