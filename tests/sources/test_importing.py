"""The splitter, and streams that a log does not have."""

import datetime as dt
import gzip
import json

import duckdb
import pyarrow.parquet as pq
import pytest

from convcg_assets.sources.reading import LandingError
from convcg_assets.sources.source import load_source
from convcg_assets.sources.split import split_file

DAY = dt.date(2026, 1, 2)
NOON = 1767355200_000  # 2026-01-02 12:00 UTC in ms
DAY_MS = 86_400_000
SHOP = "\n".join(
    [
        "t,visitor,what,item,order",
        f"{NOON},007,view,a,",
        f'{NOON + 3 * DAY_MS},007,buy,"x,""y""",9',
        "soon,007,view,b,",
        f"{NOON + 1000},8,view,a,",
    ]
)


def test_split_cuts_by_day_and_keeps_rows_as_they_are(tmp_path):
    log = tmp_path / "log.csv.gz"
    log.write_bytes(gzip.compress(SHOP.encode()))
    counts = split_file(log, into=tmp_path, stream="log", time_column="t", time_unit="ms")
    days = [DAY + dt.timedelta(days=i) for i in range(4)]
    assert counts == dict(zip(days, [3, 0, 0, 1], strict=True))
    rows = pq.ParquetFile(tmp_path / "log" / "dt=2026-01-02" / "part-0.parquet").read().to_pylist()
    assert [(r["visitor"], r["t"]) for r in rows] == [
        ("007", str(NOON)),
        ("007", "soon"),  # no day of its own: the contract says why
        ("8", str(NOON + 1000)),
    ]
    last = pq.ParquetFile(tmp_path / "log" / "dt=2026-01-05" / "part-0.parquet").read().to_pylist()
    assert [r["item"] for r in last] == ['x,"y"']
    assert [p.name for p in (tmp_path / "log" / "dt=2026-01-03").iterdir()] == ["_SUCCESS"]
    assert sorted(p.name for p in (tmp_path / "log").iterdir()) == [f"dt={d}" for d in days]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_split_other_formats_by_utc_day(tmp_path, suffix):
    log = tmp_path / f"log.{suffix}"
    rows = [{"at": "2026-01-02 00:30", "n": 12345678901234567}, {"at": "2026-01-02T23:00Z", "n": 2}]
    lines = "\n".join(json.dumps(r) for r in rows)
    (tmp_path / "log.jsonl").write_text(lines)
    if suffix == "parquet":
        with duckdb.connect() as con:
            con.execute(f"COPY (FROM '{tmp_path}/log.jsonl') TO '{log}'")
    counts = split_file(log, into=tmp_path, stream="s", time_column="at", time_zone="Europe/Berlin")
    assert counts == {dt.date(2026, 1, 1): 1, DAY: 1}
    first = pq.ParquetFile(tmp_path / "s" / "dt=2026-01-01" / "part-0.parquet").read()
    assert str(first["n"].to_pylist()[0]) == "12345678901234567"


