"""The contract: every rule, its reason, its edges to the second."""

import datetime as dt
import json

import pytest

from convcg_assets.sources.contract import apply_contract, count_rows
from convcg_assets.sources.reading import read_stream
from convcg_assets.tables.registry import table_schema

from .contract_rows import (
    ALL_STREAMS,
    DAY,
    INTS,
    ROWS,
)


@pytest.mark.parametrize("stream", list(ROWS))
def test_columns_are_those_of_the_tables(stream, land, source, con):
    land(stream, json.dumps(ROWS[stream]), name="a.jsonl")
    given = source(streams=ALL_STREAMS)
    raw = read_stream(given, stream, [DAY], con=con)
    valid, rejected = apply_contract(raw, stream=stream, source=given)
    assert valid.schema() == table_schema(stream, given.id_types)
    assert rejected.schema() == table_schema("rejected_events", {})


RULES = [
    ("impressions", {"impression_id": None}, "null impression_id"),
    ("impressions", {"user_id": None}, "null user_id"),
    ("impressions", {"pin_id": ""}, "malformed pin_id: empty text"),
    ("impressions", {"surface": "billboard"}, "unknown surface"),
    ("impressions", {"surface": None}, "null surface"),
    ("impressions", {"position": -1}, "negative position"),
    ("impressions", {"position": "first"}, "malformed position: not an integer"),
    ("impressions", {"impression_ts": None}, "null impression_ts"),
    (
        "impressions",
        {"impression_ts": "2026-02-30"},
        "malformed impression_ts: not an ISO 8601 time",
    ),
    (
        "impressions",
        {"impression_ts": "1767312000"},
        "malformed impression_ts: a number, but time_unit is iso",
    ),
    ("impressions", {"impression_ts": "2026-01-05"}, "impression_ts outside its log's day"),
    ("engagements", {"user_id": None}, "null user_id"),
    ("engagements", {"engagement_type": "swipe"}, "unknown event"),
    ("engagements", {"engagement_type": None}, "null engagement_type"),
    ("engagements", {"duration_s": -0.1}, "negative duration_s"),
    ("engagements", {"duration_s": "NaN"}, "non-finite duration_s"),
    ("engagements", {"duration_s": "long"}, "malformed duration_s: not a number"),
    ("engagements", {"engagement_ts": "2025-12-01"}, "engagement_ts outside its log's day"),
    ("conversions", {"conversion_id": None}, "null conversion_id"),
    ("conversions", {"event_name": "refund"}, "unknown event"),
    ("conversions", {"value": "-inf"}, "non-finite value"),
    ("conversions", {"value": -1}, "negative value"),
    ("conversions", {"value": 1e15}, "too large value: more than 9e14"),
    ("conversions", {"event_ts": None}, "null event_ts"),
    ("conversions", {"received_ts": None}, "null received_ts"),
    ("conversions", {"received_ts": "2026-01-03T09:00Z"}, "received_ts outside its log's day"),
    ("conversions", {"event_ts": "2026-01-02 11:00:01"}, "event_ts after received_ts"),
    ("pins", {"pin_id": None}, "null pin_id"),
    ("pins", {"price": "infinity"}, "non-finite price"),
    ("pins", {"price": 9.01e14}, "too large price: more than 9e14"),
    ("pins", {"created_ts": "yesterday"}, "malformed created_ts: not an ISO 8601 time"),
    ("pins", {"created_ts": "2026-01-04"}, "created_ts after its log's day"),
    ("pins", {"content": [0.1, None]}, "malformed content: not a list of numbers"),
    ("pins", {"content": "[0.1, nan]"}, "malformed content: not a list of numbers"),
    ("pins", {"content": "a b"}, "malformed content: not a list of numbers"),
    ("users", {"user_id": None}, "null user_id"),
]


@pytest.mark.parametrize("stream", list(ROWS))
def test_each_rule_has_its_reason(judge, stream):
    rules = [(change, reason) for of, change, reason in RULES if of == stream]
    valid, rejected = judge(stream, {}, *(change for change, _ in rules))
    assert len(valid) == 1
    assert [(r["dt"], r["stream"], r["row"], r["reason"]) for r in rejected] == [
        (DAY, stream, row, reason) for row, (_, reason) in enumerate(rules, start=2)
    ]
    assert [json.loads(r["raw"]) for r in rejected] == [
        ROWS[stream] | change for change, _ in rules
    ]


MALFORMED_INTEGERS = [
    "12.5",
    "12.0.0",
    "12.",
    ".0",
    "007.0",
    " 12",
    "12 ",
    "1e5",
    "+5",
    "007",
    "-0",
    "0x1F",
    "1_000",
    "x",
    "",
    "٣",
]
MALFORMED_INTEGERS += ["9223372036854775808", "-9223372036854775809", "12\n", "1,2", "NaN"]


