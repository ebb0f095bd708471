"""Streams that lie in tables: the same rows as from files, and fingerprints by day."""

import datetime as dt
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import duckdb
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.landed import days_with_folders, inspect_day, inspect_days
from convcg_assets.sources.log_table import LogTable
from convcg_assets.sources.reading import check_files
from convcg_assets.sources.source import Source

from .shop_log import COLUMNS, FIRST_DAY, PLAIN, Row, draw_log, land, shop_source

LOG = draw_log(Random(5))
NEXT = FIRST_DAY + dt.timedelta(days=1)
DATABASE = "CONVCG_TEST_POSTGRES"
Keys = dict[str, str]


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names a database to the tests of Postgres."""
    if request.node.get_closest_marker("postgres"):
        url = request.getfixturevalue("postgres").create_database()
        monkeypatch.setenv(DATABASE, url.replace("+psycopg", ""))


def time_of(row: Row) -> dt.datetime:
    return dt.datetime.fromtimestamp(row[0] // 1000, dt.UTC)


def as_table(rows: list[Row]) -> pa.Table:
    columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    times = [time_of(row) for row in rows]
    return pa.table(
        columns
        | {
            "arrived": pa.array(times, pa.timestamp("us", tz="UTC")),
            "arrival_day": pa.array([time.date() for time in times], pa.date32()),
        }
    )


def write_delta(root: Path, rows: list[Row]) -> Keys:
    write_deltalake(root / "lake" / "events", as_table(rows), mode="overwrite")
    return {"delta": "lake/events", "day": "arrived"}


def write_parts(root: Path, rows: list[Row]) -> Keys:
    write_deltalake(root / "parts", as_table(rows), mode="overwrite", partition_by=["arrival_day"])
    return {"delta": "parts", "day": "arrival_day"}


def write_iceberg(root: Path, rows: list[Row]) -> Keys:
    catalog = pytest.importorskip("pyiceberg.catalog.sql").SqlCatalog
    (root / "ice").mkdir(exist_ok=True)
    found = catalog("shop", uri=f"sqlite:///{root}/ice.db", warehouse=f"file://{root}/ice")
    held = as_table(rows)
    found.create_namespace_if_not_exists("shop")
    if found.table_exists("shop.events"):
        found.load_table("shop.events").overwrite(held)
    else:
        found.create_table("shop.events", schema=held.schema).append(held)
    place = {"catalog": "sqlite:///ice.db", "name": "shop"}
    return {"iceberg": "shop.events", "day": "arrived", **place}


def write_sqlite(root: Path, rows: list[Row]) -> Keys:
    with sqlite3.connect(root / "shop.db") as con:
        con.execute("DROP TABLE IF EXISTS events")
        con.execute(
            "CREATE TABLE events (timestamp INTEGER, visitorid INTEGER, event TEXT, "
            "itemid INTEGER, transactionid INTEGER, arrived TIMESTAMP)"
        )
        con.executemany(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)",
            [(*row, f"{time_of(row):%Y-%m-%d %H:%M:%S}") for row in rows],
        )
    con.close()
    return {"database": "sqlite:///shop.db", "name": "events", "day": "arrived"}


def write_query(root: Path, rows: list[Row]) -> Keys:
    keys = write_sqlite(root, rows)
    del keys["name"]
    query = "SELECT *, date(timestamp / 1000, 'unixepoch') AS d FROM events"
    return keys | {"query": query, "day": "d", "changed": "timestamp"}


def write_duckdb(root: Path, rows: list[Row]) -> Keys:
    held = as_table(rows)
    with duckdb.connect(root / "shop.duckdb") as con:
        con.register("held", held)
        con.execute("CREATE OR REPLACE TABLE events AS FROM held")
    return {"database": "duckdb:///shop.duckdb", "name": "events", "day": "arrival_day"}


def write_changing(root: Path, rows: list[Row]) -> Keys:
    return write_duckdb(root, rows) | {"day": "arrived", "changed": "timestamp"}


def write_changing_by_date(root: Path, rows: list[Row]) -> Keys:
    return write_duckdb(root, rows) | {"changed": "timestamp"}


def write_postgres(root: Path, rows: list[Row]) -> Keys:
    url = os.environ[DATABASE]
    psycopg, table = pytest.importorskip("psycopg"), f"convcg_{abs(hash(root))}"
    with psycopg.connect(url, autocommit=True) as con:
        con.execute("SET TimeZone = 'Asia/Tokyo'")
        con.execute(f"DROP TABLE IF EXISTS {table}")
        con.execute(
            f"CREATE TABLE {table} (timestamp BIGINT, visitorid BIGINT, event TEXT, "
            "itemid INTEGER, transactionid BIGINT, arrived TIMESTAMPTZ, note JSONB)"
        )
        con.cursor().executemany(
            f"INSERT INTO {table} VALUES (%s, %s, %s, %s, %s, %s)",
            [(*row, time_of(row)) for row in rows],
        )
    return {"database": url, "name": table, "day": "arrived"}


def write_postgres_query(root: Path, rows: list[Row]) -> Keys:
    keys = write_postgres(root, rows)
    query = f"SELECT *, CAST(arrived AT TIME ZONE 'UTC' AS DATE) AS d FROM {keys.pop('name')}"
    return keys | {"query": query, "day": "d", "changed": "timestamp"}


KINDS = [
    write_delta,
    write_parts,
    write_iceberg,
    write_sqlite,
    write_query,
    write_duckdb,
    write_changing,
    write_changing_by_date,
    pytest.param(write_postgres, marks=pytest.mark.postgres),
    pytest.param(write_postgres_query, marks=pytest.mark.postgres),
]


def in_table(source: Source, keys: Keys) -> Source:
    """The same source, its two streams in a table."""
    fields = source.model_dump(mode="json")
    for stream in ("engagements", "conversions"):
        fields["streams"][stream] |= {"path": None, "format": None, "table": keys}
    return Source.model_validate(fields)


@pytest.mark.parametrize("write", KINDS)
def test_rows_are_those_of_files(tables, tmp_path, write: Callable[[Path, list[Row]], Keys]):
    days = land(tmp_path, LOG, PLAIN)
    source = shop_source(tmp_path, days, PLAIN)
    held = in_table(source, write(tmp_path, LOG))
    found = []
    for given in (source, held):
        rows = tables(given, days)
        for row in rows["rejected_events"]:
            del row["file"], row["row"], row["raw"]
        found.append({table: sorted(map(repr, of_table)) for table, of_table in rows.items()})
    assert found[1] == found[0]
    assert len(found[0]["engagements"]) > 100
    assert days_with_folders(held, "conversions") == days


@pytest.mark.parametrize("write", KINDS)
def test_a_row_that_changes_makes_its_day_differ_and_no_other(tmp_path, write):
    source = shop_source(tmp_path, [FIRST_DAY], PLAIN)
    last = max(LOG)
    before = inspect_days(in_table(source, write(tmp_path, LOG)), [FIRST_DAY, NEXT])
    rows = [row for row in LOG if row != last]
    again = inspect_days(in_table(source, write(tmp_path, LOG[::-1])), [FIRST_DAY, NEXT])
    assert again == before, "no order of rows matters"
    grown = (last[0] + 1, *last[1:])
    after = inspect_days(in_table(source, write(tmp_path, [*rows, grown])), [FIRST_DAY, NEXT])
    assert after[FIRST_DAY] == before[FIRST_DAY]
    assert after[NEXT].files.keys() == before[NEXT].files.keys()
    assert after[NEXT] != before[NEXT]


def test_an_integer_beyond_what_a_float_holds_stays_what_it_is(tables, tmp_path):
    big = 2**53 + 1
    rows: list[Row] = [(1_795_478_400_000 + i, big if i else 1, "view", 2, None) for i in range(2)]
    keys = write_sqlite(tmp_path, rows)
    source = in_table(shop_source(tmp_path, [FIRST_DAY], PLAIN), keys)
    day = time_of(rows[0]).date()
    source = source.model_copy(update={"first_day": day})
    fields = source.model_dump(mode="json")
    fields["streams"]["conversions"]["on_missing_day"] = "empty"
    found = tables(Source.model_validate(fields), [day])
    assert {row["user_id"] for row in found["engagements"]} == {1, big}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"delta": "none", "day": "arrived"}, "table none cannot be read"),
        ({"database": "sqlite:///none.db", "name": "events", "day": "d"}, "none.db does not exist"),
        ({"database": "sqlite:///shop.db", "name": "evnts", "day": "d"}, "evnts"),
        ({"database": "sqlite:///shop.db", "name": "events", "day": "d"}, "no column 'd' .found:"),
        (
            {"database": "sqlite:///shop.db", "name": "events", "day": "event"},
            "240 rows have no day in column 'event'",
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_told(tmp_path, keys, said):
    write_sqlite(tmp_path, (LOG * 2)[:240])
    source = in_table(shop_source(tmp_path, [FIRST_DAY], PLAIN), keys)
    with pytest.raises(LandingError, match=said):
        check_files(source, "engagements", [FIRST_DAY])
    assert inspect_day(source, FIRST_DAY).missing is not None
    assert not (tmp_path / "none.db").exists()


def test_a_day_without_rows_has_not_landed(tmp_path):
    source = in_table(shop_source(tmp_path, [FIRST_DAY], PLAIN), write_delta(tmp_path, LOG))
    late = FIRST_DAY + dt.timedelta(days=9)
    with pytest.raises(LandingError, match=f"events has no rows of {late}") as error:
        check_files(source, "engagements", [FIRST_DAY, late])
    assert list(error.value.days) == [late]
    found = inspect_days(source, [FIRST_DAY, late])
    assert found[FIRST_DAY].missing is None
    assert "no rows of" in (found[late].missing or "")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"day": "d"}, "exactly one of delta, iceberg, database"),
        ({"delta": "a", "iceberg": "b", "day": "d"}, "exactly one of delta, iceberg, database"),
        ({"iceberg": "b", "day": "d"}, "iceberg and catalog belong together"),
        ({"database": "sqlite:///x", "day": "d"}, "database needs name or query"),
        (
            {"database": "sqlite:///x", "name": "a", "query": "b", "day": "d"},
            "name or query, and not both",
        ),
        ({"delta": "a", "changed": "c", "day": "d"}, "query and changed are for a database"),
    ],
)
def test_mistaken_keys_are_explained(keys, said):
    with pytest.raises(ValueError, match=said):
        LogTable.model_validate(keys)


def test_places_are_below_the_landing_folder_and_secrets_in_the_environment(monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", "secret")
    root = Path("/logs")
    table = LogTable(database="postgresql://me:${SHOP_PASSWORD}@db/shop", name="orders", day="d")
    assert table.located(root).database == "postgresql://me:secret@db/shop"
    assert LogTable(delta="s3://b/t", day="d").located(root).delta == "s3://b/t"
    for url, wanted in (
        ("sqlite:///shop.db", "sqlite:////logs/shop.db"),
        ("sqlite:////var/shop.db", "sqlite:////var/shop.db"),
        ("duckdb:///a/b.db", "duckdb:////logs/a/b.db"),
    ):
        assert LogTable(database=url, name="o", day="d").located(root).database == wanted
    monkeypatch.delenv("SHOP_PASSWORD")
    with pytest.raises(ValueError, match="no variable SHOP_PASSWORD"):
        table.located(root)
