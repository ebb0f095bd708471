"""What people do with the Pins shown to them: clicks with dwell, bounces, repins, close-ups."""

import numpy as np

from convcg_simulation.events import (
    CLICK,
    CLOSE_UP,
    IDS_PER_DAY,
    REPIN,
    Clicks,
    Engagements,
    Impressions,
)
from convcg_simulation.outcomes import (
    Fit,
    Scene,
    bounce_rate,
    click_rate,
    close_up_rate,
    repin_rate,
)

DWELL_UNKNOWN_SHARE = 0.02
_SECOND_US = 1_000_000


def draw_clicks(
    scene: Scene, *, impressions: Impressions, match: Fit, rng: np.random.Generator
) -> Clicks:
    """Which impressions are clicked, and how long each click lasts.

    Dwell tells what a click was worth: a bounce lasts seconds, bait a little longer, a bot's click
    no time at all; a Pin that fits is looked at for a minute or more.
    """
    user, pin = impressions.user, impressions.pin
    n = len(user)
    rate = click_rate(
        scene,
        user=user,
        pin=pin,
        context=impressions.context,
        match=match,
        position=impressions.position,
        returning=impressions.returning,
    )
    clicked = rng.random(n) < rate
    bounced = clicked & (rng.random(n) < bounce_rate(scene, pin=pin))
    worth = 3.3 + 1.2 * match.style * match.price - 1.6 * scene.pins.is_bait[pin]
    dwell_s = np.exp(np.where(bounced, 0.9, worth) + rng.normal(0, 0.8, n))
    is_bot = scene.people.is_bot[user]
    dwell_s = np.where(is_bot, rng.uniform(0.1, 1.5, n), np.minimum(dwell_s, 3600))
    return Clicks(
        clicked=clicked,
        bounced=bounced | (clicked & is_bot),
        clicked_us=impressions.shown_us + (rng.uniform(0.8, 15, n) * _SECOND_US).astype(np.int64),
        dwell_s=dwell_s,
    )


def draw_engagements(
    scene: Scene,
    *,
    impressions: Impressions,
    clicks: Clicks,
    match: Fit,
    day: int,
    rng: np.random.Generator,
) -> Engagements:
    """All engagements of a day, in order of time."""
    user = impressions.user
    n = len(user)
    repinned = rng.random(n) < repin_rate(scene, user=user, match=match, clicked=clicks.clicked)
    enlarged = rng.random(n) < close_up_rate(scene, user=user, match=match)
    soon_us = (rng.uniform(1, 60, n) * _SECOND_US).astype(np.int64)
    dwell_us = np.where(clicks.clicked, clicks.dwell_s * _SECOND_US, 0).astype(np.int64)
    logged = np.where(rng.random(n) < DWELL_UNKNOWN_SHARE, np.nan, np.round(clicks.dwell_s, 3))
    rows, kinds, times, dwells = [], [], [], []
    for kind, chosen, when in (
        (CLOSE_UP, enlarged, impressions.shown_us + soon_us // 60),
        (CLICK, clicks.clicked, clicks.clicked_us),
        (REPIN, repinned, impressions.shown_us + soon_us + dwell_us),
    ):
        row = np.flatnonzero(chosen)
        rows.append(row)
        kinds.append(np.full(len(row), kind))
        times.append(when[row])
        dwells.append(logged[row] if kind == CLICK else np.full(len(row), np.nan))
    engaged_us = np.concatenate(times)
    order = np.argsort(engaged_us, kind="stable")
    return Engagements(
        engagement_id=(day + 1) * IDS_PER_DAY + np.arange(len(order), dtype=np.int64),
        impression=np.concatenate(rows)[order],
        kind=np.concatenate(kinds)[order],
        engaged_us=engaged_us[order],
        dwell_s=np.concatenate(dwells)[order],
    )
