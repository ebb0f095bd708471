"""Every suite belongs to its table, sound rows pass it, and every expectation of it can fail."""

import datetime as dt
import json

import pyarrow as pa
import pytest

from convcg_assets.builds.suite_content import id_columns, load_suite, suite_columns
from convcg_assets.builds.suites import load_gx, to_frame, validate_frame
from convcg_assets.sources.columns import ID_KINDS
from convcg_assets.tables.registry import TABLES, table_schema

DAY = dt.date(2026, 1, 5)
BEFORE, AFTER = DAY - dt.timedelta(days=1), DAY + dt.timedelta(days=1)
NOON = dt.datetime(2026, 1, 5, 12)
HOUR = dt.timedelta(hours=1)
INT_IDS: dict[str, str] = dict.fromkeys(ID_KINDS, "int64")

_SHOWN = {
    "dt": DAY,
    "user_id": 1,
    "pin_id": 2,
    "advertiser_id": 3,
    "impression_ts": NOON,
    "impression_dt": DAY,
    "surface": "homefeed",
}
_COUNTED = {
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
    "impressions": _SHOWN | {"impression_day": DAY, "position": 0},
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
    "weighted_labels": _SHOWN
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
    "hard_negatives": _SHOWN,
    "user_features": _COUNTED | {"account_age_days": 0.0, "days_since_action": 1},
    "pin_features": _COUNTED
    | {
        "age_days": 0.5,
        "price": 1.0,
        "advertiser_num_impressions_30d": 2,
        "advertiser_num_clicks_30d": 2,
        "advertiser_num_conversions_30d": 0.0,
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
        "label_weight": 0.25,
        "maturity": 0.5,
        "maturity_factor": 2.0,
        "weight": 0.5,
        "evidence_dt": BEFORE,
        "seen_before": False,
    },
}
"""A sound row of each table, its own id left out."""

