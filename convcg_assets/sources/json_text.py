"""The lines of a file of JSON lines, and which keys their objects have.

What stands in a line is looked at by the engine, as it is when the rows are read.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.text_file import line_blocks

LINES = pa.schema({"_row": pa.int64(), "_line": pa.string()})
NOT_AN_OBJECT = "not a JSON object"
SEVERAL_OBJECTS = "more than one JSON object in a line"
_SMALL_BYTES = 256 * 1024


@dataclass(frozen=True)
class JsonFile:
    """A file of JSON lines looked into: the keys of its objects, and how many lines it has."""

    keys: tuple[str, ...]
    num_rows: int


def scan_json(path: Path) -> JsonFile:
    """Read a file of JSON lines through; a line that is empty is no row.

    Raises LandingError naming the file where no line is a JSON object, and as `line_blocks` does.
    """
    batches = json_lines(path)
    first = list(islice(batches, 2))
    if len(first) < 2 and sum(batch.nbytes for batch in first) <= _SMALL_BYTES:
        lines = [line for batch in first for line in batch.column("_line").to_pylist()]
        keys = [found for line in lines if (found := _keys_of(line)) is not None]
        num_rows, num_objects = len(lines), len(keys)
    else:
        keys, num_rows, num_objects = _scan(chain(first, batches))
    if not num_objects:
        raise LandingError(
            f"{path}: not JSON lines: no line holds a JSON object, and that alone: neither two "
            "glued together, nor an array, nor a part of one. One object per line is right"
        )
    return JsonFile(tuple(sorted({key for found in keys for key in found})), num_rows)


def _scan(batches: Iterator[pa.RecordBatch]) -> tuple[list[list[str]], int, int]:
    """Every set of keys that an object has, and how many lines and objects there are."""
    num_rows = 0

    def count() -> Iterator[pa.RecordBatch]:
        nonlocal num_rows
        for batch in batches:
            num_rows += batch.num_rows
            yield batch

    with duckdb.connect() as con:
        con.register("lines", pa.RecordBatchReader.from_batches(LINES, count()))
        keys, num_objects = con.execute(_KEYS).fetchall()[0]
    return keys or [], num_rows, num_objects


def _keys_of(line: str) -> list[str] | None:
    """The keys of a line that is an object; of few lines an engine takes longer to start."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return list(found) if isinstance(found, dict) else None


def json_lines(path: Path) -> Iterator[pa.RecordBatch]:
    """Each line that is not empty, without the spaces around it, and its number (from 1)."""
    first = 1
    for block in line_blocks(path):
        text = pa.array([block.decode()], pa.large_string())
        lines = pc.ascii_trim_whitespace(pc.split_pattern(text, "\n").flatten())
        lines = lines.filter(pc.not_equal(lines, "")).cast(pa.string())
        numbers = pa.array(np.arange(first, first + len(lines)))
        first += len(lines)
        yield pa.RecordBatch.from_arrays([numbers, lines], schema=LINES)


_KEYS = """
SELECT list(DISTINCT keys) FILTER (keys IS NOT NULL), count(keys) FROM (
  SELECT CASE WHEN kind = 'OBJECT' THEN json_keys(_line) END AS keys
  FROM (SELECT _line, CASE WHEN json_valid(_line) THEN json_type(_line) END AS kind FROM lines))"""
