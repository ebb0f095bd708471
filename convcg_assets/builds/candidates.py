"""The candidates of a day: which users, what they bought, which Pins are eligible, and the rows."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from ibis import _

from convcg_assets.builds.build import Build
from convcg_assets.lake.engine import as_query, stream_rows
from convcg_assets.tables.candidate_settings import CandidateSettings
from convcg_model.candidates import find_candidates
from convcg_model.live_index import LiveIndex
from convcg_model.pin_filter import PinFilter
from convcg_model.user_table import feature_rows
from convcg_model.user_tower import UserTower

BATCH_USERS = 4096
SURFACE = "homefeed"


def user_batches(build: Build, settings: CandidateSettings) -> Iterator[pa.RecordBatch]:
    """The users of the day with their features, by id, and what they bought (`bought`)."""
    users = build.read("user_features")
    sold = build.read("attributed_conversions").filter(
        _.event_name == "checkout", _.status != "duplicate", _.user_id.notnull()
    )
    sold = sold.mutate(bought_pin_id=ibis.coalesce(_.pin_id, _.touch_pin_id))
    bought = sold.group_by("user_id").agg(bought=_.bought_pin_id.collect(distinct=True))
    joined = users.left_join(bought, "user_id").drop("user_id_right").order_by("user_id")
    if not settings.bought_days:
        joined = users.mutate(bought=ibis.null(bought.bought.type())).order_by("user_id")
    schema, con = joined.schema(), build.con
    with as_query(joined, con=con) as query, stream_rows(query, schema=schema, con=con) as batches:
        for batch in batches:
            for start in range(0, batch.num_rows, BATCH_USERS):
                yield batch.slice(start, BATCH_USERS)


def write_candidates(
    path: Path,
    batches: Iterator[pa.RecordBatch],
    *,
    day: dt.date,
    index: LiveIndex,
    tower: UserTower,
    settings: CandidateSettings,
    version: str,
) -> tuple[int, int]:
    """Write the candidates of users as one Parquet file; numbers of users and of rows.

    Columns: `dt`, `user_id`, `rank` from 1, `pin_id`, `score`, `model_version`, `version`.
    """
    pins = with_countries(index.pins, settings.filter_table)
    ids = pins["pin_id"].combine_chunks()
    num_users, num_rows, writer = 0, 0, None
    try:
        for batch in batches:
            users = pa.Table.from_batches([batch])
            for mask, of_country in eligible_by_country(users, pins, settings):
                rows = feature_rows(of_country, tower.spec, day=day, surface=SURFACE)
                found = find_candidates(
                    rows,
                    index=index,
                    tower=tower,
                    k=settings.k,
                    left_out=of_country["bought"].to_pylist(),
                    eligible=mask,
                    max_per_advertiser=settings.max_per_advertiser,
                )
                num = len(found.user)
                table = pa.table(
                    {
                        "dt": pa.array([day] * num, pa.date32()),
                        "user_id": of_country["user_id"].take(pa.array(found.user)),
                        "rank": pa.array(found.rank.astype(np.int32)),
                        "pin_id": ids.take(pa.array(found.pin)),
                        "score": pa.array(found.score),
                        "model_version": pa.array([index.model_version] * num, pa.string()),
                        "version": pa.array([version] * num, pa.string()),
                    }
                )
                writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
                writer.write_table(table)
                num_rows += num
            num_users += users.num_rows
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise ValueError(f"user_features of {day} hold nobody: there is no one to find Pins for")
    return num_users, num_rows


def eligible_by_country(
    users: pa.Table, pins: pa.Table, settings: CandidateSettings
) -> Iterator[tuple[np.ndarray | None, pa.Table]]:
    """Which Pins may be shown (None: all), and to which of the users."""
    conditions = PinFilter(
        allow_advertisers=settings.allow_advertisers,
        block_advertisers=settings.block_advertisers,
        min_price=settings.min_price,
        max_price=settings.max_price,
    )
    everywhere = conditions.mask(pins)
    if "countries" not in pins.column_names:
        yield (None if everywhere.all() else everywhere), users
        return
    listed = pc.is_valid(pins["countries"]).to_numpy(zero_copy_only=False)
    for country in users["country"].unique().to_pylist():
        own = pc.fill_null(pc.equal(users["country"], country), False)
        own = pc.is_null(users["country"]) if country is None else own
        # Of whom nothing is known only what may be shown in all countries.
        mask = everywhere & listed & PinFilter(country=country or "").mask(pins)
        yield mask, users.filter(own)


def with_countries(pins: pa.Table, filter_table: Path | None) -> pa.Table:
    """The Pins with a column `countries` of those that the filter table names: null for one that
    it does not, empty for one that may be shown in all.

    ValueError where the table cannot be read or has no `pin_id`.
    """
    if filter_table is None:
        return pins
    rows = _read_table(filter_table)
    if "pin_id" not in rows.column_names:
        raise ValueError(
            f"candidates.filter_table {filter_table} has no column pin_id, but "
            f"{', '.join(rows.column_names)}"
        )
    try:
        ids = rows["pin_id"].cast(pins["pin_id"].type)
    except pa.ArrowInvalid as error:
        raise ValueError(f"candidates.filter_table {filter_table}, pin_id: {error}") from None
    country = rows["country"] if "country" in rows.column_names else pa.nulls(len(ids), pa.string())
    of_pin: dict[int | str, list[str]] = {}
    for pin_id, value in zip(ids.to_pylist(), country.to_pylist(), strict=True):
        of_pin.setdefault(pin_id, []).append(value)
    lists = [
        None if found is None else [] if None in found else found
        for found in map(of_pin.get, pins["pin_id"].to_pylist())
    ]
    return pins.append_column("countries", pa.array(lists, pa.list_(pa.string())))


def _read_table(path: Path) -> pa.Table:
    try:
        if path.suffix.lower() == ".csv":
            text = pa.csv.ConvertOptions(
                column_types={"pin_id": pa.string(), "country": pa.string()},
                strings_can_be_null=True,
            )
            return pa.csv.read_csv(path, convert_options=text)
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"candidates.filter_table {path} cannot be read: {error}") from None
