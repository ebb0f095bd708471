"""Purchases, and the reports that advertisers send of them."""

from dataclasses import dataclass

import numpy as np

from convcg_simulation.advertisers import Advertisers
from convcg_simulation.catalogue import DAY_US
from convcg_simulation.delays import (
    LONGEST_DELAY_DAYS,
    received_us,
    second_report_us,
    shopping_delay_us,
)
from convcg_simulation.events import (
    BY_CLICK,
    BY_VIEW,
    IDS_PER_DAY,
    ORGANIC,
    Clicks,
    Conversions,
    Impressions,
)
from convcg_simulation.outcomes import (
    Fit,
    Scene,
    purchase_rate,
    row_fit,
    view_purchase_rate,
)
from convcg_simulation.people import probabilities
from convcg_simulation.policy import HOMEFEED, Context, Policy

CHECKOUT, ADD_TO_CART, SIGNUP = 0, 1, 2
CHECKOUT_SHARE = 0.5
CART_REPORTED_SHARE = 0.6
OTHER_PIN_SHARE = 0.2
SECOND_CHANNEL_SHARE = 0.7


@dataclass(frozen=True)
class Purchases:
    """One row per decision to buy: what was touched, when the touch was and when the purchase."""

    user: np.ndarray
    pin: np.ndarray
    path: np.ndarray
    touch_impression_id: np.ndarray
    touch_us: np.ndarray
    bought_us: np.ndarray


def draw_purchases(
    scene: Scene,
    *,
    impressions: Impressions,
    clicks: Clicks,
    match: Fit,
    rng: np.random.Generator,
) -> Purchases:
    """Purchases that an impression leads to: after a click that did not bounce, or without one."""
    user, pin, returning = impressions.user, impressions.pin, impressions.returning
    rate = purchase_rate(scene, user=user, pin=pin, match=match, returning=returning)
    unclicked = view_purchase_rate(scene, pin=pin, after_click=rate)
    rate = np.where(clicks.clicked, np.where(clicks.bounced, 0.0, rate), unclicked)
    row = np.flatnonzero(rng.random(len(rate)) < rate)
    by_click = clicks.clicked[row]
    touch_us = np.where(by_click, clicks.clicked_us[row], impressions.shown_us[row])
    delay_us = shopping_delay_us(
        scene.advertisers, advertiser=scene.pins.advertiser[pin[row]], rng=rng
    )
    row_kept = delay_us < LONGEST_DELAY_DAYS * DAY_US
    row, touch_us, delay_us = row[row_kept], touch_us[row_kept], delay_us[row_kept]
    return Purchases(
        user=user[row],
        pin=pin[row],
        path=np.where(clicks.clicked[row], BY_CLICK, BY_VIEW),
        touch_impression_id=impressions.impression_id[row],
        touch_us=touch_us,
        bought_us=touch_us + delay_us,
    )


def draw_organic_purchases(
    scene: Scene, *, policy: Policy, expected: float, midnight_us: int, rng: np.random.Generator
) -> Purchases:
    """Purchases without any touch: people find the same shops by themselves, by the same tastes."""
    n = rng.poisson(expected)
    pool = 8 * n
    user = rng.integers(0, len(scene.people.user_id), pool)
    wanted = probabilities(scene.mood.taste).cumsum(axis=1)[user]
    category = np.minimum((wanted < rng.random(pool)[:, None]).sum(axis=1), wanted.shape[1] - 1)
    pin = policy.groups[0].sample(rng, category)
    found = pin >= 0
    user, pin = user[found], pin[found]
    nothing = np.full(len(pin), -1)
    context = Context(np.full(len(pin), HOMEFEED), nothing, nothing, nothing, nothing)
    match = row_fit(scene, policy, user=user, pin=pin, context=context)
    rate = purchase_rate(scene, user=user, pin=pin, match=match, returning=False)
    n = min(n, np.count_nonzero(rate))
    chosen = rng.choice(len(pin), n, replace=False, p=rate / rate.sum()) if n else nothing[:0]
    bought_us = midnight_us + rng.integers(0, DAY_US, n)
    return Purchases(
        user=user[chosen],
        pin=pin[chosen],
        path=np.full(n, ORGANIC),
        touch_impression_id=np.zeros(n, dtype=np.int64),
        touch_us=bought_us,
        bought_us=bought_us,
    )


def report_purchases(
    purchases: Purchases, *, scene: Scene, policy: Policy, day: int, rng: np.random.Generator
) -> Conversions:
    """The reports of a day's purchases: carts and checkouts, with duplicates, in order received."""
    advertisers, n = scene.advertisers, len(purchases.user)
    advertiser = scene.pins.advertiser[purchases.pin]
    other = policy.groups[2].sample(rng, advertiser)
    pin = np.where((other >= 0) & (rng.random(n) < OTHER_PIN_SHARE), other, purchases.pin)
    pays = rng.random(n) < CHECKOUT_SHARE
    serves = advertisers.sells_service[advertiser]
    last = np.where(serves, SIGNUP, np.where(pays, CHECKOUT, ADD_TO_CART))
    cart_too = np.flatnonzero(~serves & pays & (rng.random(n) < CART_REPORTED_SHARE))
    row = np.concatenate([np.arange(n), cart_too])
    name = np.concatenate([last, np.full(len(cart_too), ADD_TO_CART)])
    waited = purchases.bought_us - purchases.touch_us
    cart_us = purchases.touch_us + (waited * rng.uniform(0.5, 1, n)).astype(np.int64)
    event_us = np.concatenate([purchases.bought_us, cart_us[cart_too]])
    known = rng.random(n) >= advertisers.unknown_user_share[advertiser]
    price = scene.pins.price[pin]
    paid = price * rng.choice((1, 2, 3), n, p=(0.86, 0.1, 0.04)) + rng.choice((0, 4.9), n)
    value = np.where(name == CHECKOUT, paid[row], price[row])
    silent = (name == SIGNUP) | ((name == ADD_TO_CART) & (rng.random(len(row)) < 0.3))
    received = received_us(advertisers, advertiser=advertiser[row], event_us=event_us, rng=rng)
    reports = Conversions(
        conversion_id=np.zeros(len(row), dtype=np.int64),
        user=purchases.user[row],
        user_known=known[row],
        advertiser=advertiser[row],
        pin=np.where(advertisers.names_pin[advertiser], pin, -1)[row],
        event_name=name,
        event_number=np.where(advertisers.sends_event_id[advertiser[row]], np.arange(len(row)), -1),
        event_us=event_us,
        received_us=received,
        value=np.where(silent, np.nan, np.round(value, 2)),
        path=purchases.path[row],
        touch_impression_id=purchases.touch_impression_id[row],
        touch_us=purchases.touch_us[row],
        is_duplicate=np.zeros(len(row), dtype=bool),
    )
    return _with_duplicates(reports, advertisers=advertisers, day=day, rng=rng)


def _with_duplicates(
    reports: Conversions, *, advertisers: Advertisers, day: int, rng: np.random.Generator
) -> Conversions:
    twice = advertisers.second_channel[reports.advertiser]
    again = np.flatnonzero(twice & (rng.random(len(twice)) < SECOND_CHANNEL_SHARE))
    columns = {name: np.concatenate([c, c[again]]) for name, c in vars(reports).items()}
    n = len(twice)
    columns["is_duplicate"][n:] = True
    columns["received_us"][n:] = second_report_us(reports.received_us[again], rng=rng)
    order = np.argsort(columns["received_us"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    columns["conversion_id"] = (day + 1) * IDS_PER_DAY + np.arange(len(order), dtype=np.int64)
    return Conversions(**columns)
