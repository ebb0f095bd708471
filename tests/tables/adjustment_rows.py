"""Adjustments of a world's conversions: late, early, again, out of order, and of nothing."""

import datetime as dt
from random import Random
from typing import Any

from hypothesis import strategies as st

from .event_rows import at, conversion, impression, pin, user
from .world import DAY, SECOND, VALUES, Row, World, random_world

REACH = 3
"""`adjustments.max_days` of these tests."""
OFFSETS = (-REACH - 1, -REACH, -1, 0, 0, 1, 1, 2, REACH, REACH + 1)


def adjustment(adjustment_id: Any, ts: dt.datetime, **given: Any) -> Row:
    """A retraction of the event `e1`, received when it was made."""
    row = {
        "dt": ts.date(),
        "adjustment_id": str(adjustment_id),
        "adjustment_type": "retraction",
        "advertiser_id": 3,
        "event_name": None,
        "event_id": "e1",
        "adjustment_ts": ts,
        "received_ts": ts,
        "value": None,
    }
    return row | given


def restatement(adjustment_id: Any, ts: dt.datetime, value: float, **given: Any) -> Row:
    return adjustment(adjustment_id, ts, adjustment_type="restatement", value=value, **given)


def adjusted_worlds() -> st.SearchStrategy[tuple[World, list[Row]]]:
    """Worlds with adjustments of their conversions."""
    return st.randoms(use_true_random=False).map(_draw)


def _draw(rng: Random) -> tuple[World, list[Row]]:
    world = random_world(rng, delivered_again=False) if rng.random() < 0.2 else _buyers(rng)
    return world, adjustments_of(world, rng)


def adjustments_of(world: World, rng: Random) -> list[Row]:
    """Adjustments of a world's conversions, and of none."""
    rows = [
        _draw_one(rng, conversion, number=10 * i + k)
        for i, conversion in enumerate(world.conversions)
        for k in range(rng.choice((0, 1, 2, 4)))
    ]
    # The log of another day holds some of them again.
    rows += [{**row, "dt": row["dt"] + DAY} for row in rows if rng.random() < 0.1]
    return list({(row["dt"], row["adjustment_id"]): row for row in rows}.values())


def _buyers(rng: Random) -> World:
    """A few days on which nearly all that is bought has a touch, and an id to adjust it by."""
    shown = [
        impression(
            i, at(rng.choice((0, 0, 1))), user_id=rng.choice((1, 2)), pin_id=rng.choice((7, 8))
        )
        for i in range(5)
    ]
    bought = []
    for i in range(8):
        row, waits = rng.choice(shown), rng.choice((0, 0, 1, 1, 2)) * DAY
        what = {name: row[name] for name in ("user_id", "pin_id", "advertiser_id")}
        what |= {"event_id": rng.choice((f"e{i}", f"e{i}", "shared")), "value": rng.choice(VALUES)}
        what |= {"event_name": rng.choice(("checkout", "checkout", "lead"))}
        bought.append(
            conversion(i, row["impression_ts"] + rng.choice((0, 1, 60)) * SECOND, lag=waits, **what)
        )
    return World(
        impressions=[{**row, "impression_day": row["impression_ts"].date()} for row in shown],
        engagements=[],
        conversions=bought,
        pins=[pin(p, o) for p in (7, 8) for o in (0, 2)],
        users=[user(u, 0) for u in (1, 2)],
    )


def _draw_one(rng: Random, conversion: Row, *, number: int) -> Row:
    day = conversion["dt"] + rng.choice(OFFSETS) * DAY
    seconds = rng.choice((0, 0, 1, 43_200)) * SECOND
    kind = rng.choice(("retraction", "restatement", "restatement"))
    values = [value for value in (*VALUES, conversion["value"]) if value is not None]
    return {
        "dt": day,
        "adjustment_id": str(number),
        "adjustment_type": kind,
        "advertiser_id": rng.choice((conversion["advertiser_id"],) * 3 + (None, 9)),
        "event_name": rng.choice(
            (None, conversion["event_name"], conversion["event_name"], "lead")
        ),
        "event_id": conversion["event_id"] or "nobody's",
        "adjustment_ts": rng.choice((at(0), at(1), conversion["event_ts"])) + seconds,
        "received_ts": dt.datetime.combine(day, dt.time()) + seconds,
        "value": rng.choice(values) if kind == "restatement" else None,
    }
