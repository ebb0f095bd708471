"""Point-in-time features by brute force: for every T, everything that arrived before it."""

import datetime as dt
from collections.abc import Callable

from convcg_assets.days import Days
from convcg_assets.tables.settings import FeatureSettings

from .oracle_attribution import first_deliveries, lot
from .oracle_persons import IdsOf, alone
from .world import Row, World


def midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time())


def age_days(day: dt.date, ts: dt.datetime) -> float:
    return (midnight(day) - ts).total_seconds() / 86_400


def within(rows: list[Row], day: dt.date, *, num_days: int) -> list[Row]:
    """Rows that arrived in the `num_days` before a day."""
    return [row for row in rows if 1 <= (day - row["dt"]).days <= num_days]


def newest_snapshot(rows: list[Row], day: dt.date) -> list[Row]:
    newest = max((row["dt"] for row in rows if row["dt"] < day), default=None)
    return [row for row in rows if row["dt"] == newest]


def _counts(
    impressions: list[Row], engagements: list[Row], day: dt.date, belongs: Callable[[Row], bool]
) -> Row:
    """Counts of the rows that belong to one user or Pin."""

    def shown(num_days: int) -> int:
        first = first_deliveries(impressions, key="impression_id")
        return len([row for row in within(first, day, num_days=num_days) if belongs(row)])

    def acted(kinds: tuple[str, ...], num_days: int) -> list[Row]:
        first = first_deliveries(engagements, key="engagement_id")
        recent = within(first, day, num_days=num_days)
        return [row for row in recent if belongs(row) and row["engagement_type"] in kinds]

    durations = [
        row["duration_s"] for row in acted(("click",), 30) if row["duration_s"] is not None
    ]
    return {
        "num_impressions_7d": shown(7),
        "num_impressions_30d": shown(30),
        "num_clicks_7d": len(acted(("click",), 7)),
        "num_clicks_30d": len(acted(("click",), 30)),
        "num_repins_30d": len(acted(("repin", "close_up"), 30)),
        "mean_click_duration_s": sum(durations) / len(durations) if durations else None,
    }


def _actions(world: World, credited: list[Row], day: dt.date) -> list[Row]:
    """Engagements and conversions (duplicates left out) of the 30 days before, one row each."""
    engagements = within(first_deliveries(world.engagements, key="engagement_id"), day, num_days=30)
    actions = [
        {
            "user_id": row["user_id"],
            "pin_id": row["pin_id"],
            "what": row["engagement_type"],
            "ts": row["engagement_ts"],
            "dt": row["dt"],
        }
        for row in engagements
    ]
    return actions + [
        {
            "user_id": row["user_id"],
            "pin_id": row["pin_id"] if row["pin_id"] is not None else row["touch_pin_id"],
            "what": row["event_name"],
            "ts": row["event_ts"],
            "dt": row["dt"],
        }
        for row in _conversions(credited, day)
    ]


def _conversions(credited: list[Row], day: dt.date) -> list[Row]:
    """Conversions of the 30 days before, each once: of several touches the one that earned most."""
    by_conversion: dict[tuple, list[Row]] = {}
    for row in within(credited, day, num_days=30):
        if row["status"] != "duplicate":
            by_conversion.setdefault((row["dt"], row["conversion_id"]), []).append(row)
    return [min(rows, key=_by_credit) for rows in by_conversion.values()]


def _by_credit(row: Row) -> tuple:
    """Most credit first, then the earliest touch, then the draw."""
    if row["credit"] is None:
        return ()
    return -row["credit"], row["touch_ts"], lot(row, row), row["touch_type"]


def user_features(
    world: World,
    credited: list[Row],
    *,
    settings: FeatureSettings,
    days: Days,
    ids_of: IdsOf = alone,
) -> list[Row]:
    """Rows of `user_features` of those days."""
    return [
        row
        for day in days
        for row in _users_of(world, credited, day, settings=settings, ids_of=ids_of)
    ]


