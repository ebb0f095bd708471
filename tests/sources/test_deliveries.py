"""The same log in every layout, format and compression gives the same tables."""

import bz2
import datetime as dt
import io
import os
from decimal import Decimal
from pathlib import Path
from random import Random

import fastavro
import pytest

from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.reading import check_files

from .shop_log import (
    DELIVERIES,
    PLAIN,
    Delivery,
    Row,
    as_avro,
    as_csv,
    draw_log,
    land,
    pack_zstd,
    read_public_log,
    shop_source,
)

DAY = dt.date(2026, 1, 2)
LOG = draw_log(Random(7))


@pytest.fixture
def read_log(tables, tmp_path):
    """All tables of a log as delivered, rows in an order of their own."""

    def read(rows: list[Row], delivery: Delivery) -> dict[str, list[str]]:
        landing = tmp_path / delivery.file.replace("/", "_").replace("%", "")
        days = land(landing, rows, delivery)
        found = tables(shop_source(landing, days, delivery), days)
        for row in found["rejected_events"]:
            del row["file"], row["row"], row["raw"]
        return {table: sorted(map(repr, rows)) for table, rows in found.items()}

    return read


@pytest.mark.parametrize("delivery", DELIVERIES.values(), ids=list(DELIVERIES))
def test_a_log_is_the_same_however_it_is_delivered(read_log, delivery):
    wanted = read_log(LOG, PLAIN)
    assert len(wanted["engagements"]) > 150
    assert len(wanted["conversions"]) > 30
    assert len(wanted["rejected_events"]) == 1
    assert read_log(LOG, delivery) == wanted


@pytest.mark.skipif("CONVCG_REAL_DATA" not in os.environ, reason="CONVCG_REAL_DATA is not set")
@pytest.mark.parametrize("delivery", DELIVERIES.values(), ids=list(DELIVERIES))
def test_a_public_log_is_the_same_however_it_is_delivered(read_log, delivery):
    file = Path(os.environ["CONVCG_REAL_DATA"]) / "retailrocket" / "events.csv.gz"
    rows = read_public_log(file, num_days=4)
    wanted = read_log(rows, PLAIN)
    assert len(wanted["engagements"]) + len(wanted["conversions"]) == len(rows) > 1000
    assert read_log(rows, delivery) == wanted


def test_rejected_rows_are_told_by_their_place_below_the_day(source, land, outcome):
    header = "impression_id,user_id,pin_id,impression_ts,surface\n"
    for hour in ("03", "04"):
        land(
            "impressions", header + f"i{hour},,p,2026-01-02 10:00,homefeed\n", name=f"{hour}/a.csv"
        )
    streams = {"impressions": {"path": "impressions/dt={date}/{hour}/"}, "conversions": {}}
    _, rejected = outcome(source(streams=streams), "impressions")
    assert [(r["file"], r["row"]) for r in rejected] == [("03/a.csv", 1), ("04/a.csv", 1)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv.zst", pack_zstd(as_csv(LOG))[:-40], "cut off or damaged zstd"),
        ("a.csv.zst", b"no zstd at all", "cut off or damaged zstd"),
        ("a.csv.bz2", bz2.compress(as_csv(LOG))[:-40], "cut off or damaged bz2"),
        ("a.csv.bz2", b"no bz2 at all", "cut off or damaged bz2"),
        ("a.csv.bz2", bz2.compress(b""), "empty file"),
        ("a.avro", as_avro(LOG)[:-40], "cut off or damaged Avro"),
        ("a.avro", as_avro(LOG)[:100], "cut off or damaged Avro"),
        ("a.avro", b"no Avro at all", "cut off or damaged Avro"),
        ("a.parquet.gz", b"x", "carries its own compression.*Land it as a.parquet"),
        ("a.avro.zst", b"x", "carries its own compression.*Land it as a.avro"),
    ],
)
def test_a_packed_file_that_is_damaged_is_named(source, land, name, content, said):
    path = land("impressions", content, name=name)
    with pytest.raises(LandingError, match=said) as error:
        check_files(source(), "impressions", [DAY])
    assert str(path) in str(error.value)


def test_text_that_begins_like_a_compressed_file_is_text(source, land, outcome):
    header = "BZh9,impression_id,user_id,pin_id,impression_ts,surface\n"
    land("impressions", header + "x,i,u,p,2026-01-02 10:00,homefeed\n")
    assert len(outcome(source(), "impressions")[0]) == 1


def avro(fields: dict, *rows: dict) -> bytes:
    named = [{"name": name, "type": kind} for name, kind in fields.items()]
    sink = io.BytesIO()
    fastavro.writer(sink, {"type": "record", "name": "row", "fields": named}, rows)
    return sink.getvalue()


def test_types_of_avro(source, land, outcome):
    time = dt.datetime(2026, 1, 2, 10, 0, 0, 123456, tzinfo=dt.UTC)
    fields = {
        "conversion_id": {"type": "string", "logicalType": "uuid"},
        "user_id": ["null", "string", "long"],
        "event_ts": {"type": "long", "logicalType": "timestamp-micros"},
        "received_ts": {"type": "long", "logicalType": "timestamp-millis"},
        "event_name": {"type": "enum", "name": "kind", "symbols": ["checkout"]},
        "value": {
            "type": "bytes",
            "logicalType": "decimal",
            "precision": 10,
            "scale": 2,
        },
        "where": {"type": "map", "values": "string"},
    }
    row = {
        "conversion_id": "8f0d1e4e-9a43-4c0c-8d6b-0a6d8cfd0d11",
        "event_ts": time,
        "received_ts": time,
        "event_name": "checkout",
        "value": Decimal("12.50"),
        "where": {"shop": "b"},
    }
    rows = [row | {"user_id": user} for user in (7, "u7", None)]
    rows = [r | {"conversion_id": r["conversion_id"][:-1] + str(i)} for i, r in enumerate(rows)]
    land("conversions", avro(fields, *rows), name="a.avro")
    valid, rejected = outcome(source(), "conversions")
    assert rejected == []
    found = sorted(valid, key=lambda r: r["conversion_id"])
    assert [r["user_id"] for r in found] == ["7", "u7", None]
    assert [r["conversion_id"] for r in found] == [r["conversion_id"] for r in rows]
    assert {r["event_ts"] for r in found} == {time.replace(tzinfo=None)}
    assert {r["received_ts"] for r in found} == {time.replace(tzinfo=None, microsecond=123000)}
    assert {r["value"] for r in found} == {12.5}
