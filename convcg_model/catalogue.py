"""What does not change about Pins: id, advertiser, category, price and content, looked up by id.

The Pin of an example, the Pins of a user's history and the subject Pin are all read from here.
What changes from day to day (age, performance) is no business of this file.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convcg_model.arrow_columns import (
    as_array,
    as_ids,
    in_parts,
    list_values,
    table_column,
)
from convcg_model.content import read_content
from convcg_model.features import FeatureSpec
from convcg_model.id_lookup import IdLookup
from convcg_model.numeric import encode_numeric
from convcg_model.vocabulary import MISSING, UNKNOWN, hash_buckets

NO_PIN = 0
"""Row of a catalogue that stands for the absence of a Pin."""
UNKNOWN_PIN = 1
"""Row of a catalogue that stands for a Pin that it does not hold."""
FIRST_PIN = 2
SPARSE = 16
"""Among so many times fewer rows than there are, sorting is less work than marking."""


@dataclass(frozen=True)
class Catalogue:
    """The static features of M Pins, encoded; rows 0 and 1 are `NO_PIN` and `UNKNOWN_PIN`.

    `hashes` [M, 2] are the hash buckets of ids beyond the vocabulary, 0 for the others.
    """

    pin_ids: pa.Array
    pin: np.ndarray
    hashes: np.ndarray
    category: np.ndarray
    advertiser: np.ndarray
    numeric: np.ndarray
    content: np.ndarray

    def rows(self, pin_ids: pa.Array, *, role: str) -> np.ndarray:
        """int32 [n]: the row of each Pin."""
        place = self._lookup.find(pin_ids, role=role)
        rows = np.where(place < 0, UNKNOWN_PIN, place + FIRST_PIN)
        if pin_ids.null_count:
            rows[pin_ids.is_null().to_numpy(zero_copy_only=False)] = NO_PIN
        return rows.astype("i4")

    @cached_property
    def _lookup(self) -> IdLookup:
        return IdLookup(self.pin_ids)


def encode_catalogue(static: pa.Table, spec: FeatureSpec, *, role: str) -> Catalogue:
    """Catalogue of a table of `static_pins`, in its order."""
    advertiser = np.full(static.num_rows, MISSING, dtype=np.int32)
    category = np.full(static.num_rows, MISSING, dtype=np.int32)
    if spec.advertisers:
        column = table_column(static, "advertiser_id", role=role)
        advertiser = spec.advertisers.encode(column, role=f"{role}, advertiser_id")
    if spec.categories:
        column = table_column(static, "category", role=role)
        category = spec.categories.encode(column, role=f"{role}, category")
    pin_ids = table_column(static, "pin_id", role=role)
    pin = spec.pins.encode(pin_ids, role=f"{role}, pin_id")
    return Catalogue(
        pin_ids=as_ids(pin_ids, spec.pins.kind, role=f"{role}, pin_id"),
        pin=_with_special(pin, unknown=UNKNOWN),
        hashes=_with_special(
            hash_buckets(pin_ids, unknown=pin == UNKNOWN, buckets=spec.pin_hash_buckets), unknown=0
        ),
        category=_with_special(category, unknown=MISSING),
        advertiser=_with_special(advertiser, unknown=MISSING),
        numeric=_with_special(encode_numeric(static, spec.item_numeric, role=role), unknown=0),
        content=_with_special(_encode_content(static, spec, role=role), unknown=0),
    )


def distinct_rows(rows: np.ndarray, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of `num_rows` rows occur, ascending, and each one's place among them.

    As `np.unique` gives it, but where many do by marking what occurs, which takes no sorting.

    >>> rows, place = distinct_rows(np.array([[7, 3], [3, 9]]), 10)
    >>> rows.tolist(), place.tolist()
    ([3, 7, 9], [[1, 0], [0, 2]])
    """
    if rows.size * SPARSE < num_rows:
        distinct, place = np.unique(rows, return_inverse=True)
        return distinct, place.reshape(rows.shape)
    occurs = np.zeros(num_rows, dtype=bool)
    occurs[rows] = True
    distinct = np.flatnonzero(occurs)
    place = np.zeros(num_rows, dtype=np.int64)
    place[distinct] = np.arange(len(distinct))
    return distinct, place[rows]


