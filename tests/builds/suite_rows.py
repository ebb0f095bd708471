"""A sound row of every table, and what breaks each expectation of its suite."""

import datetime as dt

DAY = dt.date(2026, 1, 5)
BEFORE, AFTER = DAY - dt.timedelta(days=1), DAY + dt.timedelta(days=1)
NOON = dt.datetime(2026, 1, 5, 12)
HOUR = dt.timedelta(hours=1)

SHOWN = {
    "dt": DAY,
    "user_id": 1,
    "pin_id": 2,
    "advertiser_id": 3,
    "impression_ts": NOON,
    "impression_dt": DAY,
    "surface": "homefeed",
}
COUNTED_ONCE = {
    "num_impressions": 2,
    "num_clicks": 2,
    "num_repins": 0,
    "duration_s": 8.0,
    "num_durations": 1,
}
COUNTED = {
    "dt": DAY,
    "num_impressions_7d": 1,
    "num_impressions_30d": 2,
    "num_clicks_7d": 1,
    "num_clicks_30d": 2,
    "num_repins_30d": 0,
    "num_conversions_30d": 0,
    "conversion_value_30d": 0.0,
    "mean_click_duration_s": 5.0,
}
SOUND = {
    "impressions": SHOWN | {"impression_day": DAY, "position": 0},
    "engagements": {
        "dt": DAY,
        "user_id": 1,
        "pin_id": 2,
        "engagement_ts": NOON,
        "engagement_type": "click",
        "duration_s": 0.0,
    },
    "conversions": {
        "dt": DAY,
        "user_id": 1,
        "event_name": "checkout",
        "event_id": "e",
        "event_ts": NOON,
        "received_ts": NOON,
        "value": 0.0,
    },
    "pins": {"dt": DAY, "price": 0.0},
    "users": {"dt": DAY},
    "conversion_adjustments": {
        "dt": DAY,
        "adjustment_type": "restatement",
        "event_id": "e",
        "adjustment_ts": NOON,
        "received_ts": NOON,
        "value": 9.0,
    },
    "user_merges": {
        "dt": DAY,
        "from_user_id": 1,
        "to_user_id": 2,
        "merged_ts": NOON,
        "received_ts": NOON,
    },
    "user_persons": {"dt": DAY, "user_id": 2, "person_id": 1},
    "rejected_events": {
        "dt": DAY,
        "stream": "pins",
        "file": "part-0.csv",
        "reason": "null pin_id",
        "raw": "{}",
    },
    "attributed_conversions": {
        "dt": DAY,
        "event_name": "checkout",
        "user_id": 1,
        "event_ts": NOON,
        "received_ts": NOON,
        "value": 9.0,
        "status": "attributed",
        "touch_type": "click",
        "match_level": "pin",
        "impression_id": 1,
        "impression_day": DAY,
        "touch_pin_id": 2,
        "touch_ts": NOON,
        "credit": 1.0,
    },
    "adjusted_conversions": {
        "dt": DAY,
        "adjustment_dt": BEFORE,
        "adjustment_type": "restatement",
        "adjustment_ts": NOON,
        "event_id": "e",
        "status": "applied",
        "conversion_dt": BEFORE,
        "conversion_id": 7,
        "event_name": "checkout",
        "value": 9.0,
        "impression_id": 1,
        "impression_day": BEFORE,
        "credit": 1.0,
    },
    "conversion_delay": {
        "dt": DAY,
        "level": "advertiser",
        "segment": "weekly",
        "advertiser_id": 3,
        "weekday": 6,
        "upload_in_days": 0,
        "num_arrived": 1,
        "num_until": 2,
        "num_conversions": 3,
        "observed_days": 37,
        "own_share": 0.5,
        "share": 0.6,
        "share_low": 0.1,
        "share_high": 0.9,
    },
    "label_maturity": {
        "dt": DAY,
        "impression_day": BEFORE,
        "num_conversions": 2,
        "maturity": 0.5,
        "expected_conversions": 4.0,
        "weighted_conversions": 3.0,
    },
    "linked_engagements": {
        "dt": DAY,
        "engagement_id": 5,
        "engagement_type": "click",
        "engagement_ts": NOON,
        "duration_s": 0.0,
        "impression_id": 7,
        "impression_day": DAY,
        "user_id": 1,
        "pin_id": 2,
    },
    "weighted_labels": SHOWN
    | {
        "task": "conversion",
        "evidence": "checkout",
        "evidence_id": "7",
        "evidence_dt": DAY,
        "evidence_ts": NOON,
        "touch_type": "view",
        "match_level": "pin",
        "event_weight": 1.0,
        "value_factor": 1.0,
        "credit": 1.0,
        "match_factor": 1.0,
        "duration_factor": 1.0,
        "weight": 1.0,
    },
    "hard_negatives": SHOWN,
    "daily_user_counts": {"dt": DAY, **COUNTED_ONCE},
    "daily_pin_counts": {"dt": DAY, **COUNTED_ONCE},
    "daily_actions": {
        "dt": DAY,
        "user_id": 1,
        "rank": 0,
        "pin_id": 2,
        "action": "click",
        "action_ts": NOON,
    },
    "user_features": COUNTED | {"account_age_days": 0.0, "days_since_action": 1},
    "pin_features": COUNTED
    | {
        "age_days": 0.5,
        "price": 1.0,
        "advertiser_num_impressions_30d": 2,
        "advertiser_num_clicks_30d": 2,
        "advertiser_num_conversions_30d": 0.0,
    },
    "example_features": {
        "dt": DAY,
        "user_id": 1,
        "pin_id": 2,
        "known_dt": DAY,
        "seen_before": False,
    },
    "training_examples": {
        "dt": DAY,
        "split": "train",
        "example_day": BEFORE,
        "user_id": 1,
        "pin_id": 2,
        "surface": "search",
        "task": "conversion",
        "is_negative": False,
        "touch_type": "click",
        "match_level": "advertiser",
        "match_factor": 0.25,
        "label_weight": 0.25,
        "maturity": 0.5,
        "maturity_factor": 2.0,
        "weight": 0.5,
        "evidence_dt": BEFORE,
        "seen_before": False,
    },
}
"""A sound row of each table, its own id left out."""