def _users_of(
    world: World, credited: list[Row], day: dt.date, *, settings: FeatureSettings, ids_of: IdsOf
) -> list[Row]:
    known = {row["user_id"]: row for row in newest_snapshot(world.users, day)}
    bought, actions = _conversions(credited, day), _actions(world, credited, day)
    events = within(world.impressions + world.engagements, day, num_days=30) + bought
    active = {row["user_id"] for row in events if row["user_id"] is not None}
    users = known.keys() | {user for one in active for user in ids_of(one, day)}
    rows = []
    for user in users:
        person = known.get(user, {})
        ids = ids_of(user, day)
        mine = [row for row in bought if row["user_id"] in ids]
        done = [row for row in actions if row["user_id"] in ids]
        recent = sorted(
            (row for row in done if row["pin_id"] is not None),
            key=lambda row: (midnight(day) - row["ts"], row["pin_id"], row["what"]),
        )[: settings.max_recent_actions]
        created = person.get("created_ts")
        rows.append(
            {
                "dt": day,
                "user_id": user,
                **{name: person.get(name) for name in ("country", "age_bucket", "gender")},
                "account_age_days": age_days(day, created) if created else None,
                **_counts(
                    world.impressions,
                    world.engagements,
                    day,
                    lambda row, ids=ids: row["user_id"] in ids,
                ),
                "num_conversions_30d": len(mine),
                "conversion_value_30d": sum((row["value"] or 0.0 for row in mine), 0.0),
                "days_since_action": min(((day - row["dt"]).days for row in done), default=None),
                "recent_pin_ids": [row["pin_id"] for row in recent] or None,
                "recent_actions": [row["what"] for row in recent] or None,
                "recent_age_days": [age_days(day, row["ts"]) for row in recent] or None,
            }
        )
    return rows


def pin_features(
    world: World,
    credited: list[Row],
    *,
    has_catalogue: bool,
    settings: FeatureSettings,
    days: Days,
) -> list[Row]:
    """Rows of `pin_features` of those days."""
    rows = []
    for day in days:
        if has_catalogue:
            active = newest_snapshot(world.pins, day)
        else:
            active = _seen(world.pins, day, active_days=settings.active_days)
        rows += _pins_of(world, credited, day, active)
    return rows


def _seen(pins: list[Row], day: dt.date, *, active_days: int) -> list[Row]:
    """Every Pin seen in those days: the greatest advertiser named, created when first seen."""
    by_pin: dict = {}
    for row in within(pins, day, num_days=active_days):
        by_pin.setdefault(row["pin_id"], []).append(row)
    unknown = dict.fromkeys(("category", "price", "title", "content", "content_version"))
    return [
        {
            **unknown,
            "pin_id": pin,
            "advertiser_id": max(
                (r["advertiser_id"] for r in rows if r["advertiser_id"] is not None), default=None
            ),
            "created_ts": None,
            "dt": min(row["dt"] for row in rows),
        }
        for pin, rows in by_pin.items()
    ]


def _pins_of(world: World, credited: list[Row], day: dt.date, active: list[Row]) -> list[Row]:
    sold = [row for row in within(credited, day, num_days=30) if row["status"] == "attributed"]
    seen = {
        *(row["pin_id"] for row in within(world.impressions + world.engagements, day, num_days=30)),
        *(row["touch_pin_id"] for row in sold),
        *(row["pin_id"] for row in active),
    }
    counted = {}
    for pin in seen:
        mine = [row for row in sold if row["touch_pin_id"] == pin]
        counted[pin] = {
            **_counts(
                world.impressions,
                world.engagements,
                day,
                lambda row, pin=pin: row["pin_id"] == pin,
            ),
            "num_conversions_30d": sum((row["credit"] for row in mine), 0.0),
            "conversion_value_30d": sum(
                (row["credit"] * (row["value"] or 0.0) for row in mine), 0.0
            ),
        }
    rows = []
    for pin in active:
        family = [p for p in active if p["advertiser_id"] == pin["advertiser_id"]]
        # Without a creation time, from first sight: the snapshot before T, or the first day seen.
        created = pin["created_ts"] or midnight(pin["dt"])
        rows.append(
            {
                "dt": day,
                **{
                    name: pin.get(name)
                    for name in (
                        *("pin_id", "advertiser_id", "category", "price", "title"),
                        *("content", "content_version"),
                    )
                },
                "age_days": age_days(day, created),
                **counted[pin["pin_id"]],
                **{
                    f"advertiser_{name}": None
                    if pin["advertiser_id"] is None
                    else sum(counted[p["pin_id"]][name] for p in family)
                    for name in ("num_impressions_30d", "num_clicks_30d", "num_conversions_30d")
                },
            }
        )
    return rows