def static_pins(*tables: pa.Table, pin_id_kind: str, advertiser_id_kind: str) -> pa.Table:
    """One row per Pin of any of the tables; where several know a Pin, the first table's row.

    Within a table the newest row (`dt`, where there is one) counts. Columns that a table lacks
    are null. Sorted by Pin id.
    """
    schema = {
        "pin_id": pa.type_for_alias(pin_id_kind),
        "advertiser_id": pa.type_for_alias(advertiser_id_kind),
        "category": pa.string(),
        "price": pa.float64(),
        "content": pa.list_(pa.float64()),
        "content_version": pa.string(),
    }
    parts = []
    for table in tables:
        if "dt" in table.column_names:
            table = table.sort_by([("dt", "descending")])
        columns = {
            name: as_array(table[name]).cast(type_)
            if name in table.column_names
            else pa.nulls(table.num_rows, type_)
            for name, type_ in schema.items()
        }
        parts.append(pa.table(columns))
    pins = pa.concat_tables(parts)
    pins = pins.filter(pc.is_valid(pins["pin_id"]))
    codes = as_array(pins["pin_id"]).dictionary_encode().indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    return pins.take(first).sort_by("pin_id").combine_chunks()


def example_pins(examples: pa.Table) -> tuple[pa.Table, pa.Table]:
    """What training examples say about Pins, as tables for `static_pins`.

    First the Pins shown, with what is known of them, newest first; then the bare ids of the
    history's and the subject Pins.
    """
    role = "training examples"
    order = [("impression_ts", "descending"), ("impression_id", "descending")]
    names = {
        "pin_id": "pin_id",
        "advertiser_id": "advertiser_id",
        "pin_category": "category",
        "pin_price": "price",
    }
    order_columns = ["impression_ts", "impression_id"]
    for name in (*names, *order_columns):
        table_column(examples, name, role=role)
    wanted = examples.select([*names, *order_columns])
    newest = [_newest_of_each(part, order) for _, part in in_parts(wanted)]
    shown = pa.concat_tables(newest).sort_by(order).select(list(names))
    ids = table_column(examples, "pin_id", role=role)
    recent = list_values(examples, "user_recent_pin_ids", role=role).cast(ids.type)
    subject = table_column(examples, "subject_pin_id", role=role).cast(ids.type)
    mentioned = pa.chunked_array([*recent.chunks, subject], ids.type)
    return (
        shown.rename_columns(list(names.values())),
        pa.table({"pin_id": mentioned.unique()}),
    )


def _newest_of_each(rows: pa.Table, order: list[tuple[str, str]]) -> pa.Table:
    """Of each Pin the first row in an order."""
    ordered = rows.sort_by(order)
    codes = as_array(ordered["pin_id"]).dictionary_encode("encode").indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    return ordered.take(np.sort(first))


def _encode_content(static: pa.Table, spec: FeatureSpec, *, role: str) -> np.ndarray:
    """float32 [n, C + 1]: content over its training scale, and whether there is any."""
    if not spec.content_size:
        return np.zeros((static.num_rows, 0), dtype=np.float32)
    vectors, present = read_content(static, spec.content_version, role=role)
    if vectors.shape[1] not in (0, spec.content_size):
        raise ValueError(
            f"{role}: content vectors have {vectors.shape[1]} numbers, but the model was trained "
            f"on {spec.content_size}"
        )
    encoded = np.zeros((static.num_rows, spec.content_size + 1), dtype=np.float32)
    encoded[:, : vectors.shape[1]] = vectors / spec.content_scale
    encoded[:, -1] = present
    return encoded


def _with_special(values: np.ndarray, *, unknown: int) -> np.ndarray:
    """The values behind the rows of no Pin (0 throughout) and of an unknown Pin."""
    special = np.zeros((FIRST_PIN, *values.shape[1:]), dtype=values.dtype)
    special[UNKNOWN_PIN] = unknown
    return np.concatenate([special, values])
