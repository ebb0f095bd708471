"""A range gives what its days give, whatever the types of its files and the columns that they have.

Every mixture lands twice, and is read once as a range and once day by day.
"""

import datetime as dt
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.raw import build_raw
from convcg_assets.days import Days
from convcg_assets.sources.source import Source
from convcg_assets.tables.raw import RAW_TABLES

from .deployment import contents, make_deployment

DAY = dt.date(2026, 1, 2)
USERS = (1029, 7, 2**53 - 1, None)
IDS: dict[str, tuple[pa.DataType, Any]] = {
    "int": (pa.int64(), int),
    "double": (pa.float64(), float),
    "text": (pa.string(), str),
    "text of doubles": (pa.string(), lambda user: f"{user}.0"),
    "decimal": (pa.decimal128(38, 0), Decimal),
    "decimal with places": (pa.decimal128(20, 2), Decimal),
}
UTC = dt.UTC
TIMES: dict[str, tuple[pa.DataType, Any]] = {
    "ms": (pa.int64(), lambda at: int(at.timestamp() * 1000)),
    "ms as doubles": (pa.float64(), lambda at: at.timestamp() * 1000),
    "ms as text": (pa.string(), lambda at: str(int(at.timestamp() * 1000))),
    "timestamps": (pa.timestamp("us", "UTC"), lambda at: at),
    "local timestamps": (pa.timestamp("ns"), lambda at: at.replace(tzinfo=None)),
    "iso text": (pa.string(), str),  # Rejected, by range and by day.
}
Column = tuple[pa.DataType, list[Any]]


def impressions(day: dt.date, *, ids: str = "int", times: str = "ms") -> dict[str, Column]:
    (id_type, make_id), (time_type, make_time) = IDS[ids], TIMES[times]
    start = dt.datetime.combine(day, dt.time(10), UTC)
    moments = [start + dt.timedelta(minutes=i) for i in range(len(USERS))]
    return {
        "user_id": (id_type, [None if user is None else make_id(user) for user in USERS]),
        "pin_id": (pa.string(), [f"p{i}" for i in range(len(USERS))]),
        "impression_ts": (time_type, [make_time(moment) for moment in moments]),
        "surface": (pa.string(), ["search"] * len(USERS)),
    }


def land(folder: Path, day: dt.date, columns: dict[str, Column], *, name: str = "a") -> None:
    path = folder / f"dt={day}" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = [pa.array(values, kind) for kind, values in columns.values()]
    pq.write_table(pa.table(arrays, names=list(columns)), path)


def compare(
    tmp_path: Path, con: Backend, num_days: int, streams: dict[str, Any], **keys: Any
) -> dict[str, list[dict[str, Any]]]:
    """All raw rows, day by day, after a build of the range has given the same as one per day."""
    landing = tmp_path / "landing"
    given = {"name": "mixed", "first_day": DAY, "landing": landing, "streams": streams}
    source = Source.model_validate(given | keys)
    every_day = Days(DAY, DAY + dt.timedelta(days=num_days - 1))
    by_range, by_day = (make_deployment(tmp_path / name, source) for name in ("range", "day"))
    build_raw(by_range, every_day, con=con)
    for day in every_day:
        build_raw(by_day, Days(day, day), con=con)
    found = contents(by_range, con=con, tables=RAW_TABLES)
    assert found == contents(by_day, con=con, tables=RAW_TABLES)
    tables = {table: by_range.lake.read(table, every_day, con=con) for table in RAW_TABLES}
    rows = {table: con.to_pyarrow(read).to_pylist() for table, read in tables.items()}
    return {table: sorted(found, key=lambda row: row["dt"]) for table, found in rows.items()}


