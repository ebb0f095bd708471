"""What adjustments make of conversions, by brute force: every conversion on every day, in loops."""

import datetime as dt

from convcg_assets.days import Days

from .oracle_attribution import is_duplicate
from .world import DAY, Row

OF_CONVERSION = ("conversion_id", "event_name", "user_id", "advertiser_id")
OF_TOUCH = ("impression_id", "impression_day", "touch_type", "touch_ts", "credit")
TAKEN_BACK = "taken back"


def is_of(adjustment: Row, conversion: Row, *, reach: int) -> bool:
    """Whether an adjustment speaks of a conversion."""
    return (
        adjustment["event_id"] == conversion["event_id"]
        and adjustment["advertiser_id"] in (None, conversion["advertiser_id"])
        and adjustment["event_name"] in (None, conversion["event_name"])
        and abs((adjustment["dt"] - conversion["dt"]).days) <= reach
    )


def said_of(conversion: Row, adjustments: list[Row], *, until: dt.date, reach: int) -> list[Row]:
    """The adjustments of a conversion that had arrived by the end of a day, the last last."""
    mine = [a for a in adjustments if a["dt"] <= until and is_of(a, conversion, reach=reach)]
    return sorted(mine, key=_order)


def _order(adjustment: Row) -> tuple:
    names = ("adjustment_ts", "dt", "received_ts", "adjustment_id")
    return tuple(adjustment[name] for name in names)


def state(conversion: Row, adjustments: list[Row], *, until: dt.date, reach: int) -> str | tuple:
    """How a conversion that has arrived stands at the end of a day: its value, or taken back."""
    said = said_of(conversion, adjustments, until=until, reach=reach)
    if not said:
        return ("value", conversion["value"])
    if said[-1]["adjustment_type"] == "retraction":
        return TAKEN_BACK
    return ("value", said[-1]["value"])


def counted(conversions: list[Row], *, window_hours: int) -> list[Row]:
    """The reports that are no duplicate."""
    return [c for c in conversions if not is_duplicate(c, conversions, window_hours=window_hours)]


def adjusted(
    adjustments: list[Row],
    conversions: list[Row],
    attributed: list[Row],
    *,
    window_hours: int,
    reach: int,
    days: Days,
) -> list[Row]:
    """Rows of `adjusted_conversions` of those days."""
    firsts = counted(conversions, window_hours=window_hours)
    rows = []
    for day in days:
        for adjustment in adjustments:
            if adjustment["dt"] > day:
                continue
            mine = [c for c in firsts if c["dt"] <= day and is_of(adjustment, c, reach=reach)]
            if adjustment["dt"] == day and not mine:
                rows.append(_row(day, adjustment, "unmatched"))
            for conversion in mine:
                if max(adjustment["dt"], conversion["dt"]) == day:
                    rows += _became(day, adjustment, conversion, adjustments, attributed, reach)
    return rows


def _became(
    day: dt.date,
    adjustment: Row,
    conversion: Row,
    adjustments: list[Row],
    attributed: list[Row],
    reach: int,
) -> list[Row]:
    after = state(conversion, adjustments, until=day, reach=reach)
    before: str | tuple = ("value", conversion["value"])
    if conversion["dt"] < day:
        before = state(conversion, adjustments, until=day - DAY, reach=reach)
    last = said_of(conversion, adjustments, until=day, reach=reach)[-1]
    if last is not adjustment or after == before:
        return [_row(day, adjustment, "no_change", conversion)]
    value = after[1] if isinstance(after, tuple) else None
    touches = [
        row
        for row in attributed
        if (row["dt"], row["conversion_id"]) == (conversion["dt"], conversion["conversion_id"])
    ]
    return [
        {**_row(day, adjustment, "applied", conversion), "value": value}
        | {name: touch[name] for name in OF_TOUCH}
        for touch in touches
    ]


def _row(day: dt.date, adjustment: Row, status: str, conversion: Row | None = None) -> Row:
    conversion = conversion or {}
    return {
        "dt": day,
        "adjustment_id": adjustment["adjustment_id"],
        "adjustment_dt": adjustment["dt"],
        "adjustment_type": adjustment["adjustment_type"],
        "adjustment_ts": adjustment["adjustment_ts"],
        "event_id": adjustment["event_id"],
        "status": status,
        "conversion_dt": conversion.get("dt"),
        **{name: conversion.get(name) for name in OF_CONVERSION},
        "value": None,
        **dict.fromkeys(OF_TOUCH),
    }


def as_stood(
    attributed: list[Row],
    conversions: list[Row],
    adjustments: list[Row],
    *,
    before: dt.date,
    reach: int,
) -> list[Row]:
    """Attributed conversions that had arrived before a day, as they stood by what had."""
    by_key = {(c["dt"], c["conversion_id"]): c for c in conversions}
    rows = []
    for row in attributed:
        if row["dt"] >= before:
            continue
        if row["status"] == "duplicate":
            rows.append(row)
            continue
        conversion = by_key[row["dt"], row["conversion_id"]]
        stands = state(conversion, adjustments, until=before - DAY, reach=reach)
        if isinstance(stands, tuple):
            rows.append({**row, "value": stands[1]})
    return rows
