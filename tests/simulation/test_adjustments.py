"""Worlds whose conversions are taken back and restated, and worlds that know nothing of it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from convcg_assets.sources.columns import ADJUSTMENTS
from convcg_assets.sources.source import load_source
from convcg_simulation import World, WorldConfig, write_day, write_source

CONFIG = WorldConfig.scaled(
    impressions_per_day=2000, first_day="2026-03-01", num_days=12, adjusted_share=0.5
)
DAYS = range(12)


def landed(config: WorldConfig, folder: Path) -> dict[str, list[pa.Table]]:
    world = World(config)
    for day in DAYS:
        write_day(world, day, folder)
    streams = sorted(path.name for path in folder.iterdir())
    return {
        stream: [pq.read_table(file) for file in sorted((folder / stream).glob("*/*.parquet"))]
        for stream in streams
    }


def test_adjustments_are_of_conversions_and_change_nothing_else(tmp_path: Path) -> None:
    adjusted = landed(CONFIG, tmp_path / "adjusted")
    plain = landed(CONFIG.model_copy(update={"adjusted_share": 0.0}), tmp_path / "plain")
    said = pa.concat_tables(adjusted.pop(ADJUSTMENTS)).to_pylist()
    assert adjusted == plain
    bought = pa.concat_tables(plain["conversions"]).to_pylist()
    reported = {(row["advertiser_id"], row["event_id"]): row for row in bought}
    assert {row["adjustment_type"] for row in said} == {"retraction", "restatement"}
    assert len({row["adjustment_id"] for row in said}) == len(said) > 20
    of = [reported.get((row["advertiser_id"], row["event_id"])) for row in said]
    # Some arrive before the report of what they adjust: it comes after these days.
    assert sum(conversion is not None for conversion in of) > 0.8 * len(said)
    for row, conversion in zip(said, of, strict=True):
        assert row["adjustment_ts"] <= row["received_ts"]
        if row["adjustment_type"] == "restatement" and conversion is not None:
            assert 0 <= row["value"] <= conversion["value"]
        assert (row["value"] is None) == (row["adjustment_type"] == "retraction")


def test_the_source_file_has_the_stream_where_the_world_has_it(tmp_path: Path) -> None:
    assert load_source(write_source(CONFIG, folder=tmp_path)).stream(ADJUSTMENTS) is not None
    plain = CONFIG.model_copy(update={"adjusted_share": 0.0})
    assert load_source(write_source(plain, folder=tmp_path)).stream(ADJUSTMENTS) is None