_UNTOUCHED = {
    "touch_type": None,
    "match_level": None,
    "impression_id": None,
    "impression_day": None,
    "touch_pin_id": None,
    "touch_ts": None,
    "credit": None,
}
_NEGATIVE = {"is_negative": True, "task": None, "weight": 1.0, "evidence_dt": None}
_ANY = {"weekday": None, "upload_in_days": None}
_RIPE = {"maturity": 1.0, "maturity_factor": 1.0}
_ENGAGED = {"task": "engagement", "evidence": "click", "touch_type": None, "match_level": None}
ALSO_SOUND = {
    "impressions": [{"surface": "related_pins", "subject_pin_id": 4, "position": None}],
    "conversions": [{"user_id": None, "event_id": None, "value": None}],
    "attributed_conversions": [
        {"status": "no_user", "user_id": None, **_UNTOUCHED},
        {"status": "no_touch", **_UNTOUCHED},
    ],
    "conversion_delay": [
        {"level": "global", "segment": None, "advertiser_id": None, **_ANY},
        {"level": "segment", "segment": "daily", "advertiser_id": None, **_ANY},
        {"num_arrived": 0, "num_until": 0, "own_share": 0.0, "share": 1.0, "share_high": 1.0},
    ],
    "label_maturity": [
        {"num_conversions": 0, "expected_conversions": 0.0, "weighted_conversions": 0.0}
    ],
    "weighted_labels": [{**_ENGAGED, "weight": 0.0, "duration_factor": 0.0}],
    "hard_negatives": [{"engaged_dt": AFTER}],
    "user_features": [{"num_clicks_30d": 1, "days_since_action": None, "account_age_days": None}],
    "pin_features": [{"advertiser_num_impressions_30d": None, "price": None}],
    "training_examples": [
        {**_NEGATIVE, **_RIPE},
        {"split": "holdout"},
        {"task": "engagement", **_RIPE},
    ],
}
FAULTS: dict[str, dict[str, dict]] = {
    "impressions": {
        "no impression belongs to a day after it arrived": {"impression_day": AFTER},
        "surfaces are the three known ones": {"surface": "profile"},
        "positions count from 0": {"position": -1},
        "Related Pins impressions name the Pin looked at: without it the model lacks their "
        "context": {"surface": "related_pins"},
        "Search impressions name the query: without it the model lacks their context": {
            "surface": "search"
        },
    },
    "engagements": {
        "engagement types are the three known ones": {"engagement_type": "hover"},
        "durations are not negative": {"duration_s": -0.5},
        "nearly all durations are shorter than a day: longer ones suggest milliseconds": {
            "duration_s": 90_000.0
        },
    },
    "conversions": {
        "event names are the four known ones": {"event_name": "page_visit"},
        "values are not negative": {"value": -1.0},
        "no event id is blank: an advertiser's blank ids would all be one event": {
            "event_id": "  "
        },
    },
    "pins": {"prices are not negative": {"price": -1.0}},
    "users": {},
    "rejected_events": {
        "streams are the five known ones": {"stream": "clicks"},
        "rows count from 1": {"row": 0},
        "no reason is blank": {"reason": " "},
    },
    "attributed_conversions": {
        "statuses are the five known ones": {"status": "maybe"},
        "event names are the four known ones": {"event_name": "page_visit"},
        "an attributed conversion names its user": {"user_id": None},
        "a conversion without a user names none": {"status": "no_user"} | _UNTOUCHED,
        "touch types are the three known ones": {"touch_type": "hover"},
        "match levels are the two known ones": {"match_level": "category"},
        "credit is more than 0 and at most 1": {"credit": 0.0},
        "no conversion is credited to a day after it arrived": {"impression_day": AFTER},
        "no conversion precedes the touch that it is credited to": {"touch_ts": NOON + HOUR},
        "values are not negative": {"value": -1.0},
    },
    "conversion_delay": {
        "levels are the three known ones": {"level": "country"},
        "segments are the five known ones": {"segment": "monthly"},
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
        "tasks are the two known ones": {"task": "sale"},
        "surfaces are the three known ones": {"surface": "profile"},
        "evidence of a conversion is one of the four known events": {"evidence": "click"},
        "evidence of an engagement is one of the three known types": {
            **_ENGAGED,
            "evidence": "lead",
        },
        "no impression arrived before its day": {"impression_dt": BEFORE},
        "a conversion label has a touch type": {"touch_type": None},
        "an engagement label has no touch type": {**_ENGAGED, "touch_type": "click"},
        "touch types are the three known ones": {"touch_type": "hover"},
        "match levels are the two known ones": {"match_level": "category"},
        "event weights are not negative": {"event_weight": -1.0},
        "value factors are more than 0": {"value_factor": 0.0},
        "credit is more than 0 and at most 1 (and what summing shares adds in the last digit)": {
            "credit": 1.001
        },
        "match factors lie in 0 to 1": {"match_factor": 1.5},
        "duration factors lie in 0 to 1": {"duration_factor": 1.5},
        "weights are not negative": {"weight": -1.0},
    },
    "hard_negatives": {
        "surfaces are the three known ones": {"surface": "profile"},
        "no impression arrived before its day": {"impression_dt": BEFORE},
        "nothing had engaged with a hard negative by the end of the day on which it arrived": {
            "engaged_dt": DAY
        },
    },
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
    "training_examples": {
        "splits are train and holdout": {"split": "test"},
        "surfaces are the three known ones": {"surface": "profile"},
        "every example's impression was shown before T": {"example_day": DAY},
        "everything an example rests on arrived before T": {"evidence_dt": DAY},
        "tasks are the two known ones": {"task": "sale"},
        "a positive has a task": {"task": None},
        "a hard negative has no task": {**_NEGATIVE, "task": "conversion"},
        "a positive has the arrival day of its evidence": {"evidence_dt": None},
        "hard negatives are for training alone": {**_NEGATIVE, "split": "holdout"},
        "touch types are the three known ones": {"touch_type": "hover"},
        "label weights are more than 0": {"label_weight": 0.0},
        "maturities lie in 0 to 1": {"maturity": 1.5},
        "maturity factors are 1 or more": {"maturity_factor": 0.5},
        "what is no conversion is ripe": {"task": "engagement"},
        "weights are more than 0": {"weight": 0.0},
        "a hard negative weighs 1": {**_NEGATIVE, "weight": 2.0},
    },
}
"""What breaks each expectation; `planted_faults` adds nulls, negative counts and repeated rows."""
RARELY = {"some conversions name their user: the others cannot be attributed"}
"""Fails only if nearly all rows break it; see `test_shares`."""


