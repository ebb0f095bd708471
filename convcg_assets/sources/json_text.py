"""The lines of a file of JSON lines, and which keys their objects have.

What stands in a line is looked at by the engine, as it is when the rows are read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class JsonFile:
    """A file of JSON lines looked into: the keys of its objects, and how many lines it has."""

    keys: tuple[str, ...]
    num_rows: int


def scan_json(path: Path) -> JsonFile:
    """Read a file of JSON lines through; a line that is empty is no row.

    Raises LandingError naming the file where no line is a JSON object, and as `line_blocks` does.
    """
    num_rows = 0

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal num_rows
        for batch in batches:
            num_rows += batch.num_rows
            yield batch

    with duckdb.connect() as con:
        con.register("lines", pa.RecordBatchReader.from_batches(LINES, count(json_lines(path))))
        found, objects = con.execute(_KEYS).fetchall()[0]
    if not objects:
        raise LandingError(
            f"{path}: not JSON lines: no line holds a JSON object, and that alone: neither two "
            "glued together, nor an array, nor a part of one. One object per line is right"
        )
    return JsonFile(tuple(sorted({key for keys in found for key in keys})), num_rows)


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
