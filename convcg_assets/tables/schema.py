"""The one home of table and column names: of every table its columns, types and meaning.

Types are Ibis type strings; an id's type is chosen by the source (64-bit integer or string) and
stands here as `id:<kind>`. All timestamps are UTC without a zone. What a column may hold (bounds,
uniqueness) belongs to `expectations/`, not here.
"""

from collections.abc import Mapping

import ibis

ID_KINDS = ("impression_id", "engagement_id", "conversion_id", "user_id", "pin_id", "advertiser_id")
"""Ids whose type (int64 or string) the source chooses."""

SURFACES = ("homefeed", "related_pins", "search")
ENGAGEMENT_TYPES = ("click", "repin", "close_up")
CONVERSION_EVENTS = ("checkout", "add_to_cart", "signup", "lead")
TOUCH_TYPES = ("click", "engagement", "view")
MATCH_LEVELS = ("pin", "advertiser")
TASKS = ("conversion", "engagement")

Columns = dict[str, tuple[str, str]]

IMPRESSIONS: Columns = {
    "dt": ("date", "arrival day: the day's log that held the row"),
    "impression_id": ("id:impression_id", "one showing of one Pin to one user"),
    "user_id": ("id:user_id", "who saw it"),
    "pin_id": ("id:pin_id", "what was shown"),
    "advertiser_id": (
        "id:advertiser_id",
        "whose Pin it is, as logged; null where the log is silent",
    ),
    "impression_ts": ("timestamp(6)", "when it was shown"),
    "impression_day": ("date", "day of impression_ts, but never after the arrival day"),
    "surface": ("string", "homefeed, related_pins or search"),
    "subject_pin_id": ("id:pin_id", "Related Pins: the Pin that was looked at"),
    "query": ("string", "Search: what was searched for"),
    "position": ("int64", "rank in the list shown, from 0"),
}
ENGAGEMENTS: Columns = {
    "dt": ("date", "arrival day"),
    "engagement_id": ("id:engagement_id", "one onsite action on an ad"),
    "impression_id": ("id:impression_id", "the impression acted on; null where the log is silent"),
    "user_id": ("id:user_id", "who acted"),
    "pin_id": ("id:pin_id", "on which Pin"),
    "engagement_ts": ("timestamp(6)", "when"),
    "engagement_type": ("string", "click, repin or close_up"),
    "duration_s": ("float64", "click: seconds until the person came back; null where not logged"),
}
CONVERSIONS: Columns = {
    "dt": ("date", "arrival day"),
    "conversion_id": ("id:conversion_id", "one report of one conversion"),
    "user_id": ("id:user_id", "who bought; null where the advertiser could not say"),
    "advertiser_id": ("id:advertiser_id", "who reported it; null where the log has no advertisers"),
    "pin_id": ("id:pin_id", "the Pin that was bought, if the report names one"),
    "event_name": ("string", "checkout, add_to_cart, signup or lead"),
    "event_id": ("string", "the advertiser's id of the event, the same from every channel"),
    "event_ts": ("timestamp(6)", "when it happened"),
    "received_ts": ("timestamp(6)", "when the report was received"),
    "value": ("float64", "in one currency; null where not reported"),
}
PINS: Columns = {
    "dt": ("date", "snapshot day"),
    "pin_id": ("id:pin_id", "one Pin as known that day"),
    "advertiser_id": ("id:advertiser_id", "whose Pin it is"),
    "category": ("string", "product category"),
    "price": ("float64", "in the currency of the conversions' values"),
    "created_ts": ("timestamp(6)", "when the Pin was created"),
    "title": ("string", "for people to read"),
    "content": ("array<float64>", "content embedding, one length for all Pins of a source"),
}
USERS: Columns = {
    "dt": ("date", "snapshot day"),
    "user_id": ("id:user_id", "one user as known that day"),
    "country": ("string", "country code"),
    "age_bucket": ("string", "age range"),
    "gender": ("string", "as stated"),
    "created_ts": ("timestamp(6)", "when the account was created"),
}
REJECTED_EVENTS: Columns = {
    "dt": ("date", "arrival day"),
    "stream": ("string", "impressions, engagements, conversions, pins or users"),
    "file": ("string", "file name within the day's folder"),
    "row": ("int64", "row of the file, from 1, a header not counted"),
    "reason": ("string", "the first rule of the contract that the row breaks"),
    "raw": ("string", "the row as JSON"),
}
ATTRIBUTED_CONVERSIONS: Columns = {
    "dt": ("date", "arrival day of the conversion"),
    "conversion_id": ("id:conversion_id", "the conversion"),
    "event_name": ("string", "checkout, add_to_cart, signup or lead"),
    "user_id": ("id:user_id", "who bought"),
    "advertiser_id": ("id:advertiser_id", "who reported it"),
    "pin_id": ("id:pin_id", "the Pin that the report names"),
    "event_ts": ("timestamp(6)", "when it happened"),
    "received_ts": ("timestamp(6)", "when it was received"),
    "value": ("float64", "as reported"),
    "status": ("string", "attributed, no_user, no_touch, past_horizon or duplicate"),
    "touch_type": (
        "string",
        "click, engagement or view; null unless attributed, as all that follow",
    ),
    "match_level": ("string", "pin or advertiser"),
    "impression_id": ("id:impression_id", "the impression that was touched"),
    "impression_day": ("date", "the day of that impression: the label day that this belongs to"),
    "touch_pin_id": ("id:pin_id", "the Pin that was touched"),
    "touch_ts": ("timestamp(6)", "when it was touched"),
    "credit": ("float64", "share of the conversion given to this touch; sums to 1 per conversion"),
}
CONVERSION_DELAY: Columns = {
    "dt": ("date", "day T: everything here arrived before it"),
    "level": ("string", "global, segment or advertiser"),
    "segment": (
        "string",
        "how the advertisers report: at_once, daily, weekly, slower, or silent of late; "
        "null for global",
    ),
    "advertiser_id": ("id:advertiser_id", "whose curve; null unless level is advertiser"),
    "weekday": (
        "int64",
        "weekday of the impression day (0 Monday) that a weekly reporter's curve is for; "
        "null for all others: any weekday",
    ),
    "upload_in_days": (
        "int64",
        "weekly reporters: days from the impression day to the next upload; null for all others",
    ),
    "delay_days": ("int64", "k, days from the impression day to the arrival day, 0 to H"),
    "num_arrived": ("int64", "evidence that arrived after exactly k days"),
    "num_until": (
        "int64",
        "evidence that arrived within k days, of impression days old enough to show k",
    ),
    "num_conversions": ("int64", "all evidence that the group's curve rests on"),
    "observed_days": (
        "int64",
        "longest delay that the group can have shown, at most H; beyond it the curve is its "
        "parent's, and the global one 1: its tail is unknown",
    ),
    "own_share": ("float64", "share arrived within k days, by the group's own evidence"),
    "share": ("float64", "the same, pooled with the level above"),
    "share_low": ("float64", "lower end of its 95 % interval"),
    "share_high": ("float64", "upper end of its 95 % interval"),
}
LABEL_MATURITY: Columns = {
    "dt": ("date", "day T: everything here arrived before it"),
    "impression_day": ("date", "label day D, 1 to H days before T"),
    "age_days": ("int64", "longest delay that D can have shown: T - 1 - D"),
    "num_conversions": ("int64", "evidence of D that had arrived"),
    "maturity": ("float64", "share of D's conversions that had arrived, by the global curve"),
    "expected_conversions": ("float64", "those of the ripe day: num_conversions / maturity"),
    "weighted_conversions": (
        "float64",
        "the sum of the evidence's maturity factors, by advertiser and capped: short of the "
        "expected by advertisers of whom nothing has arrived, and by the cap",
    ),
}
WEIGHTED_LABELS: Columns = {
    "dt": ("date", "impression day"),
    "impression_id": ("id:impression_id", "the impression that this is a positive of"),
    "user_id": ("id:user_id", "who"),
    "pin_id": ("id:pin_id", "the Pin shown"),
    "advertiser_id": ("id:advertiser_id", "whose Pin"),
    "impression_ts": ("timestamp(6)", "when it was shown"),
    "impression_dt": ("date", "arrival day of the impression"),
    "surface": ("string", "where it was shown"),
    "subject_pin_id": ("id:pin_id", "Related Pins: the Pin looked at"),
    "query": ("string", "Search: what was searched for"),
    "task": ("string", "conversion or engagement"),
    "evidence": ("string", "checkout, add_to_cart, signup, lead, click, repin or close_up"),
    "evidence_id": ("string", "id of the conversion or engagement"),
    "evidence_dt": ("date", "arrival day of the evidence"),
    "evidence_ts": ("timestamp(6)", "when the evidence happened"),
    "touch_type": ("string", "conversion: the type of touch credited"),
    "match_level": ("string", "conversion: pin or advertiser"),
    "event_weight": ("float64", "factor: what this kind of evidence is worth"),
    "value_factor": ("float64", "factor: from the conversion's value; 1 for engagement"),
    "credit": ("float64", "factor: attribution credit; 1 for engagement"),
    "match_factor": ("float64", "factor: 1 for a Pin match, less for an advertiser match"),
    "duration_factor": ("float64", "factor: from the click's duration; 1 for other evidence"),
    "weight": ("float64", "product of the factors"),
}
HARD_NEGATIVES: Columns = {
    "dt": ("date", "impression day"),
    "impression_id": (
        "id:impression_id",
        "an impression that was not engaged with when it arrived",
    ),
    "user_id": ("id:user_id", "who"),
    "pin_id": ("id:pin_id", "the Pin shown"),
    "advertiser_id": ("id:advertiser_id", "whose Pin"),
    "impression_ts": ("timestamp(6)", "when it was shown"),
    "impression_dt": ("date", "arrival day of the impression"),
    "surface": ("string", "where it was shown"),
    "subject_pin_id": ("id:pin_id", "Related Pins: the Pin looked at"),
    "query": ("string", "Search: what was searched for"),
    "engaged_dt": (
        "date",
        "arrival day of a later engagement with it; a negative only before then",
    ),
}
USER_FEATURES: Columns = {
    "dt": ("date", "day T: everything here arrived before it"),
    "user_id": ("id:user_id", "one user"),
    "country": ("string", "from the newest users snapshot before T"),
    "age_bucket": ("string", "from the newest users snapshot before T"),
    "gender": ("string", "from the newest users snapshot before T"),
    "account_age_days": ("float64", "days from account creation to T"),
    "num_impressions_7d": ("int64", "impressions that arrived in the 7 days before T"),
    "num_impressions_30d": ("int64", "impressions that arrived in the 30 days before T"),
    "num_clicks_7d": ("int64", "clicks, 7 days"),
    "num_clicks_30d": ("int64", "clicks, 30 days"),
    "num_repins_30d": ("int64", "repins and close-ups, 30 days"),
    "num_conversions_30d": ("int64", "conversions (duplicates left out), 30 days"),
    "conversion_value_30d": ("float64", "their value; null values count 0"),
    "mean_click_duration_s": ("float64", "mean duration of the 30 days' clicks; null without any"),
    "days_since_action": (
        "int64",
        "days from the newest engagement or conversion to T; null without",
    ),
    "recent_pin_ids": ("array<id:pin_id>", "Pins of the newest actions before T, newest first"),
    "recent_actions": ("array<string>", "what each was: click, repin, close_up, checkout, ..."),
    "recent_age_days": ("array<float64>", "how long before T each was, in days"),
}
PIN_FEATURES: Columns = {
    "dt": ("date", "day T: everything here arrived before it"),
    "pin_id": ("id:pin_id", "one active Pin"),
    "advertiser_id": ("id:advertiser_id", "whose Pin"),
    "category": ("string", "product category"),
    "price": ("float64", "price"),
    "title": ("string", "for people to read"),
    "content": ("array<float64>", "content embedding"),
    "age_days": ("float64", "days from creation (else first sight) to T"),
    "num_impressions_7d": ("int64", "impressions that arrived in the 7 days before T"),
    "num_impressions_30d": ("int64", "impressions, 30 days"),
    "num_clicks_7d": ("int64", "clicks, 7 days"),
    "num_clicks_30d": ("int64", "clicks, 30 days"),
    "num_repins_30d": ("int64", "repins and close-ups, 30 days"),
    "num_conversions_30d": ("float64", "attributed credit that arrived in the 30 days before T"),
    "conversion_value_30d": ("float64", "its value"),
    "mean_click_duration_s": ("float64", "mean duration of the 30 days' clicks; null without any"),
    "advertiser_num_impressions_30d": (
        "int64",
        "impressions of all the advertiser's Pins, 30 days",
    ),
    "advertiser_num_clicks_30d": ("int64", "clicks on all the advertiser's Pins, 30 days"),
    "advertiser_num_conversions_30d": ("float64", "credit of all the advertiser's Pins, 30 days"),
}

