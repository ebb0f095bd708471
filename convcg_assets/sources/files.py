"""One log file looked into: is it whole, is it text of its encoding, which columns does it have.

Text is read through by `csv_text.py` and `json_text.py`, Avro by `avro.py`; which columns a stream
needs belongs to `reading.py`.
"""

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from convcg_assets.sources.avro import scan_avro
from convcg_assets.sources.compression import without_suffix
from convcg_assets.sources.csv_records import CsvForm
from convcg_assets.sources.csv_text import scan_csv
from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.json_text import scan_json
from convcg_assets.sources.log_table import LogTable
from convcg_assets.sources.stream import Stream

__all__ = ["Format", "LandingError", "LogFile", "file_format", "inspect_file"]

Format = Literal["parquet", "csv", "jsonl", "avro", "table"]
_SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".avro": "avro",
}
_ENGINE_COLUMNS = {"file_index", "file_row_number"}
"""What the engine adds to a Parquet file's own columns, which hide it."""


@dataclass(frozen=True)
class LogFile:
    """A file of one day's log that can be read; `columns` in order, of JSON lines the keys.

    `num_rows` is counted without the engine: it must read as many. It reads a file itself where
    that `is_plain`, and is given the rows where it is not. Of Parquet, `types` are those of its
    columns and what is nested in them, and `binary` the columns of bytes that may be text. `name`
    is that of the file within its day, which rejected rows are told by. A day of a `table` is taken
    for a file too.
    """

    path: Path
    day: dt.date
    format: Format
    columns: tuple[str, ...]
    num_bytes: int
    num_rows: int
    name: str
    is_plain: bool = True
    types: tuple[str, ...] = ()
    binary: frozenset[str] = frozenset()
    table: LogTable | None = None


def inspect_file(path: Path, *, day: dt.date, options: Stream, name: str | None = None) -> LogFile:
    """Look into a file: text is read through once, of Parquet only the footer, of Avro its blocks.

    Raises LandingError naming the file where it is empty, cut off, damaged, not of its encoding, of
    a format that its suffix does not tell, or CSV of which it is uncertain where rows end.
    """
    kind = options.format or file_format(path)
    num_bytes = path.stat().st_size
    if num_bytes == 0:
        raise LandingError(
            f"{path}: empty file (0 bytes). Land it again; a day without events is a folder with "
            "only a file named _SUCCESS"
        )
    try:
        return _look_into(path, day, kind, num_bytes, name or path.name, options=options)
    except LandingError as error:
        named = _SUFFIXES.get(Path(without_suffix(path.name)).suffix.lower(), kind)
        if named == kind:
            raise
        hint = f"The name says {named}: is `format: {kind}` right?"
        raise LandingError(f"{error}. {hint}") from error


def _look_into(
    path: Path, day: dt.date, kind: Format, num_bytes: int, name: str, *, options: Stream
) -> LogFile:
    if kind == "parquet":
        return _inspect_parquet(path, day, num_bytes, name)
    if kind == "avro":
        return _inspect_avro(path, day, num_bytes, name)
    if kind == "csv":
        text = scan_csv(path, CsvForm.of(options))
        return LogFile(path, day, kind, text.columns, num_bytes, text.num_rows, name, text.is_plain)
    lines = scan_json(path)
    return LogFile(path, day, kind, lines.keys, num_bytes, lines.num_rows, name, is_plain=False)


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


def _inspect_avro(path: Path, day: dt.date, num_bytes: int, name: str) -> LogFile:
    found = scan_avro(path)
    names, types = tuple(found.types), tuple(map(str, found.types.values()))
    return LogFile(path, day, "avro", names, num_bytes, found.num_rows, name, False, types)


def _inspect_parquet(path: Path, day: dt.date, num_bytes: int, name: str) -> LogFile:
    try:
        with pq.ParquetFile(path) as file:
            end = max(
                (_end_of_data(file.metadata.row_group(i)) for i in range(file.num_row_groups)),
                default=0,
            )
            names, num_rows = file.schema_arrow.names, file.metadata.num_rows
            leaves = [file.schema.column(i) for i in range(len(file.schema.names))]
    except (pa.ArrowException, OSError) as error:
        raise LandingError(
            f"{path}: cut off or damaged Parquet ({error}). Land the file again"
        ) from error
    if end > num_bytes:
        raise LandingError(
            f"{path}: cut off Parquet: its data would end at byte {end}. Land the file again"
        )
    is_plain = not _ENGINE_COLUMNS & {name.lower() for name in names}
    types = tuple(f"{c.path} {c.physical_type} {c.logical_type}" for c in leaves)
    binary = frozenset(
        c.path for c in leaves if c.physical_type == "BYTE_ARRAY" and c.logical_type.type == "NONE"
    )
    columns = tuple(names)
    return LogFile(
        path, day, "parquet", columns, num_bytes, num_rows, name, is_plain, types, binary
    )


def with_text_as_bytes(file: LogFile) -> LogFile:
    """A Parquet file whose text is read as the bytes that it is: text may be no UTF-8."""
    text = {
        field.name
        for field in pq.read_schema(file.path)
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    }
    return replace(file, is_plain=False, binary=file.binary | text)


def _end_of_data(group: pq.RowGroupMetaData) -> int:
    columns = [group.column(i) for i in range(group.num_columns)]
    starts = [c.dictionary_page_offset or c.data_page_offset for c in columns]
    return max(s + c.total_compressed_size for s, c in zip(starts, columns, strict=True))
