"""One log file looked into: is it whole, is it text of its encoding, which columns does it have.

Which columns a stream needs belongs to `reading.py`.
"""

import codecs
import csv
import datetime as dt
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from convcg_assets.sources.stream import Stream

Format = Literal["parquet", "csv", "jsonl"]
_SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_CHUNK_BYTES = 8 * 1024 * 1024


class LandingError(ValueError):
    """A log that cannot be read: which file, what is wrong, what would be right."""


@dataclass(frozen=True)
class LogFile:
    """A file of one day's log that can be read; `columns` in order, of JSON lines the keys."""

    path: Path
    day: dt.date
    format: Format
    columns: tuple[str, ...]
    num_bytes: int


def inspect_file(path: Path, *, day: dt.date, options: Stream) -> LogFile:
    """Look into a file: text is read through once, of Parquet only the footer.

    Raises LandingError naming the file where it is empty, cut off, damaged, not of its encoding, or
    of a format that its suffix does not tell.
    """
    kind = options.format or file_format(path)
    num_bytes = path.stat().st_size
    if num_bytes == 0:
        raise LandingError(
            f"{path}: empty file (0 bytes). Land it again; a day without events is a folder with "
            "only a file named _SUCCESS"
        )
    if kind == "parquet":
        columns = _parquet_columns(path)
    else:
        first = _check_text(path, encoding=options.encoding if kind == "csv" else "utf-8")
        columns = _header(path, first, options=options) if kind == "csv" else _keys(path)
    return LogFile(path, day, kind, columns, num_bytes)


def file_format(path: Path) -> Format:
    """Format by suffix, `.gz` aside."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in _SUFFIXES:
        raise LandingError(
            f"{path}: cannot tell the format by this name; right would be .parquet, .csv, .jsonl, "
            "also with .gz, or `format` in the stream's section of the source file"
        )
    return _SUFFIXES[suffix]


def _parquet_columns(path: Path) -> tuple[str, ...]:
    try:
        with pq.ParquetFile(path) as file:
            end = max(
                (_end_of_data(file.metadata.row_group(i)) for i in range(file.num_row_groups)),
                default=0,
            )
            names = file.schema_arrow.names
    except (pa.ArrowException, OSError) as error:
        raise LandingError(
            f"{path}: cut off or damaged Parquet ({error}). Land the file again"
        ) from error
    if end > path.stat().st_size:
        raise LandingError(
            f"{path}: cut off Parquet: its data would end at byte {end}. Land the file again"
        )
    return tuple(names)


def _end_of_data(group: pq.RowGroupMetaData) -> int:
    columns = [group.column(i) for i in range(group.num_columns)]
    starts = [c.dictionary_page_offset or c.data_page_offset for c in columns]
    return max(s + c.total_compressed_size for s, c in zip(starts, columns, strict=True))


def _check_text(path: Path, *, encoding: str) -> bytes:
    """Read a text file through; returns its first chunk."""
    decoder = codecs.getincrementaldecoder(encoding)()
    first, line, held = b"", 1, 0
    for chunk in _chunks(path):
        first = first or chunk
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            line += chunk.count(b"\n", 0, max(error.start - held, 0))
            wrong = error.object[error.start]
            raise LandingError(
                f"{path}: line {line} is not {encoding} text (byte 0x{wrong:02x}). "
                "Save it as UTF-8, or set `encoding: latin-1` for a CSV stream that is"
            ) from error
        line += chunk.count(b"\n")
        held = len(decoder.getstate()[0])
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise LandingError(f"{path}: ends within a character: cut off? Land it again") from error
    if not first:
        raise LandingError(f"{path}: empty file (compressed). Land it again")
    return first


def _chunks(path: Path) -> Iterator[bytes]:
    zipped = path.name.endswith(".gz")
    try:
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise LandingError(
            f"{path}: cut off or damaged gzip ({error}). Land the file again"
        ) from error


def _header(path: Path, first: bytes, *, options: Stream) -> tuple[str, ...]:
    text = first.decode(options.encoding, errors="ignore").removeprefix("\ufeff")
    quoting = csv.QUOTE_MINIMAL if options.quote else csv.QUOTE_NONE
    rows = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=options.delimiter,
        quotechar=options.quote or None,
        quoting=quoting,
    )
    names = next(rows, [])
    seen = {name.lower() for name in names}
    if not names or len(seen) < len(names) or "" in seen:
        raise LandingError(
            f"{path}: the first line must name every column, each once; found: "
            f"{', '.join(names) or 'nothing'}"
        )
    return tuple(names)


def _keys(path: Path) -> tuple[str, ...]:
    with duckdb.connect() as con:
        found, objects = con.execute(
            """SELECT list_sort(list(DISTINCT key)), count(*) FROM (
              SELECT unnest(json_keys(json)) AS key
              FROM read_ndjson_objects(?, ignore_errors = true, maximum_object_size = 67108864)
              WHERE json_type(json) = 'OBJECT')""",
            [str(path)],
        ).fetchall()[0]
    if not objects:
        raise LandingError(
            f"{path}: not JSON lines: no line holds a JSON object. One object per line is right"
        )
    return tuple(found)
