"""The logs of a small world: same bytes in any order, the contract's columns, broken rows."""

import hashlib
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcg_assets.tables.registry import TABLES
from convcg_simulation import World, WorldConfig, world_from_source, write_day, write_source
from convcg_simulation.arrivals import engagement_log, impression_log

CONFIG = WorldConfig(
    seed=3,
    num_days=10,
    first_day=date(2026, 3, 2),
    impressions_per_day=400,
    num_users=120,
    num_pins=500,
    new_pins_per_day=5,
    new_users_per_day=3,
    num_advertisers=20,
    organic_rate=0.02,
    broken_rate=0.01,
)
STREAMS = ("impressions", "engagements", "conversions", "pins", "users")
TYPES = {
    "timestamp(6)": pa.timestamp("us"),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "array<float64>": pa.list_(pa.float64()),
}


def written(world: World, day: int, folder: Path) -> dict[str, str]:
    write_day(world, day, folder)
    dt = f"dt={world.config.date_of(day)}"
    files = {stream: folder / stream / dt / "part-0.parquet" for stream in STREAMS}
    return {stream: hashlib.md5(file.read_bytes()).hexdigest() for stream, file in files.items()}


@pytest.fixture(scope="module")
def in_order(tmp_path_factory) -> list[dict[str, str]]:
    world, folder = World(CONFIG), tmp_path_factory.mktemp("in_order")
    return [written(world, day, folder) for day in range(13)]


@settings(max_examples=6, deadline=None)
@given(order=st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_any_order_of_days_gives_the_same_bytes(order, in_order, tmp_path_factory):
    world, folder = World(CONFIG), tmp_path_factory.mktemp("any_order")
    for day in order:
        assert written(world, day, folder) == in_order[day]


def test_another_seed_gives_other_bytes(in_order, tmp_path):
    other = World(CONFIG.model_copy(update={"seed": 4}))
    hashes = written(other, 2, tmp_path)
    assert all(hashes[stream] != in_order[2][stream] for stream in STREAMS)


def test_files_have_the_columns_of_the_contract(tmp_path):
    write_day(World(CONFIG), 4, tmp_path)
    for stream in STREAMS:
        table = pq.ParquetFile(tmp_path / stream / "dt=2026-03-06" / "part-0.parquet").read()
        expected = {
            name: TYPES["int64" if column.type.startswith("id:") else column.type]
            for name, column in TABLES[stream].columns.items()
            if name not in ("dt", "impression_day") and not column.added
        }
        assert dict(zip(table.schema.names, table.schema.types, strict=True)) == expected
    content = pq.ParquetFile(tmp_path / "pins/dt=2026-03-06/part-0.parquet").read()["content"]
    assert {len(vector) for vector in content.to_pylist()} == {32}


def test_broken_rows_come_on_top_of_the_good_ones(tmp_path):
    rows = write_day(World(CONFIG), 4, tmp_path)
    whole = write_day(World(CONFIG.model_copy(update={"broken_rate": 0.0})), 4, tmp_path)
    for stream in ("impressions", "engagements", "conversions"):
        assert whole[stream] < rows[stream] <= whole[stream] + max(5, 0.1 * whole[stream])
    assert rows["pins"] == whole["pins"] == 500 + 4 * 5
    assert rows["users"] == whole["users"] == 120 + 4 * 3


def test_engagements_arrive_with_or_after_their_impression():
    world = World(CONFIG.model_copy(update={"late_share": 0.2}))
    arrival = {
        impression: day
        for day in range(5)
        for impression in impression_log(world, day)["impression_id"].to_pylist()
    }
    assert len(arrival) == sum(impression_log(world, day).num_rows for day in range(5))
    for day in range(5):
        for impression in engagement_log(world, day)["impression_id"].to_pylist():
            assert arrival[impression] <= day


def test_ids_do_not_repeat_over_days():
    world = World(CONFIG)
    ids = [i for day in range(6) for i in engagement_log(world, day)["engagement_id"].to_pylist()]
    assert len(ids) == len(set(ids)) > 0


def test_a_source_file_rebuilds_its_world(tmp_path):
    path = write_source(CONFIG, folder=tmp_path)
    assert world_from_source(path).config == CONFIG
    path.write_text("name: shop\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no `simulation` section"):
        world_from_source(path)


def test_days_before_the_world_are_refused():
    with pytest.raises(ValueError, match="days start at 0"):
        World(CONFIG).day(-1)
    with pytest.raises(ValueError, match="the earliest is 2026-03-02"):
        CONFIG.day_of(date(2026, 3, 1))