_USER_SIDE = ("dt", "user_id")
_PIN_SIDE = ("dt", "pin_id", "advertiser_id", "title", "content")

TRAINING_EXAMPLES: Columns = {
    "dt": ("date", "day T: everything here arrived before it"),
    "split": ("string", "train, or holdout for the last days before T"),
    "example_day": ("date", "impression day D: features are those of D"),
    "impression_id": ("id:impression_id", "the impression"),
    "user_id": ("id:user_id", "who"),
    "pin_id": ("id:pin_id", "the Pin shown"),
    "advertiser_id": ("id:advertiser_id", "whose Pin"),
    "impression_ts": ("timestamp(6)", "when it was shown"),
    "surface": ("string", "where it was shown"),
    "subject_pin_id": ("id:pin_id", "Related Pins: the Pin looked at"),
    "query": ("string", "Search: what was searched for"),
    "task": ("string", "conversion or engagement; null for a hard negative"),
    "is_negative": ("boolean", "a hard negative"),
    "touch_type": ("string", "conversion: the strongest type of touch credited"),
    "label_weight": ("float64", "sum of the evidence's weights; 1 for a hard negative"),
    "maturity": (
        "float64",
        "conversion: share of the advertiser's conversions of such a day that had arrived; 1 else",
    ),
    "maturity_factor": (
        "float64",
        "conversions it stands for: by the maturities of its week, at most w_max; 1 else",
    ),
    "weight": ("float64", "label_weight * maturity_factor"),
    "evidence_dt": ("date", "arrival day of the newest evidence"),
    "seen_before": ("boolean", "the user had an impression of this Pin that arrived before D"),
    **{f"user_{name}": spec for name, spec in USER_FEATURES.items() if name not in _USER_SIDE},
    **{f"pin_{name}": spec for name, spec in PIN_FEATURES.items() if name not in _PIN_SIDE},
}

