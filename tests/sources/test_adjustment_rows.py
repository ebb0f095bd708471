"""Retractions and restatements as logged: the contract, and those among the conversions' rows."""

import datetime as dt

import pytest

from convcg_assets.sources.columns import ADJUSTMENTS
from convcg_assets.sources.hints import advise
from convcg_assets.sources.source import Source

from .contract_rows import DAY

RULES = [
    ({"adjustment_id": ""}, "malformed adjustment_id: empty text"),
    ({"adjustment_type": None}, "null adjustment_type"),
    ({"adjustment_type": "refund"}, "unknown event"),
    ({"event_id": None}, "null event_id"),
    ({"event_id": ""}, "malformed event_id: empty text"),
    ({"event_name": "purchase"}, "unknown event_name"),
    ({"adjustment_ts": None}, "null adjustment_ts"),
    ({"adjustment_ts": "2026-01-02 11:00:01"}, "adjustment_ts after received_ts"),
    ({"received_ts": "2026-01-04"}, "received_ts outside its log's day"),
    ({"value": "-1"}, "negative value"),
    ({"value": "much"}, "malformed value: not a number"),
    ({"value": None}, "null value of a restatement"),
]


@pytest.mark.parametrize(("change", "reason"), RULES)
def test_rules(judge, change, reason):
    valid, rejected = judge(ADJUSTMENTS, change)
    assert [row["reason"] for row in rejected] == [reason]
    assert valid == []


def test_what_is_logged_beside_a_retraction_is_not_its_value(judge):
    changes = [{"adjustment_id": f"a{i}", "value": v} for i, v in enumerate(("-50", "much", None))]
    valid, rejected = judge(ADJUSTMENTS, *({"adjustment_type": "retraction"} | c for c in changes))
    assert [row["value"] for row in valid] == [None] * 3
    assert rejected == []


def test_what_may_be_absent(judge):
    given = {"columns": dict.fromkeys(("adjustment_id", "received_ts", "value"))}
    streams = {"impressions": {}, "conversions": {}, ADJUSTMENTS: given}
    change = {"adjustment_type": "retraction", "adjustment_ts": "2025-12-01"}
    (row,), rejected = judge(ADJUSTMENTS, change, streams=streams)
    assert (row["received_ts"], row["advertiser_id"]) == (dt.datetime(2026, 1, 2), None)
    assert len(row["adjustment_id"]) == 32
    assert rejected == []


ORDERS = """type,at,order,item,brand,amount
purchase,2026-01-02 10:00,o1,7,3,50
purchase,2026-01-02 10:00,o1,8,3,20
refund,2026-01-02 12:00,o1,7,3,-50
price_change,2026-01-02 13:00,o1,8,3,15
price_change,2026-01-02 13:00,o2,8,3,-5
wish,2026-01-02 13:00,o2,8,3,
gift,2026-01-02 13:00,o3,8,3,
"""
AMONG_CONVERSIONS = {
    "path": "orders",
    "columns": {
        "event_name": "type",
        "event_ts": "at",
        "event_id": ["order", "item"],
        "advertiser_id": "brand",
        "pin_id": "item",
        "user_id": None,
        "value": "amount",
    },
    "events": {
        "purchase": "checkout",
        "refund": "retraction",
        "price_change": "restatement",
        "wish": None,
    },
}


def test_rows_of_the_conversions_log(land, source, outcome):
    land("orders", ORDERS)
    given: Source = source(streams={"impressions": {}, "conversions": AMONG_CONVERSIONS})
    bought, refused = outcome(given, "conversions")
    assert [(row["event_id"], row["value"]) for row in bought] == [("o1:7", 50.0), ("o1:8", 20.0)]
    assert [(row["row"], row["reason"]) for row in refused] == [(7, "unknown event")]
    said, refused = outcome(given, ADJUSTMENTS)
    names = ("adjustment_type", "advertiser_id", "event_name", "event_id", "value")
    assert sorted(tuple(row[name] for name in names) for row in said) == [
        ("restatement", "3", None, "o1:8", 15.0),
        ("retraction", "3", None, "o1:7", None),
    ]
    assert {row["adjustment_ts"].hour for row in said} == {12, 13}
    assert [(row["row"], row["reason"]) for row in refused] == [(5, "negative value")]


def test_only_rows_that_where_selects(land, source, outcome):
    land("orders", ORDERS)
    conversions = AMONG_CONVERSIONS | {"where": {"type": ["purchase", "refund"]}}
    said, _ = outcome(source(streams={"impressions": {}, "conversions": conversions}), ADJUSTMENTS)
    assert [row["adjustment_type"] for row in said] == ["retraction"]


def test_mistakes(source):
    both = {"impressions": {}, "conversions": AMONG_CONVERSIONS, ADJUSTMENTS: {}}
    with pytest.raises(ValueError, match="maps refund, price_change to adjustments, and there is"):
        source(streams=both)
    constant = AMONG_CONVERSIONS | {"columns": {"event_name": {"constant": "refund"}}}
    with pytest.raises(ValueError, match=r"map columns\.event_name to a column"):
        source(streams={"impressions": {}, "conversions": constant})
    with pytest.raises(ValueError, match="adjust conversions: add `conversions:`"):
        source(streams={"impressions": {}, ADJUSTMENTS: {}})
    wrong = AMONG_CONVERSIONS | {"events": {"refund": "retract"}}
    with pytest.raises(ValueError, match="did you mean 'retraction'"):
        source(streams={"impressions": {}, "conversions": wrong})


def test_a_negative_value_is_told_what_it_is(source):
    said = advise("negative value", [(DAY, {"value": -5})], stream="conversions", source=source())
    assert said is not None
    assert "retraction or restatement in streams.conversions.events" in said
    said = advise("null value of a restatement", [], stream=ADJUSTMENTS, source=source())
    assert said is not None
    assert "is a retraction" in said
    said = advise("negative value", [], stream=ADJUSTMENTS, source=source())
    assert said is not None
    assert "not the difference" in said
