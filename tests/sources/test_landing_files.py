"""Finding and reading files: whole days, hostile files, and what is said of them."""

import datetime as dt
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from convcg_assets.sources.finding import find_files
from convcg_assets.sources.reading import (
    LandingError,
    check_files,
    read_files,
    read_stream,
    reading,
)

DAY = dt.date(2026, 1, 2)
HEADER = "impression_id,user_id,pin_id,impression_ts,surface\n"
ROW = "i1,u1,p1,2026-01-02 10:00:00,homefeed\n"


def parquet(rows: list[dict]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def row(**given) -> dict:
    fields = {"impression_id": "i1", "user_id": "u1", "pin_id": "p1", "surface": "homefeed"}
    return fields | {"impression_ts": dt.datetime(2026, 1, 2, 10)} | given


def test_missing_day_names_the_folder(source, tmp_path):
    with pytest.raises(LandingError, match=f"{tmp_path}/impressions/dt=2026-01-02 does not exist"):
        find_files(source(), "impressions", [DAY])


def test_all_missing_days_are_told_at_once(source):
    days = [DAY + dt.timedelta(days=i) for i in range(7)]
    with pytest.raises(LandingError, match=r"7 of the days[\s\S]*and 2 more"):
        find_files(source(), "impressions", days)


def test_missing_day_may_be_empty(source, outcome):
    assert outcome(source(on_missing_day="empty"), "impressions") == ([], [])


def test_a_stream_has_its_own_answer_to_a_missing_day(source, outcome):
    streams = {"impressions": {"on_missing_day": "empty"}, "conversions": {}}
    assert outcome(source(streams=streams), "impressions") == ([], [])


def test_marker_alone_is_an_empty_day(source, land, outcome):
    land("impressions", "", name="_SUCCESS")
    assert outcome(source(), "impressions") == ([], [])


def test_folder_without_marker_is_missing(source, tmp_path):
    (tmp_path / "impressions" / "dt=2026-01-02").mkdir(parents=True)
    with pytest.raises(LandingError, match="_SUCCESS"):
        find_files(source(), "impressions", [DAY])


def test_subfolder_is_refused(source, land, tmp_path):
    (tmp_path / "impressions" / "dt=2026-01-02" / "hour=01").mkdir(parents=True)
    with pytest.raises(LandingError, match="hour=01"):
        find_files(source(), "impressions", [DAY])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "empty file"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "empty file"),
        ("a.parquet", b"", "empty file"),
        (
            "a.csv.gz",
            gzip.compress(HEADER.encode() + ROW.encode() * 9, mtime=0)[:-12],
            "cut off or damaged gzip",
        ),
        ("a.csv.gz", (HEADER + ROW).encode(), "cut off or damaged gzip"),
        ("a.parquet", parquet([row()])[:-20], "cut off or damaged Parquet"),
        ("a.parquet", parquet([row()])[:200], "cut off or damaged Parquet"),
        ("a.parquet", b"PAR1 no parquet at all PAR1", "cut off or damaged Parquet"),
        (
            "a.csv",
            (HEADER + ROW).encode() + "i2,é,p,t,s\n".encode("latin-1"),
            "line 3 is not utf-8",
        ),
        ("a.csv", HEADER.encode() + b"caf\xc3", "ends within a character"),
        ("a.csv", b"\n" + HEADER.encode(), "first line must name every column"),
        ("a.csv", b"user_id,USER_ID\n", "each once"),
        ("a.csv", b"user,pin_id,impression_ts,surface\n", "no column 'user_id'; nearest: 'user'"),
        ("a.csv", HEADER.replace(",", ";").encode(), "is the delimiter ';'"),
        ("a.parquet", parquet([{"user_id": "u"}]), "no column 'pin_id'.*found: user_id"),
        ("a.jsonl", b'{"user_id": 1}\n', "no column 'pin_id'"),
        ("a.jsonl", b"<html>\n</html>\n", "not JSON lines"),
        ("a.xlsx", b"PK", "cannot tell the format"),
    ],
)
def test_unreadable_file_is_named(source, land, name, content, said):
    path = land("impressions", content, name=name)
    with pytest.raises(LandingError, match=said) as error:
        check_files(source(), "impressions", [DAY])
    assert str(path) in str(error.value)