TABLES: dict[str, Columns] = {
    "impressions": IMPRESSIONS,
    "engagements": ENGAGEMENTS,
    "conversions": CONVERSIONS,
    "pins": PINS,
    "users": USERS,
    "rejected_events": REJECTED_EVENTS,
    "attributed_conversions": ATTRIBUTED_CONVERSIONS,
    "conversion_delay": CONVERSION_DELAY,
    "label_maturity": LABEL_MATURITY,
    "weighted_labels": WEIGHTED_LABELS,
    "hard_negatives": HARD_NEGATIVES,
    "user_features": USER_FEATURES,
    "pin_features": PIN_FEATURES,
    "training_examples": TRAINING_EXAMPLES,
}


def table_schema(table: str, id_types: Mapping[str, str]) -> ibis.Schema:
    """Ibis schema of a table of the lake.

    `id_types` maps an id kind (`ID_KINDS`) to `int64` or `string`; a kind left out is `string`.

    >>> table_schema("users", {"user_id": "int64"})["user_id"]
    Int64(nullable=True)
    """
    types = {}
    for column, (spec, _) in TABLES[table].items():
        for kind in ID_KINDS:
            spec = spec.replace(f"id:{kind}", id_types.get(kind, "string"))
        types[column] = spec
    return ibis.schema(types)
