"""Avro files: what they hold, and the same rows as Parquet, which the engine reads."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from fastavro.schema import SchemaParseException, UnknownType

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


class AvroError(ValueError):
    """A file that is not whole Avro of records: what is wrong with it."""


def avro_columns(path: Path) -> tuple[str, ...]:
    """The fields of a file's records, in order; every block is looked at, its rows are not decoded.

    Raises AvroError where the file is cut off, damaged or no Avro.
    """
    with _reading(), path.open("rb") as file:
        blocks = fastavro.block_reader(file)
        for _ in blocks:
            pass
        return tuple(name for name, _ in _fields(blocks.writer_schema))


def write_parquet(path: Path, into: Path) -> None:
    """The rows of an Avro file as Parquet, in their order; values of several types become text.

    Raises AvroError where a row cannot be decoded.
    """
    with _reading(), path.open("rb") as file:
        rows = fastavro.reader(file)
        fields = _fields(rows.writer_schema)
        types = {name: _arrow_type(kind) for name, kind in fields}
        schema = pa.schema([(name, kind or pa.string()) for name, kind in types.items()])
        as_text = {name for name, kind in types.items() if kind is None}
        with pq.ParquetWriter(into, schema) as writer:
            while batch := list(islice(rows, _BATCH_ROWS)):
                for name in as_text:
                    for row in batch:
                        row[name] = None if row[name] is None else str(row[name])
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except _FAULTS as error:
        said = str(error) or type(error).__name__
        raise AvroError(f"cut off or damaged Avro ({said})") from error


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
