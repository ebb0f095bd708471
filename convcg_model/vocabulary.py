"""A vocabulary: which values of a categorical feature have a code of their own."""

import zlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import StrictInt, StrictStr

from convcg_model.arrow_columns import Column, IdKind, as_ids, id_kind
from convcg_model.config import FrozenConfig

MISSING = 0
"""Code of a null."""
UNKNOWN = 1
"""Code of a value that is not in the vocabulary."""
FIRST_KNOWN = 2


class Vocabulary(FrozenConfig):
    """The values that have a code; `values[i]` has the code `i + 2`."""

    kind: IdKind
    values: tuple[StrictInt, ...] | tuple[StrictStr, ...]

    @property
    def size(self) -> int:
        """Number of codes, missing and unknown among them."""
        return len(self.values) + FIRST_KNOWN

    def encode(self, column: pa.Array, *, role: str) -> np.ndarray:
        """int32 [n]: the code of each value."""
        ids = as_ids(column, self.kind, role=role)
        known = pc.index_in(ids, value_set=pa.array(self.values, type=ids.type))
        codes = pc.add(pc.fill_null(known, UNKNOWN - FIRST_KNOWN), FIRST_KNOWN)
        return pc.if_else(ids.is_null(), MISSING, codes).to_numpy(zero_copy_only=False).astype("i4")


def fit_vocabulary(
    column: Column, *, min_count: int = 1, max_size: int = 1_000_000
) -> Vocabulary | None:
    """Vocabulary of the values seen at least `min_count` times, most frequent first.

    None where the column is null throughout.

    >>> fit_vocabulary(pa.array(["b", "a", "b", None])).values
    ('b', 'a')
    """
    return fit_counted(count_values(column), min_count=min_count, max_size=max_size)


def count_values(column: Column) -> pa.Table:
    """How often each value that is not null occurs: `value`, `count`."""
    kind = pa.type_for_alias(id_kind(column))
    counted = pc.value_counts(column.cast(kind))
    table = pa.table({"value": counted.field("values"), "count": counted.field("counts")})
    return table.filter(pc.is_valid(table["value"]))


def fit_counted(
    counted: pa.Table, *, min_count: int = 1, max_size: int = 1_000_000
) -> Vocabulary | None:
    """Vocabulary of values of which it is known how often they were seen: see `count_values`."""
    if counted.num_rows == 0:
        return None
    kept = counted.filter(pc.greater_equal(counted["count"], min_count))
    kept = kept.sort_by([("count", "descending"), ("value", "ascending")]).slice(0, max_size)
    return Vocabulary(kind=id_kind(counted["value"]), values=tuple(kept["value"].to_pylist()))


def hash_buckets(ids: pa.Array, *, unknown: np.ndarray, buckets: int) -> np.ndarray:
    """int32 [n, 2]: two hash buckets, 1 to `buckets`, of each unknown id; 0 for the others.

    Two ids that share one bucket hardly ever share the other (Svenstrup et al., Hash Embeddings,
    2017). The hash is CRC-32 of the id as text, so that an id has the same buckets everywhere.
    """
    hashes = np.zeros((len(ids), 2), dtype=np.int32)
    rows = np.flatnonzero(unknown) if buckets else []
    for row, value in zip(rows, ids.take(pa.array(rows, pa.int64())).to_pylist(), strict=True):
        text = str(value).encode()
        hashes[row] = zlib.crc32(b"a" + text) % buckets + 1, zlib.crc32(b"b" + text) % buckets + 1
    return hashes