UNTOUCHED = {
    "touch_type": None,
    "match_level": None,
    "impression_id": None,
    "impression_day": None,
    "touch_pin_id": None,
    "touch_ts": None,
    "credit": None,
}
NEGATIVE = {"is_negative": True, "task": None, "weight": 1.0, "evidence_dt": None}
UNAPPLIED = {"value": None, "impression_id": None, "impression_day": None, "credit": None}
RETRACTED = {"adjustment_type": "retraction", "value": None}
OF_NOTHING = {"status": "unmatched", "conversion_id": None, "conversion_dt": None}
ANY = {"weekday": None, "upload_in_days": None}
RIPE = {"maturity": 1.0, "maturity_factor": 1.0}
ENGAGED = {"task": "engagement", "evidence": "click", "touch_type": None, "match_level": None}
ALSO_SOUND = {
    "impressions": [{"surface": "related_pins", "subject_pin_id": 4, "position": None}],
    "conversions": [{"user_id": None, "event_id": None, "value": None}],
    "attributed_conversions": [
        {"status": "no_user", "user_id": None, **UNTOUCHED},
        {"status": "no_touch", **UNTOUCHED},
    ],
    "conversion_adjustments": [RETRACTED],
    "adjusted_conversions": [
        RETRACTED,
        {"status": "no_change", **UNAPPLIED},
        {**OF_NOTHING, **UNAPPLIED, "event_name": None},
    ],
    "conversion_delay": [
        {"level": "global", "segment": None, "advertiser_id": None, **ANY},
        {"level": "segment", "segment": "daily", "advertiser_id": None, **ANY},
        {"num_arrived": 0, "num_until": 0, "own_share": 0.0, "share": 1.0, "share_high": 1.0},
    ],
    "label_maturity": [
        {"num_conversions": 0, "expected_conversions": 0.0, "weighted_conversions": 0.0}
    ],
    "linked_engagements": [{"impression_day": BEFORE, "duration_s": None}],
    "weighted_labels": [
        {**ENGAGED, "weight": 0.0, "duration_factor": 0.0},
        {"since_dt": DAY, "until_dt": AFTER},
    ],
    "hard_negatives": [{"engaged_dt": AFTER}],
    "user_features": [{"num_clicks_30d": 1, "days_since_action": None, "account_age_days": None}],
    "pin_features": [{"advertiser_num_impressions_30d": None, "price": None}],
    "training_examples": [
        {**NEGATIVE, **RIPE},
        {"split": "holdout"},
        {"task": "engagement", **RIPE},
    ],
}
DAILY_FAULTS = {
    "durations are not negative": {"duration_s": -1.0},
    "no more durations than clicks": {"num_durations": 3},
}
FAULTS: dict[str, dict[str, dict]] = {
    "impressions": {
        "no impression belongs to a day after it arrived": {"impression_day": AFTER},
        "positions count from 0": {"position": -1},
        "Related Pins impressions name the Pin looked at: without it the model lacks their "
        "context": {"surface": "related_pins"},
        "Search impressions name the query: without it the model lacks their context": {
            "surface": "search"
        },
    },
    "engagements": {
        "durations are not negative": {"duration_s": -0.5},
        "nearly all durations are shorter than a day: longer ones suggest milliseconds": {
            "duration_s": 90_000.0
        },
    },
    "conversions": {
        "values are not negative": {"value": -1.0},
        "no event id is blank: an advertiser's blank ids would all be one event": {
            "event_id": "  "
        },
    },
    "pins": {"prices are not negative": {"price": -1.0}},
    "users": {},
    "conversion_adjustments": {
        "values are not negative": {"value": -1.0},
        "a restatement has a value": {"value": None},
        "a retraction has no value": {"adjustment_type": "retraction"},
        "no event id is blank: it would be of every conversion whose id is": {"event_id": " "},
    },
    "user_merges": {},
    "user_persons": {"a person is called by the least of its ids": {"person_id": 3}},
    "rejected_events": {
        "rows count from 1": {"row": 0},
        "no reason is blank": {"reason": " "},
    },
    "attributed_conversions": {
        "an attributed conversion names its user": {"user_id": None},
        "a conversion without a user names none": {"status": "no_user"} | UNTOUCHED,
        "credit is more than 0 and at most 1": {"credit": 0.0},
        "no conversion is credited to a day after it arrived": {"impression_day": AFTER},
        "no conversion precedes the touch that it is credited to": {"touch_ts": NOON + HOUR},
        "values are not negative": {"value": -1.0},
    },
    "adjusted_conversions": {
        "what is unmatched is of no conversion": OF_NOTHING | UNAPPLIED | {"conversion_id": 7},
        "what is matched is of a conversion": {"conversion_id": None},
        "what is matched has the arrival day of its conversion": {"conversion_dt": None},
        "what is not applied belongs to no label day": {"status": "no_change", **UNAPPLIED}
        | {"impression_day": BEFORE},
        "what is not applied gives no value": {"status": "no_change", **UNAPPLIED, "value": 9.0},
        "nothing is known before the adjustment arrived": {"adjustment_dt": AFTER},
        "nothing is known before the conversion arrived": {"conversion_dt": AFTER},
        "credit is more than 0 and at most 1": {"credit": 0.0},
        "values are not negative": {"value": -1.0},
    },
    "conversion_delay": {
        "weekdays are 0 to 6": {"weekday": 7},
        "a week's next upload is 0 to 6 days away": {"upload_in_days": 7},
        "a curve rests on a conversion at least": {"num_conversions": 0},
        "what arrived within k days holds what arrived after k": {"num_arrived": 3},
        "all evidence holds what arrived within k days": {"num_until": 4},
        "own shares lie in 0 to 1": {"own_share": 1.5},
        "shares lie in 0 to 1": {"share": 1.5, "share_high": 1.6},
        "no share is below its interval": {"share_low": 0.7},
        "no share is above its interval": {"share_high": 0.5},
    },
    "label_maturity": {
        "every label day lies before T": {"impression_day": DAY},
        "maturities lie in 0 to 1": {"maturity": 1.5},
        "no fewer are expected than have arrived": {"expected_conversions": 1.0},
        "no weight is less than 1": {"weighted_conversions": 1.0},
    },
    "weighted_labels": {
        "no impression arrived before its day": {"impression_dt": BEFORE},
        "a conversion label has a touch type": {"touch_type": None},
        "an engagement label has no touch type": {**ENGAGED, "touch_type": "click"},
        "event weights are not negative": {"event_weight": -1.0},
        "a label ends after the day on which its evidence arrived": {"until_dt": DAY},
        "no conversion is restated before it arrived": {"since_dt": BEFORE},
        "a restated label ends after it began": {"since_dt": AFTER, "until_dt": AFTER},
        "value factors are more than 0": {"value_factor": 0.0},
        "credit is more than 0 and at most 1 (and what summing shares adds in the last digit)": {
            "credit": 1.001
        },
        "match factors lie in 0 to 1": {"match_factor": 1.5},
        "duration factors lie in 0 to 1": {"duration_factor": 1.5},
        "weights are not negative": {"weight": -1.0},
    },
    "linked_engagements": {
        "no engagement arrived before the day of its impression": {"impression_day": AFTER},
        "durations are not negative": {"duration_s": -1.0},
    },
    "hard_negatives": {
        "no impression arrived before its day": {"impression_dt": BEFORE},
        "nothing had engaged with a hard negative by the end of the day on which it arrived": {
            "engaged_dt": DAY
        },
    },
    "daily_user_counts": DAILY_FAULTS,
    "daily_pin_counts": DAILY_FAULTS,
    "daily_actions": {"ranks count from 0": {"rank": -1}},
    "user_features": {
        "impressions of 30 days hold those of 7": {"num_impressions_7d": 3},
        "clicks of 30 days hold those of 7": {"num_clicks_7d": 3},
        "mean durations are not negative": {"mean_click_duration_s": -1.0},
        "without clicks there is no mean duration": {"num_clicks_7d": 0, "num_clicks_30d": 0},
        "the newest action lies 1 to 30 days before T": {"days_since_action": 0},
        "no account is younger than clocks may be off": {"account_age_days": -1.5},
        "accounts are younger than 30 years: older ones suggest a wrong time unit": {
            "account_age_days": 20_000.0
        },
    },
    "pin_features": {
        "impressions of 30 days hold those of 7": {"num_impressions_7d": 3},
        "clicks of 30 days hold those of 7": {"num_clicks_7d": 3},
        "mean durations are not negative": {"mean_click_duration_s": -1.0},
        "without clicks there is no mean duration": {"num_clicks_7d": 0, "num_clicks_30d": 0},
        "prices are not negative": {"price": -1.0},
        "no Pin is younger than clocks may be off": {"age_days": -1.5},
        "Pins are younger than 30 years: older ones suggest a wrong time unit": {
            "age_days": 20_000.0
        },
        "an advertiser's impressions hold those of its Pin": {"advertiser_num_impressions_30d": 1},
        "an advertiser's clicks hold those of its Pin": {"advertiser_num_clicks_30d": 1},
        "advertiser_num_conversions_30d is not negative": {"advertiser_num_conversions_30d": -1.0},
    },
    "example_features": {"nothing was known of an impression before its day": {"known_dt": BEFORE}},
    "training_examples": {
        "every example's impression was shown before T": {"example_day": DAY},
        "everything an example rests on arrived before T": {"evidence_dt": DAY},
        "a positive has a task": {"task": None},
        "a hard negative has no task": {**NEGATIVE, "task": "conversion"},
        "a positive has the arrival day of its evidence": {"evidence_dt": None},
        "hard negatives are for training alone": {**NEGATIVE, "split": "holdout"},
        "label weights are more than 0": {"label_weight": 0.0},
        "match factors are more than 0 and at most 1": {"match_factor": 0.0},
        "maturities lie in 0 to 1": {"maturity": 1.5},
        "maturity factors are 1 or more": {"maturity_factor": 0.5},
        "what is no conversion is ripe": {"task": "engagement"},
        "weights are more than 0": {"weight": 0.0},
        "a hard negative weighs 1": {**NEGATIVE, "weight": 2.0},
    },
}
"""What breaks each expectation; `planted_faults` adds nulls, negative counts and repeated rows."""
RARELY = {"some conversions name their user: the others cannot be attributed"}
"""Fails only if nearly all rows break it; see `test_shares`."""
