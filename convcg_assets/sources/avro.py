"""Avro files: which columns they have, and their rows, which the engine is given."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
from fastavro.schema import SchemaParseException, UnknownType

from convcg_assets.sources.faults import LandingError

_BATCH_ROWS = 50_000
_PLAIN: dict[str, pa.DataType] = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "fixed": pa.binary(),
    "string": pa.string(),
    "enum": pa.string(),
}
_LOGICAL: dict[str, pa.DataType] = {
    "date": pa.date32(),
    "time-millis": pa.time32("ms"),
    "time-micros": pa.time64("us"),
    "timestamp-millis": pa.timestamp("ms", tz="UTC"),
    "timestamp-micros": pa.timestamp("us", tz="UTC"),
    "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"),
}
_FAULTS = (
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OSError,
    struct.error,
    zlib.error,
    SchemaParseException,
    UnknownType,
)
"""What the reader raises of a file that is cut off, damaged or no Avro."""


@dataclass(frozen=True)
class AvroFile:
    """An Avro file looked into: its fields as columns of Arrow's types, and how many rows."""

    types: dict[str, pa.DataType]
    num_rows: int


def scan_avro(path: Path) -> AvroFile:
    """Look at every block of an Avro file; its rows are not decoded.

    Values of several types are text. Raises LandingError where the file is cut off, damaged or no
    Avro.
    """
    with _reading(path), path.open("rb") as file:
        blocks = fastavro.block_reader(file)
        num_rows = sum(block.num_records for block in blocks)
        fields = _fields(blocks.writer_schema)
        return AvroFile({name: _arrow_type(kind) or pa.string() for name, kind in fields}, num_rows)


def avro_batches(path: Path, names: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of an Avro file in their order, its columns under other names, and `_row` (from 1).

    Raises LandingError where a row cannot be decoded.
    """
    first = 1
    with _reading(path), path.open("rb") as file:
        rows: Any = fastavro.reader(file)
        fields = [(name, _arrow_type(kind)) for name, kind in _fields(rows.writer_schema)]
        while batch := list(islice(rows, _BATCH_ROWS)):
            columns = [_column([row[name] for row in batch], kind) for name, kind in fields]
            numbers = pa.array(np.arange(first, first + len(batch)))
            first += len(batch)
            yield pa.RecordBatch.from_arrays([*columns, numbers], names=[*names, "_row"])


def _column(values: list[Any], kind: pa.DataType | None) -> pa.Array:
    if kind is None:
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    return pa.array(values, kind)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except _FAULTS as error:
        said = str(error) or type(error).__name__
        raise LandingError(
            f"{path}: cut off or damaged Avro ({said}). Land the file again"
        ) from error


def _fields(schema: Any) -> list[tuple[str, Any]]:
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise ValueError("its rows are no records")
    return [(field["name"], field["type"]) for field in schema["fields"]]


def _arrow_type(schema: Any) -> pa.DataType | None:
    """The Arrow type of an Avro one; None for a union of several, and for names of other types."""
    if isinstance(schema, list):
        kinds = [kind for kind in schema if kind != "null"]
        return _arrow_type(kinds[0]) if len(kinds) == 1 else None
    if isinstance(schema, str):
        return _PLAIN.get(schema)
    logical, kind = schema.get("logicalType"), schema["type"]
    if logical == "decimal":
        return pa.decimal128(schema["precision"], schema.get("scale", 0))
    if logical in _LOGICAL:
        return _LOGICAL[logical]
    if logical == "uuid":
        return None
    if kind == "array":
        items = _arrow_type(schema["items"])
        return None if items is None else pa.list_(items)
    if kind in ("map", "record"):
        return None
    return _arrow_type(kind)
