"""Small random shopping worlds as plain rows, full of coincidences; what is computed is elsewhere.

Times fall on few seconds of few days, so that equal times, window edges and day borders are common.
"""

import datetime as dt
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import strategies as st

Row = dict[str, Any]

FIRST_DAY = dt.date(2026, 2, 20)
DAY = dt.timedelta(days=1)
SECOND = dt.timedelta(seconds=1)
LATE_DAYS = 1
"""How long after its own day an impression or engagement may arrive."""

SECONDS_OF_DAY = (0, 1, 43_200, 86_399)
DURATIONS = (None, 0.0, 1.0, 29.5, 60.0, 300.0)
VALUES = (None, 0.0, 12.34, 50.0, 1000.0)
DAY_SPREADS = (
    (0, 1, 2, 3, 4),
    (0, 1, 2, 7, 8),
    (0, 1, 6, 7, 8, 14, 15),
    (0, 1, 2, 29, 30, 31, 37, 38),
)
STREAMS = ("impressions", "engagements", "conversions", "pins", "users")


@dataclass(frozen=True)
class World:
    """The rows of every stream, in no order."""

    impressions: list[Row]
    engagements: list[Row]
    conversions: list[Row]
    pins: list[Row]
    users: list[Row]

    def rows(self, stream: str) -> list[Row]:
        return getattr(self, stream)


def day(offset: int) -> dt.date:
    return FIRST_DAY + offset * DAY


def at(offset: int, *, seconds: float = 0) -> dt.datetime:
    """A time so many seconds into a day."""
    return dt.datetime.combine(day(offset), dt.time()) + dt.timedelta(seconds=seconds)


def worlds(*, delivered_again: bool = True) -> st.SearchStrategy[World]:
    """Worlds that hypothesis can shrink."""
    return st.randoms(use_true_random=False).map(
        lambda rng: random_world(rng, delivered_again=delivered_again)
    )


def random_world(rng: Random, *, size: int = 12, delivered_again: bool = True) -> World:
    """Up to `size` impressions and what comes of them; any stream may be empty.

    With `delivered_again` some impressions and engagements come a second time, in a later log.
    """
    offsets = rng.choice(DAY_SPREADS)
    impressions = [_impression(rng, offsets, impression_id=i) for i in range(rng.randint(0, size))]
    engagements = [
        _engagement(rng, rng.choice(impressions), engagement_id=i)
        for i in range(rng.randint(0, size) if impressions else 0)
    ]
    touched = [(row, row["impression_ts"]) for row in impressions]
    touched += [(row, row["engagement_ts"]) for row in engagements]
    conversions = [
        _conversion(rng, offsets, touched, conversion_id=10 * i)
        for i in range(rng.randint(0, size))
    ]
    conversions += [
        _report_again(rng, row, conversion_id=row["conversion_id"] + k)
        for row in list(conversions)
        for k in range(1, rng.choice((1, 1, 2, 3)))
    ]
    return World(
        impressions=_deliver(rng, impressions, share=0.15 if delivered_again else 0),
        engagements=_deliver(rng, engagements, share=0.15 if delivered_again else 0),
        conversions=_one_id_a_day(conversions, key="conversion_id"),
        pins=[_pin(rng, o, p) for o in offsets for p in range(4) if rng.random() < 0.7],
        users=[_user(rng, o, u) for o in offsets for u in range(3) if rng.random() < 0.7],
    )


def _impression(rng: Random, offsets: tuple[int, ...], *, impression_id: int) -> Row:
    offset, pin = rng.choice(offsets), rng.randrange(5)
    arrival = offset + rng.choice((0, 0, 0, LATE_DAYS))
    surface = rng.choice(("homefeed", "related_pins", "search"))
    return {
        "dt": day(arrival),
        "impression_id": impression_id,
        "user_id": rng.randrange(3),
        "pin_id": pin,
        "advertiser_id": rng.choice((pin % 2, pin % 2, pin % 2, None)),
        "impression_ts": at(offset, seconds=rng.choice(SECONDS_OF_DAY)),
        "impression_day": day(offset),
        "surface": surface,
        "subject_pin_id": rng.randrange(5) if surface == "related_pins" else None,
        "query": "shoes" if surface == "search" else None,
        "position": rng.choice((None, 0, 3)),
    }