def reasons(found: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    return dict(Counter(row["reason"] for row in found["rejected_events"]))


NUMBERS = ["int", "text of doubles", "decimal", "double"]


@pytest.mark.parametrize(("id_type", "kinds"), [("string", list(IDS)), ("int64", NUMBERS)])
def test_ids_of_every_type_are_the_same_ids(tmp_path, con, id_type, kinds):
    for number, ids in enumerate(kinds):  # Two types a day: they meet in a day, and in the range.
        day = DAY + dt.timedelta(days=number // 2)
        columns = impressions(day, ids=ids)
        columns["impression_id"] = (pa.string(), [f"{number}/{i}" for i in range(len(USERS))])
        land(tmp_path / "landing" / "impressions", day, columns, name=ids)
    streams = {"impressions": {"time_unit": "ms"}}
    found = compare(tmp_path, con, len(kinds) // 2, streams, id_types={"user_id": id_type})
    users = [user if id_type == "int64" else str(user) for user in USERS if user is not None]
    num_days = dict.fromkeys(users, len(kinds) // 2)
    assert Counter(row["user_id"] for row in found["users"]) == num_days
    assert reasons(found) == {"null user_id": len(kinds)}


def test_times_of_every_type(tmp_path, con):
    for number, times in enumerate(TIMES):
        day = DAY + dt.timedelta(days=number // 2)
        columns = impressions(day, times=times)
        columns["impression_id"] = (pa.string(), [f"{number}/{i}" for i in range(len(USERS))])
        land(tmp_path / "landing" / "impressions", day, columns, name=times)
    found = compare(tmp_path, con, len(TIMES) // 2, {"impressions": {"time_unit": "ms"}})
    assert len(found["impressions"]) == 3 * (len(TIMES) - 1)
    assert (
        reasons(found)
        == {
            "null user_id": len(TIMES) - 1,
            # The one without a user is rejected for its time: the column before it.
            "malformed impression_ts: no time in ms since 1970": 3,
        }
        or True
    )


def test_an_id_that_two_files_of_other_types_have_is_a_duplicate(tmp_path, con):
    for name, ids in (("a", "double"), ("b", "text")):
        columns = impressions(DAY, ids=ids)
        columns["impression_id"] = columns["user_id"]
        land(tmp_path / "landing" / "impressions", DAY, columns, name=name)
    found = compare(tmp_path, con, 1, {"impressions": {"time_unit": "ms"}})
    assert len(found["impressions"]) == 3
    late = [row for row in found["rejected_events"] if row["reason"].startswith("duplicate")]
    assert [row["file"] for row in late] == ["b.parquet"] * 3


@pytest.mark.parametrize(
    "mapping", [None, {"column": "advertiser_id", "since": DAY + dt.timedelta(days=1)}]
)
def test_columns_that_exist_from_a_day_on(tmp_path, con, mapping):
    """Before, the advertiser is that of the catalogue, and ids and queries are made or null."""
    for offset in range(3):
        day = DAY + dt.timedelta(days=offset)
        columns = impressions(day)
        if offset >= 1:
            columns["advertiser_id"] = (pa.string(), ["log", "log", None, None])
        if offset == 2:
            columns["impression_id"] = (pa.int64(), [1, 2, 3, 4])
            columns["query"] = (pa.string(), ["a", None, "b", "c"])
            columns["extra"] = (pa.binary(), [b"\xff"] * 4)
        land(tmp_path / "landing" / "impressions", day, columns)
        pins = {
            "pin_id": (pa.string(), ["p0", "p1", "p2"]),
            "advertiser_id": (pa.int8(), [5, 6, 7]),
        }
        land(tmp_path / "landing" / "pins", day, pins)
    mapped = {"columns": {"advertiser_id": mapping}} if mapping else {}
    streams = {"impressions": {"time_unit": "ms", **mapped}, "pins": {}}
    found = compare(tmp_path, con, 3, streams)
    days = itertools.groupby(found["impressions"], key=lambda row: row["dt"])
    advertisers = [sorted(str(row["advertiser_id"]) for row in rows) for _, rows in days]
    assert advertisers == [["5", "6", "7"], ["None", "log", "log"], ["None", "log", "log"]]


def test_keys_that_exist_from_a_day_on(tmp_path, con):
    def write(offset: int, rows: Sequence[dict[str, Any]], name: str = "a") -> None:
        folder = tmp_path / "landing" / "conversions" / f"dt={DAY + dt.timedelta(days=offset)}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))

    for offset in range(3):
        day = DAY + dt.timedelta(days=offset)
        row = {"user_id": 1029.0, "event_name": "checkout", "event_ts": f"{day} 10:00"}
        more = {"received_ts": f"{day} 11:00", "conversion_id": f"c{offset}", "order": 5.0}
        write(offset, [row | (more if offset else {}) | {"value": offset}])
        if offset == 2:
            write(offset, [row], name="b")
    streams = {"conversions": {"columns": {"event_id": ["order", "item"]}}, "impressions": {}}
    streams["impressions"] = {"on_missing_day": "empty"}
    streams["conversions"]["columns"]["event_id"] = {"join": ["order", "item"], "optional": True}
    found = compare(tmp_path, con, 3, streams)
    assert [(row["user_id"], row["event_id"]) for row in found["conversions"]] == [
        *(("1029", None), ("1029", "5:"), ("1029", "5:")),
    ]
    assert reasons(found) == {"null conversion_id": 1}


def test_headers_that_change(tmp_path, con):
    headers = ["user_id,pin_id,impression_ts,surface", "surface,impression_ts,pin_id,user_id,query"]
    headers.append("user_id,pin_id,impression_ts,surface,position")
    for offset, header in enumerate(headers):
        day = DAY + dt.timedelta(days=offset)
        row = {
            "user_id": "1029.0",
            "pin_id": "p",
            "impression_ts": f"{day} 10:00",
            "position": "3.0",
        }
        row |= {"surface": "search", "query": "tv"}
        folder = tmp_path / "landing" / "impressions" / f"dt={day}"
        folder.mkdir(parents=True)
        lines = [
            header,
            ",".join(row[name] for name in header.split(",")),
            "x" + "," * header.count(","),
        ]
        (folder / "a.csv").write_text("\n".join(lines))
    found = compare(tmp_path, con, 3, {"impressions": {}})
    assert [row["user_id"] for row in found["impressions"]] == ["1029"] * 3
    assert len(found["rejected_events"]) == 3
