"""A catalogue that lands once, or now and then, holds until the next one."""

import datetime as dt
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.sources.source import Source
from convcg_assets.tables.raw import RAW

from .deployment import build_once, contents, converge, look, make_deployment
from .logs import FIRST_DAY, ID_TYPES, Landing, Row, day

NUM_DAYS = 38
"""More than features look back: the first snapshot leaves their window."""


class Logs(Landing):
    """Impressions that name no advertiser, some clicks and purchases, and snapshots by hand."""

    def land(self, offset: int) -> None:
        for stream in ("impressions", "engagements", "conversions"):
            rows = self.draw(stream, offset) if offset % 6 == 0 or offset > 32 else []
            self.write(day(offset), stream, rows)

    def snapshot(self, offset: int, *, pins: dict[int, int], users: dict[int, str]) -> None:
        """A catalogue of {Pin: advertiser}, and users of {user: country}."""
        born = dt.datetime(2026, 1, 1)
        self.write(
            day(offset),
            "pins",
            [{"pin_id": p, "advertiser_id": a, "created_ts": born} for p, a in pins.items()],
        )
        self.write(day(offset), "users", [{"user_id": u, "country": c} for u, c in users.items()])


def source_of(landing: Path) -> Source:
    unnamed = {"columns": {"advertiser_id": None}}
    streams = {"impressions": unnamed, "engagements": {}, "conversions": unnamed}
    now_and_then = {"on_missing_day": "empty"}
    return Source.model_validate(
        {"name": "tiny", "first_day": FIRST_DAY, "landing": landing, "id_types": ID_TYPES}
        | {"streams": {**streams, "pins": now_and_then, "users": now_and_then}}
    )


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    logs = Logs(tmp_path / "landing", Random(11))
    for offset in range(NUM_DAYS):
        logs.land(offset)
    logs.snapshot(0, pins={0: 10, 1: 11, 2: 12}, users={0: "DE", 1: "FR", 2: "US"})
    return logs


def from_scratch(logs: Logs, home: Path, con: Backend) -> Deployment:
    deployment = make_deployment(home, source_of(logs.root))
    build_once(deployment, [day(o) for o in range(NUM_DAYS)], con=con)
    return deployment


def rows_of(deployment: Deployment, table: str, day: dt.date, con: Backend) -> list[Row]:
    rows = deployment.lake.read(table, Days(day, day), con=con)
    return con.to_pyarrow(rows).to_pylist()


def test_one_catalogue_names_pins_and_advertisers_of_every_day(
    logs: Logs, tmp_path: Path, con: Backend
) -> None:
    deployment = from_scratch(logs, tmp_path / "home", con)
    assert not any(look(deployment).staleness.stale.values())
    for offset in (1, 30, 31, 33, NUM_DAYS):
        pins = rows_of(deployment, "pin_features", day(offset), con)
        assert {row["pin_id"]: row["advertiser_id"] for row in pins} == {0: 10, 1: 11, 2: 12}
        users = rows_of(deployment, "user_features", day(offset), con)
        known = {row["user_id"]: row["country"] for row in users}
        assert known == {0: "DE", 1: "FR", 2: "US"}
    named = {
        (row["pin_id"], row["advertiser_id"])
        for offset in range(33, NUM_DAYS)
        for row in rows_of(deployment, "impressions", day(offset), con)
    }
    # The Pin that the catalogue lacks has no advertiser.
    assert named == {(0, 10), (1, 11), (2, 12), (3, None)}


def test_each_day_alone_gives_the_rows_of_the_range(
    logs: Logs, tmp_path: Path, con: Backend
) -> None:
    deployment = from_scratch(logs, tmp_path / "home", con)
    tables = ("impressions", "conversions", "pins", "user_features", "pin_features")
    ranged = contents(deployment, con=con, tables=tables)
    for offset in (0, 1, 33, NUM_DAYS - 1):
        build_table(deployment, RAW, Days(day(offset), day(offset)), con=con)
    for offset in (1, 30, 33, 34, NUM_DAYS):
        for table in ("user_features", "pin_features"):
            build_table(deployment, table, Days(day(offset), day(offset)), con=con)
    assert contents(deployment, con=con, tables=tables) == ranged


@pytest.mark.parametrize("change", ["again", "between", "gone"])
def test_a_snapshot_that_changes_repairs_the_days_that_it_held(
    logs: Logs, tmp_path: Path, con: Backend, change: str
) -> None:
    deployment = from_scratch(logs, tmp_path / "home", con)
    if change == "again":
        logs.snapshot(0, pins={0: 10, 1: 77, 2: 12}, users={0: "DE", 1: "FR", 2: "IT"})
    elif change == "gone":
        logs.snapshot(0, pins={}, users={})
    else:
        logs.snapshot(2, pins={0: 10, 3: 13}, users={0: "DE"})
    converge(deployment, con=con)
    scratch = from_scratch(logs, tmp_path / "scratch", con)
    assert contents(deployment, con=con) == contents(scratch, con=con)


def test_a_new_snapshot_leaves_the_days_before_it_alone(
    logs: Logs, tmp_path: Path, con: Backend
) -> None:
    deployment = from_scratch(logs, tmp_path / "home", con)
    logs.snapshot(35, pins={0: 10}, users={0: "DE"})
    built = converge(deployment, con=con)
    # The days on which it holds are read again, with the names that it gives.
    assert set(built[RAW]) == {day(o) for o in range(35, NUM_DAYS)}
    assert set(built["pin_features"]) == {day(o) for o in range(36, NUM_DAYS + 1)}


def test_an_empty_file_of_a_snapshot_changes_nothing(
    logs: Logs, tmp_path: Path, con: Backend
) -> None:
    deployment = from_scratch(logs, tmp_path / "home", con)
    pins = contents(deployment, con=con, tables=["pin_features"])
    folder = logs.root / "pins" / f"dt={day(35)}"
    folder.mkdir(parents=True)
    schema = pq.read_schema(next((logs.root / "pins").glob("*/*.parquet")))
    pq.write_table(schema.empty_table(), folder / "a.parquet")
    converge(deployment, con=con)
    assert contents(deployment, con=con, tables=["pin_features"]) == pins