def test_one_bad_file_stops_the_range_before_it_is_read(source, land, con):
    land("impressions", HEADER + ROW)
    bad = land("impressions", b"", day=DAY + dt.timedelta(days=1))
    with pytest.raises(LandingError, match=str(bad)):
        read_stream(source(), "impressions", [DAY, DAY + dt.timedelta(days=1)], con=con)


def test_several_formats_are_refused(source, land):
    land("impressions", HEADER + ROW)
    land("impressions", parquet([row()]), name="b.parquet")
    with pytest.raises(LandingError, match="several formats"):
        check_files(source(), "impressions", [DAY])


def test_a_file_that_breaks_after_the_check(source, land, con):
    path = land("impressions", parquet([row()]), name="a.parquet")
    (raw,) = read_stream(source(), "impressions", [DAY], con=con)
    path.unlink()
    with pytest.raises(LandingError, match="impressions: a file broke"), reading("impressions"):
        con.to_pyarrow(raw)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", parquet([row()])),
        ("a.csv", (HEADER + ROW).encode()),
        ("a.jsonl", json.dumps(row(impression_ts="2026-01-02 10:00:00")).encode()),
    ],
)
def test_a_file_that_is_removed_after_the_check(source, land, con, name, content):
    path = land("impressions", content, name=name)
    files = check_files(source(), "impressions", [DAY])
    path.unlink()
    with pytest.raises(LandingError, match="impressions: a file broke"):
        read_files(source(), "impressions", files, con=con)


def test_header_alone_is_no_rows(source, land, outcome):
    land("impressions", HEADER)
    assert outcome(source(), "impressions") == ([], [])


def test_columns_go_by_name_and_rows_keep_their_number(source, land, outcome):
    land("impressions", HEADER + ROW + "i2,,p1,2026-01-02 10:00:00,homefeed\n")
    land(
        "impressions",
        "surface,pin_id,user_id,impression_ts,impression_id\n"
        "homefeed,p9,u9,2026-01-02 10:00,i9\n,,,,\n",
        name="b.csv",
    )
    valid, rejected = outcome(source(), "impressions")
    assert sorted((r["impression_id"], r["pin_id"]) for r in valid) == [("i1", "p1"), ("i9", "p9")]
    assert [(r["file"], r["row"], r["reason"]) for r in rejected] == [
        ("a.csv", 2, "null user_id"),
        ("b.csv", 2, "null impression_id"),
    ]


def test_wrong_number_of_fields_rejects_the_row_alone(source, land, outcome):
    land(
        "impressions", HEADER + ROW + "i2,u1,p1\n" + ROW.strip() + ",more\n" + ROW.strip() + ",,,\n"
    )
    valid, rejected = outcome(source(), "impressions")
    assert [r["impression_id"] for r in valid] == ["i1"]
    assert [(r["row"], r["reason"]) for r in rejected] == [
        (row, "wrong number of fields") for row in (2, 3, 4)
    ]


def test_quotes_line_breaks_and_empty_last_fields(source, land, outcome):
    streams = {"impressions": {"columns": {"query": "q"}}, "conversions": {}}
    land(
        "impressions",
        HEADER.strip()
        + ",q\n"
        + ROW.strip()
        + ',"a ""b"",\nc"\n'
        + ROW.replace("i1", "i2").strip()
        + ",\n",
    )
    valid, rejected = outcome(source(streams=streams), "impressions")
    assert {r["impression_id"]: r["query"] for r in valid} == {"i1": 'a "b",\nc', "i2": None}
    assert rejected == []


def test_latin_1_and_other_delimiters(source, land, outcome):
    streams = {"impressions": {"encoding": "latin-1", "delimiter": ";"}, "conversions": {}}
    text = (HEADER + ROW.replace("u1", "Zoë")).replace(",", ";").encode("latin-1")
    land("impressions", gzip.compress(text, mtime=0), name="a.csv.gz")
    valid, _ = outcome(source(streams=streams), "impressions")
    assert [r["user_id"] for r in valid] == ["Zoë"]


