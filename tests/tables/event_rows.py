"""One event as a row, everything filled in but what a test is about."""

import datetime as dt
from typing import Any

from .world import Row, World, at, day


def impression(impression_id: Any, ts: dt.datetime, *, late: int = 0, **given: Any) -> Row:
    row = {
        "dt": ts.date() + dt.timedelta(days=late),
        "impression_id": impression_id,
        "user_id": 1,
        "pin_id": 7,
        "advertiser_id": 3,
        "impression_ts": ts,
        "impression_day": ts.date(),
        "surface": "homefeed",
        "subject_pin_id": None,
        "query": None,
        "position": 0,
    }
    return row | given


def engagement(engagement_id: Any, ts: dt.datetime, *, late: int = 0, **given: Any) -> Row:
    row = {
        "dt": ts.date() + dt.timedelta(days=late),
        "engagement_id": engagement_id,
        "impression_id": None,
        "user_id": 1,
        "pin_id": 7,
        "engagement_ts": ts,
        "engagement_type": "click",
        "duration_s": 30.0,
    }
    return row | given


def conversion(
    conversion_id: Any, ts: dt.datetime, *, lag: dt.timedelta = dt.timedelta(0), **given: Any
) -> Row:
    row = {
        "dt": (ts + lag).date(),
        "conversion_id": conversion_id,
        "user_id": 1,
        "advertiser_id": 3,
        "pin_id": 7,
        "event_name": "checkout",
        "event_id": None,
        "event_ts": ts,
        "received_ts": ts + lag,
        "value": 50.0,
    }
    return row | given


def pin(pin_id: Any, offset: int, **given: Any) -> Row:
    row = {
        "dt": day(offset),
        "pin_id": pin_id,
        "advertiser_id": 3,
        "category": "shoes",
        "price": 9.99,
        "created_ts": at(-10),
        "title": "A Pin",
        "content": [1.0, 0.0],
    }
    return row | given


def user(user_id: Any, offset: int, **given: Any) -> Row:
    row = {
        "dt": day(offset),
        "user_id": user_id,
        "country": "DE",
        "age_bucket": "25-34",
        "gender": None,
        "created_ts": at(-10),
    }
    return row | given


def world(
    *,
    impressions: list[Row] | None = None,
    engagements: list[Row] | None = None,
    conversions: list[Row] | None = None,
    pins: list[Row] | None = None,
    users: list[Row] | None = None,
) -> World:
    """A world of these rows only."""
    return World(impressions or [], engagements or [], conversions or [], pins or [], users or [])


def credit(conversion_id: Any, *, shown: int, arrival: int, lag: int = 0, **given: Any) -> Row:
    """A row of attribution: credit to an impression of a day, reported `lag` days after it came."""
    row = {
        "dt": day(arrival),
        "conversion_id": conversion_id,
        "event_name": "checkout",
        "user_id": 1,
        "advertiser_id": 3,
        "pin_id": 7,
        "event_ts": at(arrival - lag),
        "received_ts": at(arrival),
        "value": 50.0,
        "status": "attributed",
        "touch_type": "click",
        "match_level": "pin",
        "impression_id": conversion_id,
        "impression_day": day(shown),
        "touch_pin_id": 7,
        "touch_ts": at(shown),
        "credit": 1.0,
    }
    return row | given
