"""One log file looked into: is it whole, is it text of its encoding, which columns does it have.

Which columns a stream needs belongs to `reading.py`.
"""

import codecs
import csv
import datetime as dt
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from convcg_assets.sources.avro import AvroError, avro_columns
from convcg_assets.sources.compression import (
    Compression,
    DamagedError,
    compression_of,
    read_chunks,
    without_suffix,
)
from convcg_assets.sources.stream import Stream

Format = Literal["parquet", "csv", "jsonl", "avro"]
_SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".avro": "avro",
}


_SHOWN_FAULTS = 5


class LandingError(ValueError):
    """A log that cannot be read: which file, what is wrong, what would be right.

    `days` are those that cannot be read, each with its reason; empty where they are not known.
    """

    def __init__(self, message: str, *, days: Mapping[dt.date, str] | None = None):
        super().__init__(message)
        self.days = dict(days or {})


def summarize(title: str, faults: Iterable[str]) -> str:
    """A title and the first few faults below it."""
    faults = list(faults)
    more = [f"  ... and {len(faults) - _SHOWN_FAULTS} more"] if len(faults) > _SHOWN_FAULTS else []
    return "\n".join([f"{title}:", *(f"  {f}" for f in faults[:_SHOWN_FAULTS]), *more])


@dataclass(frozen=True)
class LogFile:
    """A file of one day's log that can be read; `columns` in order, of JSON lines the keys.

    `name` is that of the file within its day, which rejected rows are told by.
    """

    path: Path
    day: dt.date
    format: Format
    columns: tuple[str, ...]
    num_bytes: int
    name: str
    compression: Compression | None = None


def inspect_file(path: Path, *, day: dt.date, options: Stream, name: str | None = None) -> LogFile:
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
    compression = None
    if kind == "parquet":
        columns = _parquet_columns(path)
    elif kind == "avro":
        columns = _avro_columns(path)
    else:
        compression = compression_of(path)
        first = _check_text(path, encoding=options.encoding if kind == "csv" else "utf-8")
        columns = _header(path, first, options=options) if kind == "csv" else _keys(path)
    return LogFile(path, day, kind, columns, num_bytes, name or path.name, compression)


def file_format(path: Path) -> Format:
    """Format by suffix, that of a compression aside."""
    suffix = Path(without_suffix(path.name)).suffix.lower()
    if suffix not in _SUFFIXES:
        raise LandingError(
            f"{path}: cannot tell the format by this name; right would be .parquet, .csv, .jsonl, "
            ".avro, text also with .gz, .zst, .bz2, or `format` in the stream's section of the "
            "source file"
        )
    kind = _SUFFIXES[suffix]
    if kind in ("parquet", "avro") and without_suffix(path.name) != path.name:
        raise LandingError(
            f"{path}: {kind} carries its own compression, and this file is compressed once more. "
            f"Land it as {without_suffix(path.name)}"
        )
    return kind


def _avro_columns(path: Path) -> tuple[str, ...]:
    try:
        return avro_columns(path)
    except AvroError as error:
        raise LandingError(f"{path}: {error}. Land the file again") from error


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
    try:
        yield from read_chunks(path)
    except DamagedError as error:
        raise LandingError(f"{path}: {error}. Land the file again") from error


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
