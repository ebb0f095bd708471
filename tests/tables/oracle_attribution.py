"""Attribution by brute force: every conversion against every touch, in plain loops."""

import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from convcg_assets.days import Days
from convcg_assets.tables.settings import AttributionSettings

from .oracle_persons import IdsOf, alone
from .world import DAY, Row, World

LINK_WINDOW = dt.timedelta(hours=24)
TYPE_ORDER = ("click", "engagement", "view")
LEVEL_ORDER = ("pin", "advertiser")


def first_deliveries(rows: list[Row], *, key: str) -> list[Row]:
    """Each id as it first arrived."""
    first: dict = {}
    for row in rows:
        if row[key] not in first or row["dt"] < first[row[key]]["dt"]:
            first[row[key]] = row
    return list(first.values())


def linked_engagements(world: World) -> list[tuple[Row, Row]]:
    """Every engagement that has one with its impression, by the first delivery that tells."""
    shown = first_deliveries(world.impressions, key="impression_id")
    pairs: dict = {}
    for engagement in sorted(world.engagements, key=lambda row: row["dt"]):
        impression = _impression_of(engagement, shown)
        if impression is not None:
            pairs.setdefault(engagement["engagement_id"], (engagement, impression))
    return list(pairs.values())


def _impression_of(engagement: Row, shown: list[Row]) -> Row | None:
    same = [
        row
        for row in shown
        if row["user_id"] == engagement["user_id"] and row["pin_id"] == engagement["pin_id"]
    ]
    if engagement["impression_id"] is not None:
        named = [row for row in same if row["impression_id"] == engagement["impression_id"]]
        return named[0] if named else None
    before = [
        row
        for row in same
        if dt.timedelta(0) <= engagement["engagement_ts"] - row["impression_ts"] <= LINK_WINDOW
        # Of what arrives later nothing may change a link that was already used.
        and row["dt"] <= engagement["dt"]
    ]
    return max(before, key=lambda row: (row["impression_ts"], row["impression_id"]), default=None)


def touches(world: World) -> list[Row]:
    """Every view, and every engagement whose impression is known; equal ones count once."""
    found = [
        _touch(row, kind="view", ts=row["impression_ts"], arrival=row["dt"])
        for row in first_deliveries(world.impressions, key="impression_id")
    ]
    for engagement, row in linked_engagements(world):
        kind = "click" if engagement["engagement_type"] == "click" else "engagement"
        arrival = max(engagement["dt"], row["dt"])
        found.append(_touch(row, kind=kind, ts=engagement["engagement_ts"], arrival=arrival))
    known: dict[tuple, Row] = {}
    for touch in sorted(found, key=lambda touch: touch["touch_dt"]):
        known.setdefault((touch["touch_type"], touch["impression_id"], touch["touch_ts"]), touch)
    return list(known.values())


def _touch(impression: Row, *, kind: str, ts: dt.datetime, arrival: dt.date) -> Row:
    return {**impression, "touch_type": kind, "touch_ts": ts, "touch_dt": arrival}


def is_duplicate(conversion: Row, conversions: list[Row], *, window_hours: int) -> bool:
    """Whether the same event was received before, at most so long before."""
    return any(
        _same_event(conversion, other)
        and _received(other) < _received(conversion)
        and abs(conversion["received_ts"] - other["received_ts"])
        <= dt.timedelta(hours=window_hours)
        for other in conversions
    )


def _same_event(a: Row, b: Row) -> bool:
    if a["event_id"] is None or b["event_id"] is None:
        return a["event_id"] is b["event_id"] and a["conversion_id"] == b["conversion_id"]
    return all(a[name] == b[name] for name in ("advertiser_id", "event_name", "event_id"))


def _received(row: Row) -> tuple:
    return row["dt"], row["received_ts"], row["conversion_id"]


def candidates(
    conversion: Row,
    found: list[Row],
    *,
    settings: AttributionSettings,
    ids_of: IdsOf = alone,
) -> list[Row]:
    """Touches that a conversion may be credited to, with their match level."""
    ids = ids_of(conversion["user_id"], conversion["dt"] + DAY)
    windows = {
        "click": settings.click_window_days,
        "engagement": settings.engagement_window_days,
        "view": settings.view_window_days,
    }
    fitting = []
    for touch in found:
        end = touch["touch_ts"] + dt.timedelta(days=windows[touch["touch_type"]])
        level = _match_level(conversion, touch) if touch["user_id"] in ids else None
        if (
            level is not None
            and touch["touch_ts"] <= conversion["event_ts"] < end
            and touch["touch_dt"] <= conversion["dt"]
            and (conversion["dt"] - touch["impression_day"]).days <= settings.horizon_days
        ):
            fitting.append({**touch, "match_level": level})
    return fitting


