"""The truth: how likely a person is to click, to repin, and to buy, given that a Pin is shown.

All functions take arrays of user and Pin numbers that broadcast; the logs draw from them and the
ceiling ranks by them, so that there is one truth. A purchase needs interest in the category *and* a
fitting style *and* a bearable price *and* trust, each bent in its own way: no inner product of
features gives it.
"""

from dataclasses import dataclass

import numpy as np

from convcg_simulation.advertisers import Advertisers
from convcg_simulation.catalogue import Pins, Shapes
from convcg_simulation.geometry import Distances, row_distances
from convcg_simulation.people import Mood, People
from convcg_simulation.policy import RELATED, SEARCH, Context, Policy

BOUNCE_RATE = 0.2
BAIT_BOUNCE_RATE = 0.7
BOT_CLICK_RATE = 0.25
POSITION_SLOPE = 0.07
MEAN_POSITION = 4.0
VIEW_PURCHASE_RATE = 0.0145
"""Purchases without a click, as a share of those with one."""


@dataclass(frozen=True)
class Scene:
    """Everything that decides the outcomes of one day."""

    people: People
    mood: Mood
    pins: Pins
    shapes: Shapes
    advertisers: Advertisers


@dataclass(frozen=True)
class Fit:
    """How a Pin fits a person and a context, by aspect; arrays of one broadcast shape."""

    interest: np.ndarray  # in [-3, 3]
    style: np.ndarray  # in (0, 1]
    price: np.ndarray  # in (0, 1]
    context: np.ndarray  # log factor


def fit(
    scene: Scene, *, user: np.ndarray, pin: np.ndarray, context: Context, distances: Distances
) -> Fit:
    """The aspects of a match between persons and Pins."""
    pins, category = scene.pins, scene.pins.category[pin]
    usual = scene.shapes.category_log_price[category] + scene.mood.budget[user]
    above = pins.log_price[pin] - usual
    # Too dear ends a purchase sooner than suspiciously cheap.
    price = np.where(above > 0, scene.people.price_sensitivity[user], np.float32(0.3)) * above**2
    same_type = pins.product_type[pin] == context.product_type
    same_category = category == context.category
    missed = (context.colour >= 0) & (pins.colour[pin] != context.colour)
    to_query = (
        np.float32(1.1) * same_type
        + np.float32(0.8) * same_category
        - np.float32(0.6) * missed
        - 1.4
    )
    to_related = 0.7 * np.exp(distances.to_subject / -12) + np.float32(0.3) * same_type - 0.3
    at_home = np.float32(0.25) * (pins.colour[pin] == scene.people.colour[user])
    by_context = np.where(context.surface == RELATED, to_related, at_home)
    return Fit(
        interest=scene.mood.interest[user, category],
        style=np.exp(distances.to_ideal / -9),
        price=np.exp(-price),
        context=np.where(context.surface == SEARCH, to_query, by_context),
    )


def row_fit(
    scene: Scene, policy: Policy, *, user: np.ndarray, pin: np.ndarray, context: Context
) -> Fit:
    """The aspects of a match of one Pin per row."""
    distances = row_distances(
        scene.pins,
        today=scene.mood,
        stale=policy.stale,
        user=user,
        pin=pin,
        subject=context.subject,
    )
    return fit(scene, user=user, pin=pin, context=context, distances=distances)


def click_rate(
    scene: Scene, *, user, pin, context: Context, match: Fit, position, returning
) -> np.ndarray:
    """Probability of a click on a Pin that is shown: looks and interest, hardly the price."""
    logit = (
        -4.15
        + 0.4 * match.interest
        + 1.6 * match.style
        + 0.3 * match.price
        + 0.7 * match.context
        + scene.pins.appeal[pin]
        + scene.people.eagerness[user]
        - np.float32(POSITION_SLOPE) * position
        + np.float32(1.1) * returning
    )
    rate = 1 / (1 + np.exp(-logit))
    return np.where(scene.people.is_bot[user], BOT_CLICK_RATE, rate)


def repin_rate(scene: Scene, *, user, match: Fit, clicked) -> np.ndarray:
    """Probability of a repin: style decides, more so after a click."""
    logit = -5.7 + 0.3 * match.interest + 2.0 * match.style + 2.2 * clicked
    return np.where(scene.people.is_bot[user], 0.0, 1 / (1 + np.exp(-logit)))


def close_up_rate(scene: Scene, *, user, match: Fit) -> np.ndarray:
    """Probability that the Pin is enlarged."""
    logit = -4.2 + 0.2 * match.interest + 1.2 * match.style
    return np.where(scene.people.is_bot[user], 0.0, 1 / (1 + np.exp(-logit)))


def bounce_rate(scene: Scene, *, pin) -> np.ndarray:
    """Probability that a click is regretted within seconds."""
    return np.where(scene.pins.is_bait[pin], BAIT_BOUNCE_RATE, BOUNCE_RATE).astype(np.float32)


def purchase_rate(scene: Scene, *, user, pin, match: Fit, returning) -> np.ndarray:
    """Probability that a click without a bounce ends in a purchase; at most 0.7.

    Interest gates everything; trust counts for more with cautious people and dear things.
    """
    advertiser = scene.pins.advertiser[pin]
    category = scene.pins.category[pin]
    dear = scene.pins.log_price[pin] - scene.shapes.category_log_price[category]
    caution = scene.people.caution[user] * (1 + 0.35 * np.clip(dear, -1, 1.5))
    gate = 1 / (1 + np.exp(-1.1 * (match.interest - 0.4)))
    log_factor = (
        scene.advertisers.trust[advertiser] * caution
        + scene.pins.sells[pin]
        + match.context
        + np.float32(0.5) * returning
    )
    rate = 0.30 * gate * match.style**0.8 * match.price * np.exp(log_factor)
    return np.where(scene.people.is_bot[user], 0.0, np.minimum(rate, 0.7))


def view_purchase_rate(scene: Scene, *, pin, after_click: np.ndarray) -> np.ndarray:
    """Probability of a purchase without a click; dull Pins are remembered rather than clicked."""
    return VIEW_PURCHASE_RATE * (1 + scene.pins.is_dull[pin]) * after_click
