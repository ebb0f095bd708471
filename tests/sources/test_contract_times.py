"""The contract of times: days, zones, units and their edges, to the second."""

import datetime as dt
import json

import pytest

from .contract_rows import (
    ALL_STREAMS,
    DAY,
    HOUR,
    MIDNIGHT,
    SECOND,
)


@pytest.mark.parametrize(
    ("stream", "column", "first_valid", "first_late"),
    [
        ("impressions", "impression_ts", MIDNIGHT - 25 * HOUR, MIDNIGHT + 25 * HOUR),
        ("engagements", "engagement_ts", MIDNIGHT - 25 * HOUR, MIDNIGHT + 25 * HOUR),
        ("conversions", "received_ts", MIDNIGHT - HOUR, MIDNIGHT + 25 * HOUR),
    ],
)
def test_edges_of_the_logs_day(judge, stream, column, first_valid, first_late):
    key = stream.removesuffix("s") + "_id"
    times = [first_valid - SECOND, first_valid, first_late - SECOND, first_late]
    changes = [
        {key: str(i), column: t.isoformat(), "event_ts": "2020-01-01"} for i, t in enumerate(times)
    ]
    valid, rejected = judge(stream, *changes)
    assert sorted(r[key] for r in valid) == ["1", "2"]
    assert [(r["row"], r["reason"]) for r in rejected] == [
        (row, f"{column} outside its log's day") for row in (1, 4)
    ]


def test_late_days_and_tolerance_move_the_edges(judge):
    first = MIDNIGHT - dt.timedelta(days=3, minutes=5)
    times = [first - SECOND, first, MIDNIGHT + 24 * HOUR + 300 * SECOND]
    changes = [{"impression_id": str(i), "impression_ts": str(t)} for i, t in enumerate(times)]
    valid, _ = judge("impressions", *changes, late_days=3, tolerance_minutes=5)
    assert [r["impression_id"] for r in valid] == ["1"]


def test_event_may_follow_its_report_by_the_tolerance_alone(judge):
    times = ["2026-01-02 11:00:00", "2026-01-02 11:00:00.000001"]
    valid, rejected = judge(
        "conversions", *({"conversion_id": str(i), "event_ts": t} for i, t in enumerate(times))
    )
    assert [r["conversion_id"] for r in valid] == ["0"]
    assert [r["reason"] for r in rejected] == ["event_ts after received_ts"]


def test_impression_day_is_never_after_the_arrival_day(judge):
    times = ["2026-01-01 23:59:59", "2026-01-02 00:00:00", "2026-01-03 00:30:00"]
    valid, _ = judge(
        "impressions", *({"impression_id": str(i), "impression_ts": t} for i, t in enumerate(times))
    )
    days = {r["impression_id"]: r["impression_day"] for r in valid}
    assert days == {"0": dt.date(2026, 1, 1), "1": DAY, "2": DAY}


@pytest.mark.parametrize(
    ("event_ts", "received"),
    [("2026-01-02 09:00:00", dt.datetime(2026, 1, 2, 9)), ("2025-12-20 09:00:00", MIDNIGHT)],
)
def test_missing_received_ts(judge, event_ts, received):
    streams = ALL_STREAMS | {"conversions": {"columns": {"received_ts": None}}}
    valid, _ = judge("conversions", {"event_ts": event_ts}, streams=streams)
    assert [r["received_ts"] for r in valid] == [received]


def test_missing_received_ts_blames_the_event(judge):
    streams = ALL_STREAMS | {"conversions": {"columns": {"received_ts": None}}}
    _, rejected = judge("conversions", {"event_ts": "2026-01-04"}, streams=streams)
    assert [r["reason"] for r in rejected] == ["event_ts outside its log's day"]


@pytest.mark.parametrize(
    ("unit", "zone", "times"),
    [
        (
            "iso",
            "UTC",
            {
                "2026-01-02T10:00:00+02:00": "08:00",
                "2026-01-02 10:00:00.5-0330": "13:30:00.500000",
                "2026-01-02T10:00:00.123456789": "10:00:00.123456",
                "2026-01-02": "00:00",
            },
        ),
        (
            "iso",
            "Asia/Kolkata",
            {
                "2026-01-02 10:00 UTC": "10:00",
                "2026-01-02T10:00:00Z": "10:00",
                "2026-01-02 10:00+01": "09:00",
                "2026-01-02 10:00": "04:30",
            },
        ),
        ("s", "Asia/Kolkata", {"1767348000": "10:00", "1767348000.25": "10:00:00.250000"}),
        ("ms", "UTC", {"1767348000123": "10:00:00.123000"}),
        ("us", "UTC", {"1767348000123456": "10:00:00.123456"}),
    ],
)
def test_times(judge, unit, zone, times):
    streams = ALL_STREAMS | {"impressions": {"time_unit": unit}}
    changes = [{"impression_id": text, "impression_ts": text} for text in times]
    valid, rejected = judge("impressions", *changes, streams=streams, time_zone=zone)
    assert rejected == []
    assert {r["impression_id"]: r["impression_ts"] for r in valid} == {
        text: dt.datetime.fromisoformat(f"2026-01-02T{utc}") for text, utc in times.items()
    }


def test_local_times_where_the_clock_changes(land, source, outcome):
    times = {
        "2026-03-29 01:59:59": "2026-03-29 00:59:59",
        "2026-03-29 03:00:00": "2026-03-29 01:00:00",
        "2026-10-25 01:59:59": "2026-10-24 23:59:59",
        "2026-10-25 02:30:00": "2026-10-25 00:30:00",  # the first of two
        "2026-10-25 03:00:00": "2026-10-25 02:00:00",
    }
    day = dt.date(2026, 12, 1)
    lines = [json.dumps({"pin_id": text, "created_ts": text}) for text in times]
    land("pins", "\n".join(lines), name="a.jsonl", day=day)
    given = source(streams=ALL_STREAMS, time_zone="Europe/Berlin")
    valid, _ = outcome(given, "pins", days=[day])
    assert {r["pin_id"]: str(r["created_ts"]) for r in valid} == times


def test_no_time_in_this_unit(judge):
    streams = ALL_STREAMS | {"impressions": {"time_unit": "s"}}
    changes = [{"impression_ts": logged} for logged in ("x", "1e400", -5, 10**17, "2026-01-02")]
    valid, rejected = judge("impressions", *changes, streams=streams)
    assert valid == []
    assert [r["reason"] for r in rejected] == [
        "malformed impression_ts: no time in s since 1970" for _ in changes
    ]


@pytest.mark.parametrize("offset", ["+15:00", "+25:00", "-10:60", "+1", "+100"])
def test_no_offset_of_any_zone(judge, offset):
    _, rejected = judge("impressions", {"impression_ts": f"2026-01-02 10:00:00{offset}"})
    assert [r["reason"] for r in rejected] == ["malformed impression_ts: not an ISO 8601 time"]