def test_byte_order_mark_is_no_part_of_a_name(source, land, outcome):
    land("impressions", b"\xef\xbb\xbf" + (HEADER + ROW).encode())
    assert len(outcome(source(), "impressions")[0]) == 1


def test_json_lines(source, land, outcome):
    good = '{"impression_id": 1, "user_id": 2, "pin_id": 3, "surface": "search", '
    good += '"impression_ts": "2026-01-02T10:00Z"}'
    land(
        "impressions",
        "\n".join([good, "not json", "", "[1]", good.replace("1,", "1.0,", 1), '{"user_id"']),
        name="a.jsonl",
    )
    ids = dict.fromkeys(["impression_id", "user_id", "pin_id"], "int64")
    valid, rejected = outcome(source(id_types=ids), "impressions")
    assert [(r["impression_id"], r["user_id"], r["pin_id"]) for r in valid] == [(1, 2, 3)]
    assert [r["reason"] for r in rejected] == [
        "not a JSON object",
        "not a JSON object",
        "duplicate impression_id",
        "not a JSON object",
    ]
    assert '"impression_id": 1.0' in rejected[2]["raw"]
    assert [r["raw"] for r in rejected[:2]] == ["not json", "[1]"]
    assert [r["row"] for r in rejected] == [2, 3, 4, 5]


def test_json_lines_may_leave_out_optional_keys_but_not_misspell_them(source, land, outcome):
    line = '{"user_id": "u", "pin_id": "p", "surface": "search", "impression_ts": "2026-01-02"%s}'
    streams = {"impressions": {"columns": {"query": "search_text"}}, "conversions": {}}
    land("impressions", line % "", name="a.jsonl")
    assert outcome(source(streams=streams), "impressions")[0][0]["query"] is None
    land("impressions", line % ', "search_txt": "shoes"', name="a.jsonl")
    with pytest.raises(LandingError, match="nearest: 'search_txt'"):
        check_files(source(streams=streams), "impressions", [DAY])


def test_parquet_days_in_one_query(source, land, outcome):
    next_day = DAY + dt.timedelta(days=1)
    land("impressions", parquet([row(), row(impression_id="i2", user_id=None)]), name="p.parquet")
    land(
        "impressions",
        parquet([row(impression_ts=dt.datetime(2026, 1, 3, tzinfo=dt.UTC), dt="own column")]),
        name="p.parquet",
        day=next_day,
    )
    valid, rejected = outcome(source(), "impressions", days=[DAY, next_day])
    assert sorted(r["dt"] for r in valid) == [DAY, next_day]
    assert [(r["dt"], r["file"], r["row"]) for r in rejected] == [(DAY, "p.parquet", 2)]


def test_a_misspelt_optional_column_is_no_absent_one(source, land, con):
    path = land(
        "conversions", "conversion_id,usr_id,event_ts,event_name\n1,2,2026-01-02,checkout\n"
    )
    with pytest.raises(LandingError, match="no column 'user_id', but 'usr_id' is like it") as told:
        read_stream(source(), "conversions", [DAY], con=con)
    assert str(path) in str(told.value)
    absent = {"impressions": {}, "conversions": {"columns": {"user_id": None}}}
    (rows,) = read_stream(source(streams=absent), "conversions", [DAY], con=con)
    assert con.to_pyarrow(rows.count()).as_py() == 1


def test_an_optional_column_is_in_all_files_or_in_none(source, land, con):
    header = "conversion_id,event_ts,event_name"
    land("conversions", f"{header},value\n1,2026-01-02,checkout,5\n", name="a.csv")
    lacking = land("conversions", f"{header}\n2,2026-01-02,checkout\n", name="b.csv")
    with pytest.raises(LandingError, match="no column 'value', which other files") as told:
        read_stream(source(), "conversions", [DAY], con=con)
    assert str(lacking) in str(told.value)


def test_many_small_files_of_json_lines_fit_into_little_memory(source, land, outcome):
    days = [DAY + dt.timedelta(days=i) for i in range(60)]
    for day in days:
        line = json.dumps(row(impression_id=str(day), impression_ts=f"{day} 10:00:00"))
        land("impressions", line + "\n", name="a.jsonl", day=day)
    valid, rejected = outcome(source(), "impressions", days=days)
    assert (len(valid), rejected) == (60, [])
