"""Columns of files: those that come and go, that are no text, and files that break within."""

import datetime as dt
import json

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from convcg_assets.sources.preview import preview_stream
from convcg_assets.sources.reading import (
    LandingError,
    absent_columns,
    check_files,
    read_files,
    read_stream,
    reading,
)

from .test_landing_files import DAY, HEADER, ROW, parquet, row


def test_a_file_that_is_damaged_within_is_named(source, land, con):
    land("impressions", parquet([row()]), name="a.parquet")
    rows = [row(impression_id=str(number)) for number in range(1000)]
    content = bytearray(parquet(rows))
    content[40:400] = bytes(360)
    path = land("impressions", bytes(content), name="b.parquet")
    files = check_files(source(), "impressions", [DAY])
    raws = read_files(source(), "impressions", files, con=con)
    with (
        pytest.raises(LandingError, match="impressions: a file broke while it was read") as told,
        reading("impressions", files),
    ):
        con.to_pyarrow(ibis.union(raws[0], raws[0]))
    assert f"{path}: " in str(told.value)


def test_an_error_that_is_none_of_the_files_stays_what_it_is(source, land):
    land("impressions", parquet([row()]), name="a.parquet")
    files = check_files(source(), "impressions", [DAY])
    with pytest.raises(duckdb.IOException, match="disk"), reading("impressions", files):
        raise duckdb.IOException("the disk is full")


def test_bytes_that_are_no_text_stop_nothing(source, land, outcome):
    rows = [row(impression_id=str(n), user_id=user) for n, user in enumerate((b"a", b"\xff"))]
    rows = [given | {"thumbnail": b"\xff\x00", "note": "\u00e9".encode()} for given in rows]
    land("impressions", parquet(rows), name="a.parquet")
    valid, rejected = outcome(source(), "impressions")
    assert [r["user_id"] for r in valid] == ["a"]
    assert [r["reason"] for r in rejected] == ["user_id: not UTF-8 text"]
    raw = json.loads(rejected[0]["raw"])
    assert (raw["user_id"], raw["thumbnail"], raw["note"]) == ("\\xFF", "\\xFF\\x00", "\u00e9")


def not_utf8(*texts: bytes) -> pa.StringArray:
    """A column of text that is none: writers of other languages do not look."""
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    buffers = [pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    return pa.StringArray.from_buffers(len(texts), *buffers)


@pytest.mark.parametrize("column", ["note", "user_id"])
def test_text_that_is_no_utf8_stops_no_other_row(source, land, con, column):
    rows = pa.Table.from_pylist([row(impression_id=str(n), user_id="u") for n in range(3)])
    if column in rows.column_names:
        rows = rows.drop_columns([column])
    rows = rows.append_column(column, not_utf8(b"a", b"\xff\xfe", b"c"))
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    land("impressions", sink.getvalue().to_pybytes(), name="a.parquet")
    found = preview_stream(source(), "impressions", [DAY], num_rows=3, con=con)
    assert found.fault is None
    assert found.rows is not None
    lost = [reason.reason for reason in found.rows.reasons]
    assert lost == ([] if column == "note" else ["user_id: not UTF-8 text"])
    assert found.rows.num_valid == 3 - len(lost)


def test_columns_that_differ_in_case_alone_are_refused_if_one_is_needed(source, land, outcome):
    path = land("impressions", parquet([row(USER_ID="other")]), name="a.parquet")
    with pytest.raises(LandingError, match="'user_id' and 'USER_ID' differ in case") as told:
        check_files(source(), "impressions", [DAY])
    assert str(path) in str(told.value)
    land("impressions", parquet([row(x=1, X=2, file_index=3, file_row_number=4)]), name="a.parquet")
    assert len(outcome(source(), "impressions")[0]) == 1


def test_a_required_column_that_disappears_is_an_error_of_its_day(source, land, con):
    land("conversions", "event_ts,event_name,amount\n2026-01-02,checkout,5\n")
    later = DAY + dt.timedelta(days=1)
    path = land("conversions", "event_ts,event_name\n2026-01-03,checkout\n", day=later)
    streams = {"impressions": {}, "conversions": {"columns": {"value": "amount"}}}
    read_stream(source(streams=streams), "conversions", [DAY], con=con)
    with pytest.raises(LandingError, match=r"no column 'amount'.*optional: true") as told:
        read_stream(source(streams=streams), "conversions", [DAY, later], con=con)
    assert str(path) in str(told.value)
    streams["conversions"] = {"columns": {"value": {"column": "amount", "optional": True}}}
    given = source(streams=streams)
    files = check_files(given, "conversions", [DAY, later])
    options = given.streams.conversions
    assert absent_columns("conversions", files, options) == {later: {"value": 1}}
    since = {"columns": {"value": {"column": "amount", "since": str(later)}}}
    with pytest.raises(LandingError, match="no column 'amount'"):
        check_files(source(streams=streams | {"conversions": since}), "conversions", [later])


def test_a_file_of_another_format_than_it_says(source, land):
    land("impressions", HEADER + ROW)
    streams = {"impressions": {"format": "parquet"}}
    with pytest.raises(LandingError, match="The name says csv: is `format: parquet` right"):
        check_files(source(streams=streams), "impressions", [DAY])
