"""Labels and hard negatives by brute force: every impression against all evidence."""

import hashlib
import math
from collections import defaultdict

from convcg_assets.days import Days
from convcg_assets.tables.settings import LabelSettings, NegativeSettings

from .oracle_attribution import LEVEL_ORDER, TYPE_ORDER, first_deliveries, linked_engagements
from .world import LATE_DAYS, Row, World

ENGAGEMENT_DAYS = LATE_DAYS + 2
"""An engagement counts that arrived so many days after its impression's day."""


IMPRESSION_COLUMNS = (
    "impression_id",
    "user_id",
    "pin_id",
    "advertiser_id",
    "impression_ts",
    "surface",
    "subject_pin_id",
    "query",
)


def of_impression(impression: Row) -> Row:
    """What a label or a negative takes over from its impression."""
    return {
        "dt": impression["impression_day"],
        "impression_dt": impression["dt"],
        **{name: impression[name] for name in IMPRESSION_COLUMNS},
    }


def engagements_in_time(world: World) -> list[tuple[Row, Row]]:
    """Engagements with their impressions, those that came too late left out."""
    return [
        (engagement, impression)
        for engagement, impression in linked_engagements(world)
        if (engagement["dt"] - impression["impression_day"]).days <= ENGAGEMENT_DAYS
    ]


def linked(world: World) -> list[Row]:
    """Rows of `linked_engagements` of all days."""
    names = ("dt", "engagement_id", "engagement_type", "engagement_ts", "duration_s")
    return [
        {name: engagement[name] for name in names}
        | {name: shown[name] for name in ("impression_id", "impression_day", "user_id", "pin_id")}
        for engagement, shown in engagements_in_time(world)
        if shown["impression_day"] <= engagement["dt"]
    ]


def click_factor(duration_s: float | None, *, settings: LabelSettings) -> float:
    if duration_s is None:
        return settings.unknown_duration_factor
    t_max = settings.click_t_max_s
    if settings.click_formula == "log_ratio":
        return min(1.0, math.log(1 + duration_s) / math.log(1 + t_max))
    return math.log(1 + min(duration_s, t_max) / t_max) / math.log(2)


def value_factor(value: float | None, *, settings: LabelSettings) -> float:
    if value is None:
        return 1.0
    factor = math.log(1 + value) / math.log(1 + settings.value_reference)
    return min(max(factor, settings.value_factor_min), settings.value_factor_max)


def labels(
    world: World, attributed: list[Row], *, settings: LabelSettings, days: Days
) -> list[Row]:
    """Rows of `weighted_labels` of those impression days."""
    rows = _conversion_labels(world, attributed, settings=settings)
    rows += _engagement_labels(world, settings=settings)
    for row in rows:
        row["weight"] = (
            row["event_weight"]
            * row["value_factor"]
            * row["credit"]
            * row["match_factor"]
            * row["duration_factor"]
        )
    return [row for row in rows if days.first <= row["dt"] <= days.last]


def _conversion_labels(
    world: World, attributed: list[Row], *, settings: LabelSettings
) -> list[Row]:
    weights = {
        "checkout": settings.checkout_weight,
        "add_to_cart": settings.add_to_cart_weight,
        "signup": settings.signup_weight,
        "lead": settings.lead_weight,
    }
    shown = {
        row["impression_id"]: row
        for row in first_deliveries(world.impressions, key="impression_id")
    }
    by_evidence = defaultdict(list)
    for row in attributed:
        if row["status"] == "attributed":
            by_evidence[row["impression_id"], row["dt"], row["conversion_id"]].append(row)
    rows = []
    for (impression_id, _, _), credited in by_evidence.items():
        # All touches of one impression match alike; the one credited most names the type.
        one = min(credited, key=lambda row: (-row["credit"], TYPE_ORDER.index(row["touch_type"])))
        assert len({row["match_level"] for row in credited}) == 1
        assert one["match_level"] in LEVEL_ORDER
        rows.append(
            {
                **of_impression(shown[impression_id]),
                "task": "conversion",
                "evidence": one["event_name"],
                "evidence_id": str(one["conversion_id"]),
                "evidence_dt": one["dt"],
                "evidence_ts": one["event_ts"],
                "since_dt": None,
                "until_dt": None,
                "touch_type": one["touch_type"],
                "match_level": one["match_level"],
                "event_weight": weights[one["event_name"]],
                "value_factor": value_factor(one["value"], settings=settings),
                "credit": sum(row["credit"] for row in credited),
                "match_factor": 1.0
                if one["match_level"] == "pin"
                else settings.advertiser_match_factor,
                "duration_factor": 1.0,
            }
        )
    return rows


def _engagement_labels(world: World, *, settings: LabelSettings) -> list[Row]:
    weights = {
        "click": settings.click_weight,
        "repin": settings.repin_weight,
        "close_up": settings.close_up_weight,
    }
    rows = []
    for engagement, impression in engagements_in_time(world):
        kind = engagement["engagement_type"]
        factor = click_factor(engagement["duration_s"], settings=settings)
        rows.append(
            {
                **of_impression(impression),
                "task": "engagement",
                "evidence": kind,
                "evidence_id": str(engagement["engagement_id"]),
                "evidence_dt": engagement["dt"],
                "evidence_ts": engagement["engagement_ts"],
                "since_dt": None,
                "until_dt": None,
                "touch_type": None,
                "match_level": None,
                "event_weight": weights[kind],
                "value_factor": 1.0,
                "credit": 1.0,
                "match_factor": 1.0,
                "duration_factor": factor if kind == "click" else 1.0,
            }
        )
    return rows


def share_of_hash(impression_id: int | str) -> float:
    """A number from 0 to 1 that the id alone decides: the first 8 hex digits of its MD5."""
    return int(hashlib.md5(str(impression_id).encode()).hexdigest()[:8], 16) / 16**8


def negatives(world: World, *, settings: NegativeSettings, days: Days) -> list[Row]:
    """Rows of `hard_negatives` of those impression days."""
    engaged = defaultdict(list)
    for engagement, impression in engagements_in_time(world):
        engaged[impression["impression_id"]].append(engagement["dt"])
    groups = defaultdict(list)
    for row in first_deliveries(world.impressions, key="impression_id"):
        arrivals = engaged[row["impression_id"]]
        in_range = days.first <= row["impression_day"] <= days.last
        sampled = share_of_hash(row["impression_id"]) < settings.sample_rate
        if in_range and sampled and all(arrival > row["dt"] for arrival in arrivals):
            groups[row["user_id"], row["impression_day"], row["dt"]].append(
                {**of_impression(row), "engaged_dt": min(arrivals, default=None)}
            )
    return [
        row
        for group in groups.values()
        for row in sorted(group, key=lambda r: share_of_hash(r["impression_id"]))[
            : settings.max_per_user_day
        ]
    ]
