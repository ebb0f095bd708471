"""Late files, through the real ingestion and attribution: which label days they change."""

import datetime as dt
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from convcg_assets.builds.raw import ingest
from convcg_assets.days import Days
from convcg_assets.lake.delta import Lake
from convcg_assets.sources.source import load_source
from convcg_assets.tables.attributed_conversions import attribute
from convcg_assets.tables.settings import AttributionSettings
from convcg_simulation import World, WorldConfig, write_day, write_source
from convcg_simulation.landed import open_landed
from convcg_simulation.late_file import FIRST_LATE_ID, LateBatch, write_late_file

NUM_DAYS = 20
LAST_DAY = dt.date(2026, 3, 21)
DAYS = Days(dt.date(2026, 3, 2), LAST_DAY)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    config = WorldConfig.scaled(
        impressions_per_day=2000, num_days=NUM_DAYS, seed=5, first_day=DAYS.first
    )
    write_source(config, folder=folder)
    world = World(config)
    for day in range(NUM_DAYS):
        write_day(world, day, folder / "landing")
    return folder


def advertiser_of(home: Path, *, names_pin: bool) -> int:
    """The largest of those whose reports do, or do not, name the Pin."""
    of = open_landed(home).world.advertisers
    return int(of.advertiser_id[np.argmax(np.where(of.names_pin == names_pin, of.size, 0))])


def credited(home: Path, lake: Lake, con, *, days: Days) -> list[dict]:
    """The attributed conversions of the whole log, after landing some days of it again."""
    source = load_source(home / "source.yaml")
    ingest(source, days, lake=lake, con=con)
    raw = [lake.read(t, DAYS, con=con) for t in ("conversions", "impressions", "engagements")]
    result = attribute(*raw, settings=AttributionSettings(), days=DAYS)
    attributed = result.filter(result.status == "attributed").order_by("conversion_id")
    return con.to_pyarrow(attributed).to_pylist()


def test_exactly_the_label_days_named_gain_the_numbers_named(home, tmp_path, con):
    lake = Lake(str(tmp_path), load_source(home / "source.yaml").id_types)
    before = credited(home, lake, con, days=DAYS)
    landed = open_landed(home)
    batches = [
        write_late_file(landed),
        write_late_file(landed),
        write_late_file(landed, advertiser_id=advertiser_of(home, names_pin=True)),
        write_late_file(
            landed,
            advertiser_id=advertiser_of(home, names_pin=False),
            arrival_date=LAST_DAY,
            num_label_days=5,
            num_conversions=8,
        ),
    ]
    after = credited(home, lake, con, days=Days(LAST_DAY - dt.timedelta(days=2), LAST_DAY))

    gained = Counter(row["impression_day"] for row in after)
    gained.subtract(row["impression_day"] for row in before)
    assert +gained == sum((Counter(batch.gained) for batch in batches), Counter())
    ids = {row["conversion_id"] for row in before}
    late = [row for row in after if row["conversion_id"] >= FIRST_LATE_ID]
    assert [row for row in after if row["conversion_id"] in ids] == before
    assert len(after) == len(before) + len(late)
    assert {row["touch_type"] for row in late} == {"click"}
    assert {row["dt"] for row in late} == {batch.arrival_date for batch in batches}
    # Label days longer ago than the longest reporting lag are among them.
    assert max((row["dt"] - row["impression_day"]).days for row in late) > 7
    assert all(0 < (row["dt"] - row["event_ts"].date()).days <= 7 for row in late)
    rejected = con.to_pyarrow(lake.read("rejected_events", DAYS, con=con)).to_pylist()
    assert not [row for row in rejected if row["file"].startswith("late-")]


def test_every_call_adds_another_file_with_other_rows(home):
    advertiser_id = advertiser_of(home, names_pin=True)
    arrival = LAST_DAY - dt.timedelta(days=4)
    files = [_late(home, advertiser_id=advertiser_id, arrival_date=arrival) for _ in range(3)]
    assert [file.path.name for file in files] == [
        f"late-{advertiser_id}{suffix}.parquet" for suffix in ("", "-2", "-3")
    ]
    rows = [pq.ParquetFile(file.path).read() for file in files]
    assert len({str(table["event_ts"]) for table in rows}) == 3
    for column in ("conversion_id", "event_id"):
        values = [value for table in rows for value in table[column].to_pylist()]
        assert len(set(values)) == sum(sum(file.gained.values()) for file in files)
    again = files[1].path.read_bytes()
    files[2].path.unlink()
    files[1].path.unlink()
    assert _late(home, advertiser_id=advertiser_id, arrival_date=arrival) == files[1]
    assert files[1].path.read_bytes() == again


def test_a_late_file_has_the_columns_of_the_log_and_outlives_its_landing_again(home):
    batch = _late(home, arrival_date=LAST_DAY - dt.timedelta(days=6))
    log = batch.path.with_name("part-0.parquet")
    assert pq.read_schema(batch.path).equals(pq.read_schema(log))
    landed = open_landed(home)
    write_day(landed.world, landed.world.config.day_of(batch.arrival_date), landed.landing_dir)
    assert sorted(file.name for file in batch.path.parent.iterdir()) == [
        batch.path.name,
        "part-0.parquet",
    ]


def _late(home: Path, **options) -> LateBatch:
    return write_late_file(open_landed(home), **options)
