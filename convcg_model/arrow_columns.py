"""Reading Arrow columns into NumPy arrays: ids, numbers with gaps, lists, vectors.

Knows nothing of features; every function takes one column of a table.
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Column: TypeAlias = pa.ChunkedArray | pa.Array
IdKind: TypeAlias = Literal["int64", "string"]
PART_ROWS = 65_536
"""So many rows are encoded at a time."""


def table_column(table: pa.Table, name: str, *, role: str) -> pa.Array:
    """One column as a single array; ValueError, naming the table's `role`, where it is missing."""
    return as_array(chunked_column(table, name, role=role))


def chunked_column(table: pa.Table, name: str, *, role: str) -> pa.ChunkedArray:
    """The same in the pieces that the table has it in: nothing is copied."""
    place = table.schema.get_field_index(name)
    if place < 0:
        raise ValueError(f"{role}: no column {name!r}; there are {', '.join(table.column_names)}")
    return table.column(place)


def in_parts(table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """The rows in order, `PART_ROWS` at a time, each part with the number of its first row.

    Nothing is copied: of a table that is mapped from a file no more than a part is in memory. A
    table without rows is one empty part.
    """
    for first_row in range(0, max(1, table.num_rows), PART_ROWS):
        yield first_row, table.slice(first_row, PART_ROWS)


def list_values(table: pa.Table, name: str, *, role: str) -> pa.ChunkedArray:
    """All values of a list column, in as many pieces as the table has parts; none is copied."""
    pieces = [as_flat_lists(table_column(part, name, role=role))[0] for _, part in in_parts(table)]
    kind = next((p.type for p in pieces if not pa.types.is_null(p.type)), pa.null())
    return pa.chunked_array([piece.cast(kind) for piece in pieces], kind)


def as_array(column: Column) -> pa.Array:
    """The column as one array, dictionaries decoded."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.dictionary_decode() if isinstance(array, pa.DictionaryArray) else array


def id_kind(column: Column) -> IdKind:
    """`int64` or `string`: how the ids of this column are kept."""
    if pa.types.is_integer(column.type):
        return "int64"
    if pa.types.is_null(column.type) or _is_text(column.type):
        return "string"
    raise ValueError(f"ids must be integers or strings, not {column.type}")


def as_ids(column: pa.Array, kind: str, *, role: str) -> pa.Array:
    """The column as `int64` or `string`; ValueError where it is of the other kind."""
    if pa.types.is_null(column.type) or id_kind(column) == kind:
        return column.cast(pa.type_for_alias(kind))
    raise ValueError(f"{role}: ids are {column.type}, but {kind} is what the model was trained on")


def as_floats(column: pa.Array) -> np.ndarray:
    """float64 [n], NaN where null."""
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def as_flat_lists(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """A list column as (all values in order, length of each row's list; a null list is empty).

    >>> values, lengths = as_flat_lists(pa.array([["a", "b"], None, ["c"]]))
    >>> values.to_pylist(), lengths.tolist()
    (['a', 'b', 'c'], [2, 0, 1])
    """
    if pa.types.is_null(column.type):
        return pa.nulls(0), np.zeros(len(column), dtype=np.int64)
    lengths = pc.fill_null(pc.list_value_length(column).cast(pa.int64()), 0)
    return as_array(column.flatten()), lengths.to_numpy()


def as_vectors(column: pa.Array, *, role: str) -> tuple[np.ndarray, np.ndarray]:
    """A column of equally long vectors as (float32 [n, length], bool [n]: which are there)."""
    values, lengths = as_flat_lists(column)
    present = lengths > 0
    sizes = np.unique(lengths[present])
    if len(sizes) > 1:
        raise ValueError(f"{role}: vectors of lengths {sizes.tolist()}; one length is expected")
    flat = as_floats(values)
    if not np.isfinite(flat).all():
        raise ValueError(f"{role}: a vector holds a null, a NaN or an infinity")
    size = int(sizes[0]) if len(sizes) else 0
    vectors = np.zeros((len(column), size), dtype=np.float32)
    vectors[present] = flat.reshape(-1, size) if size else 0
    return vectors, present


def is_all_null(column: pa.Array) -> bool:
    """Whether the column says nothing at all."""
    return column.null_count == len(column)


def _is_text(type_: pa.DataType) -> bool:
    return (
        pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_string_view(type_)
    )