def test_split_refuses_what_is_there_unless_told(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("t,n\n2026-01-02,1\n")
    split_file(log, into=tmp_path, stream="s", time_column="t")
    with pytest.raises(FileExistsError, match=r"dt=2026-01-02 is there already.*--overwrite"):
        split_file(log, into=tmp_path, stream="s", time_column="t")
    log.write_text("t,n\n2026-01-02,2\n")
    split_file(log, into=tmp_path, stream="s", time_column="t", overwrite=True)
    rows = pq.ParquetFile(tmp_path / "s" / "dt=2026-01-02" / "part-0.parquet").read().to_pylist()
    assert [r["n"] for r in rows] == ["2"]


def test_split_explains(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("time,n\n1767355200,1\n")
    with pytest.raises(LandingError, match="no column 'tim'; did you mean 'time'"):
        split_file(log, into=tmp_path, stream="s", time_column="tim")
    with pytest.raises(LandingError, match="set --time-unit"):
        split_file(log, into=tmp_path, stream="s", time_column="time")


def test_a_shop_log_without_impressions_pins_and_users(tmp_path, tables):
    log = tmp_path / "log.csv"
    log.write_text(SHOP)
    split_file(log, into=tmp_path / "landing", stream="log", time_column="t", time_unit="ms")
    (tmp_path / "source.yaml").write_text("""
name: shop
first_day: 2026-01-02
implied_surface: related_pins
streams:
  engagements:
    path: log
    time_unit: ms
    where: {what: view}
    columns: {user_id: visitor, pin_id: item, engagement_ts: t, engagement_type: what}
    events: {view: click}
  conversions:
    path: log
    time_unit: ms
    where: {what: buy}
    columns: {user_id: visitor, pin_id: item, event_ts: t, event_name: what, event_id: order}
    events: {buy: checkout}
""")
    source = load_source(tmp_path / "source.yaml")
    days = [DAY + dt.timedelta(days=i) for i in range(4)]
    found = tables(source, days)
    assert [(r["stream"], r["reason"]) for r in found["rejected_events"]] == [
        ("engagements", "malformed engagement_ts: no time in ms since 1970")
    ]
    assert {r["impression_id"] for r in found["impressions"]} == {
        r["engagement_id"] for r in found["engagements"]
    }
    assert {r["surface"] for r in found["impressions"]} == {"related_pins"}
    assert sorted((r["dt"], r["user_id"]) for r in found["users"]) == [
        (DAY, "007"),
        (DAY, "8"),
        (days[3], "007"),
    ]
    pins = sorted((r["dt"], r["pin_id"]) for r in found["pins"])
    assert pins == [(DAY, "a"), (days[3], 'x,"y"')]
    assert found["pins"][0]["price"] is None
    assert [(r["event_id"], r["received_ts"]) for r in found["conversions"]] == [
        ("9", dt.datetime(2026, 1, 5, 12))
    ]


def test_a_log_without_engagements(source, land, tables):
    land("conversions", "event_name,event_ts,advertiser_id,pin_id\nlead,2026-01-02,z,p\n")
    shown = "user_id,pin_id,impression_ts,surface,advertiser_id\nu,p,2026-01-02,search,y\n"
    land("impressions", shown)
    found = tables(source(), [DAY])
    assert "engagements" not in found
    assert [(r["pin_id"], r["advertiser_id"]) for r in found["pins"]] == [("p", "z")]


def cut(log, tmp_path, **options):
    counts = split_file(log, into=tmp_path, stream="s", time_column="t", **options)
    files = sorted((tmp_path / "s").glob("dt=*/part-0.parquet"))
    return counts, {file.parent.name: pq.ParquetFile(file).read().to_pylist() for file in files}


@pytest.mark.parametrize("far", ["1970-01-01", "9999-12-31", "0001-01-01"])
def test_a_row_of_a_wrong_year_makes_no_folder_of_every_day(tmp_path, far):
    log = tmp_path / "log.csv"
    log.write_text(f"t,n\n2026-01-02,1\n{far},2\n2026-01-03,3\n")
    with pytest.raises(LandingError, match=rf"{far} \(1 rows\).*--first-day or --last-day"):
        cut(log, tmp_path)
    assert not list((tmp_path / "s").iterdir())
    counts, rows = cut(log, tmp_path, first_day=DAY, last_day=dt.date(2026, 1, 3))
    assert sum(counts.values()) == 3
    assert counts.keys() == {DAY, dt.date(2026, 1, 3)}
    assert sorted(row["t"] for of_day in rows.values() for row in of_day) == sorted(
        ["2026-01-02", "2026-01-03", far]
    )


def test_a_log_keeps_its_columns_whatever_they_are_called(tmp_path):
    names = ["_day", "_row", "_file", "_dt", "_line", "_defect", "filename", "file_index", "rows"]
    values = [str(number) for number in range(len(names))]
    log = tmp_path / "log.csv"
    log.write_text(f"t,{','.join(names)}\n2026-01-02,{','.join(values)}\n")
    expected = {"t": "2026-01-02"} | dict(zip(names, values, strict=True))
    assert cut(log, tmp_path)[1] == {"dt=2026-01-02": [expected]}
    again = tmp_path / "log.parquet"
    (tmp_path / "s" / "dt=2026-01-02" / "part-0.parquet").rename(again)
    assert cut(again, tmp_path, overwrite=True)[1] == {"dt=2026-01-02": [expected]}


def test_columns_that_the_engine_takes_for_one_are_refused(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"t": "2026-01-02", "Id": 1, "id": 2}\n')
    with pytest.raises(LandingError, match="'Id' and 'id' differ in case alone"):
        cut(log, tmp_path)


def test_rows_that_cannot_be_read_are_cut_with_their_text(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text('t,n\n2026-01-02,1\n2026-01-02,"x" y\n2026-01-03,2\n')
    _, rows = cut(log, tmp_path)
    defect, line = "text after a closing quote", '2026-01-02,"x" y'
    assert rows["dt=2026-01-02"] == [
        {"t": "2026-01-02", "n": "1", "_convcg_defect": None, "_convcg_line": None},
        {"t": None, "n": None, "_convcg_defect": defect, "_convcg_line": line},
    ]
    assert rows["dt=2026-01-03"] == [{"t": "2026-01-03", "n": "2"}]
