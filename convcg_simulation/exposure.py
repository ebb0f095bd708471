"""The impressions of a day: the lists of its sessions, and Pins that come back after a click."""

from dataclasses import dataclass

import numpy as np

from convcg_simulation.catalogue import DAY_US, Pins
from convcg_simulation.events import FIRST_RETURN_ID, IDS_PER_DAY, Impressions
from convcg_simulation.people import Mood
from convcg_simulation.policy import HOMEFEED, Context, Policy, choose_pins
from convcg_simulation.sessions import Sessions

RETURN_DAYS = 7
RETURN_RATE = 0.34
RETURN_DECAY = 0.72
"""Each day further back, a click brings its Pin back with RETURN_DECAY times the probability."""


@dataclass(frozen=True)
class PastClicks:
    """The clicks of one day that did not bounce: what may come back on later days."""

    user: np.ndarray
    pin: np.ndarray


def return_rate(days_ago: int) -> float:
    """Probability that a click of `days_ago` days ago brings its Pin back on a day."""
    return RETURN_RATE * RETURN_DECAY ** (days_ago - 1)


def listed_impressions(
    sessions: Sessions,
    *,
    pins: Pins,
    today: Mood,
    policy: Policy,
    day: int,
    late_share: float,
    rng: np.random.Generator,
) -> Impressions:
    """The Pins shown in a day's sessions, in order of time; a list shows no Pin twice."""
    session = np.repeat(np.arange(len(sessions.user)), sessions.num_slots)
    user, context = sessions.user[session], sessions.context.rows(session)
    pin = choose_pins(policy, pins, today=today, user=user, context=context, rng=rng)
    first = np.zeros(len(pin), dtype=bool)
    first[np.unique(session * (len(pins.pin_id) + 1) + pin + 1, return_index=True)[1]] = True
    kept = np.flatnonzero(first & (pin >= 0) & (pin != context.subject))
    session, pin = session[kept], pin[kept]
    starts = np.searchsorted(session, session)
    position = np.arange(len(session)) - starts
    seconds = 7 * position + 6 * rng.random(len(session))
    shown_us = sessions.start_us[session] + (seconds * 1e6).astype(np.int64)
    return _impressions(
        user=sessions.user[session],
        pin=pin,
        shown_us=shown_us,
        position=position,
        context=sessions.context.rows(session),
        first_id=(day + 1) * IDS_PER_DAY,
        late=rng.random(len(session)) < late_share,
        returning=np.zeros(len(session), dtype=bool),
    )


def returning_impressions(
    past: dict[int, PastClicks],
    *,
    day: int,
    midnight_us: int,
    late_share: float,
    rng: np.random.Generator,
) -> Impressions:
    """Pins shown again in the Homefeed; `past` maps days ago (1 to RETURN_DAYS) to the clicks."""
    users, pins = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for days_ago, clicks in sorted(past.items()):
        back = rng.random(len(clicks.user)) < return_rate(days_ago)
        users.append(clicks.user[back])
        pins.append(clicks.pin[back])
    user, pin = np.concatenate(users), np.concatenate(pins)
    n = len(user)
    nothing = np.full(n, -1)
    return _impressions(
        user=user,
        pin=pin,
        shown_us=midnight_us + (rng.beta(2.2, 1.4, n) * (DAY_US - 600_000_000)).astype(np.int64),
        position=rng.integers(0, 5, n),
        context=Context(np.full(n, HOMEFEED), nothing, nothing, nothing, nothing),
        first_id=(day + 1) * IDS_PER_DAY + FIRST_RETURN_ID,
        late=rng.random(n) < late_share,
        returning=np.ones(n, dtype=bool),
    )


def _impressions(
    *, user, pin, shown_us, position, context: Context, first_id: int, late, returning
) -> Impressions:
    order = np.argsort(shown_us, kind="stable")
    columns = {
        "user": user,
        "pin": pin,
        "shown_us": shown_us,
        "position": position,
        "late": late,
        "returning": returning,
        **vars(context),
    }
    ids = first_id + np.arange(len(order), dtype=np.int64)
    return Impressions(impression_id=ids, **{name: c[order] for name, c in columns.items()})
