"""A shop's log of views, carts and purchases, and the same log as teams deliver it."""

import bz2
import csv
import datetime as dt
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from convcg_assets.sources.source import Source

COLUMNS = ("timestamp", "visitorid", "event", "itemid", "transactionid")
FIRST_DAY = dt.date(2026, 11, 24)
Row = tuple[int, int, str, int, int | None]
AVRO = {
    "type": "record",
    "name": "event",
    "fields": [
        {"name": "timestamp", "type": "long"},
        {"name": "visitorid", "type": "long"},
        {"name": "event", "type": {"type": "enum", "name": "kind", "symbols": []}},
        {"name": "itemid", "type": "int"},
        {"name": "transactionid", "type": ["null", "long"], "default": None},
    ],
}


@dataclass(frozen=True)
class Delivery:
    """How a log is delivered: the stream's `path`, the file of an hour, and what packs it."""

    path: str
    file: str
    write: Callable[[list[Row]], bytes]
    pack: Callable[[bytes], bytes] = bytes
    format: str | None = None


def draw_log(rng: Random, *, num_days: int = 2, num_rows: int = 240) -> list[Row]:
    """Events of some hours; one of a kind that the source file does not know."""
    start = int(dt.datetime.combine(FIRST_DAY, dt.time(), dt.UTC).timestamp() * 1000)
    hours = [24 * day + hour for day in range(num_days) for hour in (0, 3, 23)]
    times = {rng.choice(hours) * 3_600_000 + rng.randrange(3_600_000) for _ in range(num_rows)}
    rows: list[Row] = []
    for number, time in enumerate(sorted(times)):
        event = rng.choices(("view", "addtocart", "transaction"), (8, 1, 1))[0]
        order = number if event == "transaction" else None
        rows.append((start + time, rng.randrange(9), event, rng.randrange(20), order))
    rows[7] = (rows[7][0], 1, "share", 2, None)
    return rows


def read_public_log(file: Path, *, num_days: int) -> list[Row]:
    """The first days of the public log, in order of time."""
    with gzip.open(file, "rt") as lines:
        logged = [
            (int(r[0]), int(r[1]), r[2], int(r[3]), int(r[4]) if r[4] else None)
            for r in list(csv.reader(lines))[1:]
        ]
    last = min(row[0] for row in logged) + num_days * 86_400_000
    return sorted((row for row in logged if row[0] < last), key=lambda row: row[:4])


def land(landing: Path, rows: Iterable[Row], delivery: Delivery) -> list[dt.date]:
    """Write a file per hour as delivered; returns the days."""
    hours: dict[dt.datetime, list[Row]] = {}
    for row in rows:
        time = dt.datetime.fromtimestamp(row[0] // 1000, dt.UTC)
        hours.setdefault(time.replace(minute=0, second=0), []).append(row)
    for hour, found in hours.items():
        path = landing / hour.strftime(delivery.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(delivery.pack(delivery.write(found)))
    return sorted({hour.date() for hour in hours})


def shop_source(landing: Path, days: list[dt.date], delivery: Delivery) -> Source:
    """The source file of docs/sources.md for this log, with the path of the delivery."""
    common = {"path": delivery.path, "time_unit": "ms", "format": delivery.format}
    columns = {"user_id": "visitorid", "pin_id": "itemid"}
    return Source.model_validate(
        {
            "name": "shop",
            "first_day": days[0],
            "landing": landing,
            "id_types": {"user_id": "int64", "pin_id": "int64"},
            "streams": {
                "engagements": {
                    **common,
                    "where": {"event": ["view", "share"]},
                    "columns": {
                        **columns,
                        "engagement_ts": "timestamp",
                        "engagement_type": "event",
                    },
                    "events": {"view": "click"},
                },
                "conversions": {
                    **common,
                    "where": {"event": ["addtocart", "transaction"]},
                    "columns": {
                        **columns,
                        "event_ts": "timestamp",
                        "event_name": "event",
                        "event_id": ["transactionid", "itemid"],
                    },
                    "events": {"addtocart": "add_to_cart", "transaction": "checkout"},
                },
            },
        }
    )


def as_csv(rows: list[Row]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    return text.getvalue().encode()


def as_jsonl(rows: list[Row]) -> bytes:
    lines = (json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def as_parquet(rows: list[Row]) -> bytes:
    sink = io.BytesIO()
    types = (pa.int64(), pa.int64(), pa.string(), pa.int32(), pa.int64())
    columns = zip(COLUMNS, zip(*rows, strict=True), types, strict=True)
    pq.write_table(pa.table({name: pa.array(v, kind) for name, v, kind in columns}), sink)
    return sink.getvalue()


def as_avro(rows: list[Row]) -> bytes:
    kinds = sorted({row[2] for row in rows})
    fields = [
        {**field, "type": {**field["type"], "symbols": kinds}}
        if field["name"] == "event"
        else field
        for field in AVRO["fields"]
    ]
    sink = io.BytesIO()
    records: Iterator[dict] = (dict(zip(COLUMNS, row, strict=True)) for row in rows)
    fastavro.writer(sink, {**AVRO, "fields": fields}, records, codec="deflate")
    return sink.getvalue()


def pack_zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(content)
    return sink.getvalue().to_pybytes()


def pack_gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


PLAIN = Delivery("log", "log/dt=%Y-%m-%d/%H.csv", as_csv)
DELIVERIES = {
    "hours, gzip, no suffix of a format": Delivery(
        "log/{year}/{month}/{day}/{hour}/",
        "log/%Y/%m/%d/%H/part-0.gz",
        as_jsonl,
        pack_gzip,
        "jsonl",
    ),
    "hours, gzip, no suffix at all": Delivery(
        "log/{year}/{month}/{day}/{hour}/", "log/%Y/%m/%d/%H/shop-1", as_csv, pack_gzip, "csv"
    ),
    "hive parts of the day, Parquet": Delivery(
        "log/year={year}/month={month}/day={day}/",
        "log/year=%Y/month=%m/day=%d/%H.parquet",
        as_parquet,
    ),
    "hours below dt=, zstd": Delivery(
        "log/dt={date}/hour=*/", "log/dt=%Y-%m-%d/hour=%H/a.csv.zst", as_csv, pack_zstd
    ),
    "any folders, bz2": Delivery(
        "log/dt={date}/**", "log/dt=%Y-%m-%d/x/%H/a.csv.bz2", as_csv, bz2.compress
    ),
    "the day in the name, zstd": Delivery(
        "log/shop-{year}{month}{day}-{hour}.jsonl.zst",
        "log/shop-%Y%m%d-%H.jsonl.zst",
        as_jsonl,
        pack_zstd,
    ),
    "hours, Avro": Delivery("log/{date}/{hour}/", "log/%Y-%m-%d/%H/a.avro", as_avro),
    "some names below any folders, bz2": Delivery(
        "log/{date}/**/part-*", "log/%Y-%m-%d/%H/part-0.jsonl.bz2", as_jsonl, bz2.compress
    ),
}