def _engagement(rng: Random, impression: Row, *, engagement_id: int) -> Row:
    kind = rng.choice(("click", "repin", "close_up"))
    delay = rng.choice((0, 1, 30, 86_399, 86_400, 86_401, 172_800))
    ts = impression["impression_ts"] + dt.timedelta(seconds=delay)
    named = rng.choice((impression["impression_id"],) * 3 + (None, None, -1))
    stray = rng.random() < 0.1
    return {
        "dt": ts.date() + rng.choice((0, 0, LATE_DAYS)) * DAY,
        "engagement_id": engagement_id,
        "impression_id": named,
        "user_id": rng.randrange(3) if stray else impression["user_id"],
        "pin_id": rng.randrange(5) if stray else impression["pin_id"],
        "engagement_ts": ts,
        "engagement_type": kind,
        "duration_s": rng.choice(DURATIONS) if kind == "click" else None,
    }


def _conversion(
    rng: Random,
    offsets: tuple[int, ...],
    touched: list[tuple[Row, dt.datetime]],
    *,
    conversion_id: int,
) -> Row:
    """Often of a touch: exactly then, at the end of its window, or a second beside either."""
    pin, user = rng.randrange(5), rng.choice((0, 1, 2, None))
    event_ts = at(rng.choice(offsets), seconds=rng.choice(SECONDS_OF_DAY))
    if touched and rng.random() < 0.8:
        row, touch_ts = rng.choice(touched)
        event_ts = touch_ts + rng.choice((0, 0, 0, 1, 7, 14, 30)) * DAY
        event_ts += rng.choice((-1, 0, 0, 1, 3600)) * SECOND
        pin, user = rng.choice((row["pin_id"], pin)), rng.choice((row["user_id"],) * 4 + (user,))
    received_ts = event_ts + rng.choice((0, 0, 0, 1, 2, 8, 9)) * DAY + rng.choice((0, 1)) * SECOND
    return {
        "dt": _log_day(rng, received_ts),
        "conversion_id": conversion_id,
        "user_id": user,
        "advertiser_id": rng.choice((pin % 2, pin % 2, pin % 2, None)),
        "pin_id": rng.choice((pin, None)),
        "event_name": rng.choice(("checkout", "checkout", "add_to_cart", "signup", "lead")),
        "event_id": rng.choice((None, f"e{conversion_id}", f"e{conversion_id}", "shared")),
        "event_ts": event_ts,
        "received_ts": received_ts,
        "value": rng.choice(VALUES),
    }


def _log_day(rng: Random, received_ts: dt.datetime) -> dt.date:
    """The log that holds a report: clocks may be a minute off."""
    return (received_ts + rng.choice((-60, 0, 0, 0, 0, 60)) * SECOND).date()


def _report_again(rng: Random, row: Row, *, conversion_id: int) -> Row:
    """A second or third report, at the edge of 48 hours; with or without an id of its own."""
    hours = rng.choice((0, 1, 24, 47, 48, 48, 49, 96))
    later = dt.timedelta(hours=hours) + rng.choice((-1, 0, 0, 1)) * SECOND
    received_ts = max(row["received_ts"] + later, row["event_ts"])
    same_id = rng.random() < 0.3
    return {
        **row,
        "conversion_id": row["conversion_id"] if same_id else conversion_id,
        "received_ts": received_ts,
        "dt": _log_day(rng, received_ts),
        "value": rng.choice(VALUES),
    }


def _deliver(rng: Random, rows: list[Row], *, share: float) -> list[Row]:
    """The rows, and a share of them again in the next day's log."""
    return rows + [{**row, "dt": row["dt"] + DAY} for row in rows if rng.random() < share]


def _one_id_a_day(rows: list[Row], *, key: str) -> list[Row]:
    """Landing keeps one row of equal ids within an arrival day."""
    return list({(row["dt"], row[key]): row for row in rows}.values())


def _pin(rng: Random, offset: int, pin: int) -> Row:
    return {
        "dt": day(offset),
        "pin_id": pin,
        "advertiser_id": rng.choice((pin % 2, pin % 2, pin % 2, None)),
        "category": rng.choice(("shoes", "lamps", None)),
        "price": rng.choice((None, 9.99, 120.0)),
        "created_ts": rng.choice((at(-400), at(offset, seconds=43_200))),
        "title": f"Pin {pin}",
        "content": rng.choice((None, [0.5, -1.0])),
    }


def _user(rng: Random, offset: int, user: int) -> Row:
    return {
        "dt": day(offset),
        "user_id": user,
        "country": rng.choice(("DE", "US", None)),
        "age_bucket": rng.choice(("25-34", None)),
        "gender": None,
        "created_ts": rng.choice((None, at(-100, seconds=1))),
    }