def test_malformed_integers(judge):
    changes = [{"user_id": text} for text in MALFORMED_INTEGERS]
    valid, rejected = judge("impressions", *changes, id_types=INTS)
    assert valid == []
    assert {r["reason"] for r in rejected} == {"malformed user_id: not a 64-bit integer"}
    assert len(rejected) == len(MALFORMED_INTEGERS)


def test_all_64_bits_are_integers(judge):
    numbers = [0, -1, 7, 2**63 - 1, -(2**63)]
    changes = [{"impression_id": i, "user_id": str(n)} for i, n in enumerate(numbers)]
    valid, rejected = judge("impressions", *changes, id_types=INTS)
    assert (sorted(r["user_id"] for r in valid), rejected) == (sorted(numbers), [])


def test_text_ids_stay_as_they_are(judge):
    texts = ["007", "7", " 7", "a,b", "ß", 'q"', "NULL", "1e5", "x" * 300]
    valid, rejected = judge("users", *({"user_id": text} for text in texts))
    assert (sorted(r["user_id"] for r in valid), rejected) == (sorted(texts), [])


def test_conversions_need_no_user_and_no_pin(judge):
    valid, rejected = judge("conversions", {"user_id": None, "pin_id": None})
    assert (len(valid), rejected) == (1, [])
    _, rejected = judge("conversions", {"user_id": "x"}, id_types=INTS)
    assert [r["reason"] for r in rejected] == ["malformed user_id: not a 64-bit integer"]


def test_the_first_valid_row_of_an_id_stays(judge):
    valid, rejected = judge(
        "impressions", {"pin_id": None}, {"pin_id": "first"}, {"pin_id": "second"}, {"surface": "x"}
    )
    assert [r["pin_id"] for r in valid] == ["first"]
    assert [(r["row"], r["reason"]) for r in rejected] == [
        (1, "null pin_id"),
        (3, "duplicate impression_id"),
        (4, "unknown surface"),
    ]


def test_the_same_id_on_another_day_is_no_duplicate(land, source, outcome):
    for day in (DAY, DAY + dt.timedelta(days=1)):
        land("pins", '{"pin_id": "p"}', name="a.jsonl", day=day)
    days = [DAY, DAY + dt.timedelta(days=1)]
    valid, rejected = outcome(source(streams=ALL_STREAMS), "pins", days=days)
    assert (len(valid), rejected) == (2, [])


def test_files_are_taken_in_order_of_name(land, source, outcome):
    for name in ("b.jsonl", "a.jsonl"):
        land("pins", json.dumps({"pin_id": "p", "title": name}), name=name)
    valid, rejected = outcome(source(streams=ALL_STREAMS), "pins")
    assert [r["title"] for r in valid] == ["a.jsonl"]
    assert [(r["file"], r["reason"]) for r in rejected] == [("b.jsonl", "duplicate pin_id")]


def test_content_has_the_length_of_the_first_valid_row(judge):
    rows = [{"pin_id": None, "content": [1, 2, 3]}] + [
        {"pin_id": p, "content": c}
        for p, c in (("a", [1, 2]), ("b", "[3 4]"), ("c", [5]), ("d", None))
    ]
    valid, rejected = judge("pins", *rows)
    assert {r["pin_id"]: r["content"] for r in valid} == {
        "a": [1.0, 2.0],
        "b": [3.0, 4.0],
        "d": None,
    }
    assert [r["reason"] for r in rejected] == ["null pin_id", "wrong length of content"]
    valid, _ = judge("pins", *rows, content_dim=1)
    assert sorted(r["pin_id"] for r in valid) == ["c", "d"]


def test_missing_ids_are_made_of_the_row(judge):
    streams = ALL_STREAMS | {"engagements": {"columns": {"engagement_id": None}}}
    valid, rejected = judge("engagements", {}, {"pin_id": "q"}, {}, streams=streams)
    assert len({r["engagement_id"] for r in valid}) == len(valid) == 2
    assert [(r["row"], r["reason"]) for r in rejected] == [(3, "duplicate engagement_id")]
    with pytest.raises(ValueError, match=r"set id_types\.engagement_id to string"):
        judge("engagements", {}, streams=streams, id_types={"engagement_id": "int64"})