def planted_faults(table: str) -> dict[str, dict]:
    """For each expectation a change of a sound row that breaks it; none for repeated rows."""
    faults = dict(FAULTS[table])
    for expectation in load_suite(table)["expectations"]:
        what, kwargs = expectation["description"], expectation["kwargs"]
        if expectation["type"] == "expect_column_values_to_not_be_null":
            faults.setdefault(what, {kwargs["column"]: None})
        elif expectation["type"] == "expect_column_values_to_be_null":
            values = {"status": "no_touch"} | _UNTOUCHED
            values[kwargs["column"]] = SOUND[table].get(kwargs["column"])
            faults.setdefault(what, values)
        elif kwargs.get("column", "").startswith(("num_", "conversion_value")):
            faults.setdefault(what, {kwargs["column"]: -1})
        elif expectation["type"] == "expect_compound_columns_to_be_unique":
            faults[what] = {}
    return faults


def frame_of(table: str, rows: list[dict]):
    schema = table_schema(table, INT_IDS).to_pyarrow()
    return to_frame(pa.Table.from_pylist(rows, schema=schema).select(suite_columns(table)))


@pytest.mark.parametrize("table", TABLES)
def test_every_expectation_can_fail_and_names_the_row(table):
    key = id_columns(table)[-1]
    if key == "evidence_id":
        key = "impression_id"
    if table == "attributed_conversions":
        key = "conversion_id"
    faults = planted_faults(table)
    sound = [SOUND[table] | change for change in ({}, *ALSO_SOUND.get(table, []))]
    # Enough sound rows that what must hold for nearly all rows depends on the planted one alone.
    rows = [row | {key: 1000 + i} for i, row in enumerate(sound * 10)]
    planted = {}
    for number, (what, change) in enumerate(faults.items(), 1):
        row = SOUND[table] | {key: number} | change
        planted[what] = row[key]
        rows += [row] if change else [row, row]
    result = validate_frame(frame_of(table, rows), suite=table, id_columns=["dt", key])
    failed = {o.expectation: {row[key] for row in o.offending} for o in result.failures()}
    assert set(failed) == {o.expectation for o in result.outcomes} - RARELY
    for what, bad in planted.items():
        if what not in RARELY:
            assert bad in failed[what], what
    assert not {i for bad in failed.values() for i in bad if i and i >= 1000}
    passed = validate_frame(frame_of(table, rows[: len(sound) * 10]), suite=table, id_columns=[key])
    assert passed.success, str(passed)


def test_shares():
    rows = [SOUND["conversions"] | {"conversion_id": i, "user_id": None} for i in range(100)]
    nameless = validate_frame(
        frame_of("conversions", rows), suite="conversions", id_columns=["conversion_id"]
    )
    assert [o.expectation for o in nameless.failures("warning")] == list(RARELY)
    assert not nameless.failures("critical")


@pytest.mark.parametrize("table", TABLES)
def test_suite_is_what_gx_writes_of_it(table):
    suite = load_suite(table)
    written = load_gx().ExpectationSuite(**json.loads(json.dumps(suite))).to_json_dict()
    assert written == suite
    assert suite["name"] == table


@pytest.mark.parametrize("table", TABLES)
def test_suite_knows_its_table(table):
    suite = load_suite(table)
    assert set(suite_columns(table)) <= set(TABLES[table].columns)
    assert id_columns(table)[0] == "dt"
    described = [e["description"] for e in suite["expectations"]]
    assert len(set(described)) == len(described)
    for expectation in suite["expectations"]:
        assert expectation["severity"] in ("critical", "warning")
        if expectation["type"] == "expect_compound_columns_to_be_unique":
            # Large days are split by this column: equal rows must stay together.
            assert id_columns(table)[-1] in expectation["kwargs"]["column_list"]


@pytest.mark.parametrize("table", TABLES)
def test_an_empty_table_passes(table):
    assert validate_frame(frame_of(table, []), suite=table, id_columns=["dt"]).success