def _match_level(conversion: Row, touch: Row) -> str | None:
    if conversion["pin_id"] is not None and conversion["pin_id"] == touch["pin_id"]:
        return "pin"
    same = conversion["advertiser_id"] == touch["advertiser_id"]
    return "advertiser" if same and touch["advertiser_id"] is not None else None


def lot(conversion: Row, touch: Row) -> bytes:
    """What decides among touches of one moment, drawn by each conversion anew."""
    drawn = f"{conversion['conversion_id']}:{touch['impression_id']}".encode()
    return hashlib.md5(drawn, usedforsecurity=False).digest()


def shares(
    conversion: Row, fitting: list[Row], *, settings: AttributionSettings
) -> list[tuple[Row, float]]:
    """The touches that get credit, and how much."""

    def rank(touch: Row) -> tuple[int, int]:
        return TYPE_ORDER.index(touch["touch_type"]), LEVEL_ORDER.index(touch["match_level"])

    in_time = sorted(fitting, key=lambda t: (t["touch_ts"], lot(conversion, t), *rank(t)))
    strongest = min(rank(touch) for touch in in_time)
    newest = max(t["touch_ts"] for t in in_time if rank(t) == strongest)
    # Of one moment `in_time` has the smallest lot first.
    last = next(t for t in in_time if (rank(t), t["touch_ts"]) == (strongest, newest))
    case = Case(conversion, in_time, last, settings.half_life_hours)
    parts = CREDITS[settings.model](case)
    # Shares are kept to twelve decimals of the largest: a touch of less gets none.
    return [
        (touch, part / sum(parts))
        for touch, part in zip(in_time, parts, strict=True)
        if part >= 0.5e-12 * max(parts)
    ]


@dataclass(frozen=True)
class Case:
    """A conversion with its touches in time, and the last by strength."""

    conversion: Row
    in_time: list[Row]
    last: Row
    half_life_hours: float


def _time_decay(case: Case) -> list[float]:
    bought = case.conversion["event_ts"]
    hours = [(bought - touch["touch_ts"]).total_seconds() / 3600 for touch in case.in_time]
    return [0.5 ** (h / case.half_life_hours) for h in hours]


def _position_based(case: Case) -> list[float]:
    n = len(case.in_time)
    return [1.0] * n if n <= 2 else [0.4, *[0.2 / (n - 2)] * (n - 2), 0.4]


CREDITS: dict[str, Callable[[Case], list[float]]] = {
    "last_touch": lambda case: [float(touch is case.last) for touch in case.in_time],
    "first_touch": lambda case: [1.0] + [0.0] * (len(case.in_time) - 1),
    "linear": lambda case: [1.0] * len(case.in_time),
    "time_decay": _time_decay,
    "position_based": _position_based,
}
"""What each touch in time gets, before it is divided by the sum."""


def attributed(
    world: World, *, settings: AttributionSettings, days: Days, ids_of: IdsOf = alone
) -> list[Row]:
    """Rows of `attributed_conversions` of those arrival days."""
    found, rows = touches(world), []
    for conversion in world.conversions:
        if not days.first <= conversion["dt"] <= days.last:
            continue
        fitting = candidates(conversion, found, settings=settings, ids_of=ids_of)
        lag = (conversion["dt"] - conversion["event_ts"].date()).days
        if is_duplicate(conversion, world.conversions, window_hours=settings.dedup_window_hours):
            rows.append(_row(conversion, "duplicate"))
        elif conversion["user_id"] is None:
            rows.append(_row(conversion, "no_user"))
        elif fitting:
            for touch, credit in shares(conversion, fitting, settings=settings):
                rows.append(_row(conversion, "attributed", touch=touch, credit=credit))
        elif lag > settings.max_reporting_lag_days:
            rows.append(_row(conversion, "past_horizon"))
        else:
            rows.append(_row(conversion, "no_touch"))
    return rows


def _row(
    conversion: Row, status: str, *, touch: Row | None = None, credit: float | None = None
) -> Row:
    row = {name: value for name, value in conversion.items() if name != "event_id"}
    touch = touch or {}
    return {
        **row,
        "status": status,
        "touch_type": touch.get("touch_type"),
        "match_level": touch.get("match_level"),
        "impression_id": touch.get("impression_id"),
        "impression_day": touch.get("impression_day"),
        "touch_pin_id": touch.get("pin_id"),
        "touch_ts": touch.get("touch_ts"),
        "credit": credit,
    }