def test_joined_ids(judge):
    streams = ALL_STREAMS | {"conversions": {"columns": {"conversion_id": ["order", "item"]}}}
    valid, rejected = judge(
        "conversions",
        {"order": 7, "item": "a"},
        {"order": 7, "item": None},
        {"order": None, "item": None},
        streams=streams,
    )
    assert sorted(r["conversion_id"] for r in valid) == ["7:", "7:a"]
    assert [r["reason"] for r in rejected] == ["null conversion_id"]


def test_where_and_events_part_one_log_into_streams(land, source, outcome, con):
    lines = "what,user_id,pin_id,ts\n" + "".join(
        f"{what},u,p,2026-01-02 10:00:0{i}\n"
        for i, what in enumerate(["view", "buy", "search", "cart", "zoom", ""])
    )
    land("log", lines)
    engagements = {
        "path": "log",
        "columns": {"engagement_ts": "ts", "engagement_type": "what"},
        "where": {"what": ["view", "search", "zoom"]},
        "events": {"view": "click", "search": None},
    }
    conversions = {
        "path": "log",
        "columns": {"event_ts": "ts", "event_name": "what"},
        "where": {"what": ["buy", "cart"]},
        "events": {"buy": "checkout", "cart": "add_to_cart"},
    }
    given = source(streams={"engagements": engagements, "conversions": conversions})
    valid, rejected = outcome(given, "engagements")
    assert [r["engagement_type"] for r in valid] == ["click"]
    assert valid[0]["impression_id"] == valid[0]["engagement_id"]
    assert [(r["row"], r["reason"]) for r in rejected] == [(5, "unknown event")]
    raw = read_stream(given, "engagements", [DAY], con=con)
    counts = con.to_pyarrow(count_rows(raw, stream="engagements", source=given)).to_pylist()
    assert counts == [{"dt": DAY, "file": "a.csv", "rows": 6, "elsewhere": 3, "ignored": 1}]
    valid, rejected = outcome(given, "conversions")
    assert sorted(r["event_name"] for r in valid) == ["add_to_cart", "checkout"]
    assert rejected == []


def test_units_surfaces_and_constants(judge):
    streams = ALL_STREAMS | {
        "impressions": {"surfaces": {"1": "search"}},
        "engagements": {
            "duration_unit": "ms",
            "columns": {"engagement_type": {"constant": "repin"}},
        },
    }
    valid, _ = judge("impressions", {"surface": 1}, streams=streams)
    assert valid[0]["surface"] == "search"
    valid, _ = judge("engagements", {"duration_s": 1500}, streams=streams)
    assert (valid[0]["duration_s"], valid[0]["engagement_type"]) == (1500 * 0.001, "repin")


def test_values_up_to_the_bound_are_told_apart_by_made_ids(judge):
    streams = ALL_STREAMS | {"conversions": {"columns": {"conversion_id": None}}}
    values = [9e14, 9e14 - 1, 1e12, 1e12 - 0.5, 1]
    valid, rejected = judge("conversions", *({"value": v} for v in values), streams=streams)
    assert (sorted(r["value"] for r in valid), rejected) == (sorted(values), [])


def test_texts_that_stand_for_nothing(judge):
    streams = ALL_STREAMS | {"conversions": {"null_values": "guest"}}
    valid, rejected = judge(
        "conversions",
        {"conversion_id": "1", "user_id": "NULL", "event_id": "undefined"},
        {"conversion_id": "2", "user_id": "guest", "event_id": "null", "value": "\\N"},
        {"conversion_id": "NULL"},
        streams=streams,
        null_values=["NULL", "undefined", "\\N"],
    )
    assert sorted((r["conversion_id"], r["user_id"], r["event_id"]) for r in valid) == [
        ("1", None, None),
        ("2", None, "null"),
    ]
    assert [r["reason"] for r in rejected] == ["null conversion_id"]
    assert json.loads(rejected[0]["raw"])["conversion_id"] == "NULL"


def test_nothing_is_nothing_to_where_too(judge):
    streams = ALL_STREAMS | {"users": {"where": {"shop": [None]}}}
    rows = [{"user_id": "a", "shop": "NULL"}, {"user_id": "b"}, {"user_id": "c", "shop": "x"}]
    valid, _ = judge("users", *rows, streams=streams, null_values=["NULL"])
    assert sorted(r["user_id"] for r in valid) == ["a", "b"]


def test_event_ids_and_joined_ids_are_mended_as_ids_are(judge):
    streams = ALL_STREAMS | {"conversions": {"columns": {"event_id": ["order", "item"]}}}
    change = {"order": "5.0", "item": "a.0"}
    valid, _ = judge("conversions", change, streams=streams)
    assert [r["event_id"] for r in valid] == ["5:a.0"]
    valid, _ = judge("conversions", {"event_id": 7.0})
    assert [r["event_id"] for r in valid] == ["7"]
