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
from convcg_model.eligible import Eligible
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
    ids, shown = pins["pin_id"].combine_chunks(), ShownPins(pins, settings)
    num_users, num_rows, writer = 0, 0, None
    try:
        for batch in batches:
            users = pa.Table.from_batches([batch])
            for eligible, of_country in shown.by_country(users):
                rows = feature_rows(of_country, tower.spec, day=day, surface=SURFACE)
                found = find_candidates(
                    rows,
                    index=index,
                    tower=tower,
                    k=settings.k,
                    left_out=of_country["bought"].to_pylist(),
                    eligible=eligible,
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


class ShownPins:
    """Which Pins may be shown to the users of a country; found once for all that see the same."""

    def __init__(self, pins: pa.Table, settings: CandidateSettings) -> None:
        self._pins = pins
        conditions = PinFilter(
            allow_advertisers=settings.allow_advertisers,
            block_advertisers=settings.block_advertisers,
            min_price=settings.min_price,
            max_price=settings.max_price,
        )
        self._anywhere = conditions.mask(pins)
        self._countries: frozenset[str] = frozenset()
        self._has_countries = "countries" in pins.column_names
        if self._has_countries:
            self._anywhere &= pc.is_valid(pins["countries"]).to_numpy(zero_copy_only=False)
            listed = pc.list_flatten(pins["countries"]).unique().to_pylist()
            self._countries = frozenset(listed)
        self._found: dict[str, Eligible | None] = {}

    def by_country(self, users: pa.Table) -> Iterator[tuple[Eligible | None, pa.Table]]:
        """Which Pins may be shown (None: all), and to which of the users.

        Users of whom no country is known, or one that no Pin names, see what is shown in all.
        """
        if not self._has_countries:
            yield self._of(""), users
            return
        known = pa.array(self._countries, pa.string())
        country = users["country"].cast(pa.string())
        named = pc.if_else(pc.is_in(country, value_set=known), country, "")
        for own in named.unique().to_pylist():
            yield self._of(own), users.filter(pc.equal(named, own))

    def _of(self, country: str) -> Eligible | None:
        if country not in self._found:
            mask = self._anywhere & PinFilter(country=country).mask(self._pins)
            self._found[country] = None if mask.all() else Eligible(mask)
        return self._found[country]


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
        None if found is None else found if all(found) else []
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
