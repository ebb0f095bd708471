"""A CSV file as batches of rows: how many there are, and whether the engine may read it itself.

What a row is, and where it is certain, belongs to `csv_records.py`. Few files have rows that cannot
be read. `scan_csv` tells the others, which the engine reads, and counts their rows by other means
than it; the rest are read here (`csv_rows`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from convcg_assets.sources.csv_records import CsvForm, Lines, Record, held_records, parse_line
from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.text_file import is_read_by_engine, line_blocks

_ENGINE_LINE_BYTES = 1024 * 1024
"""The engine takes lines of up to two megabytes."""


@dataclass(frozen=True)
class CsvFile:
    """A CSV file looked into: its header, how many rows, and whether the engine may read it."""

    columns: tuple[str, ...]
    num_rows: int
    is_plain: bool


def scan_csv(path: Path, form: CsvForm) -> CsvFile:
    """Read a CSV file through.

    It is plain where every row is one line with as many fields as the header, and sound. Raises
    LandingError naming file and line where it is uncertain which lines are a row, and as
    `line_blocks` does.
    """
    columns: tuple[str, ...] | None = None
    num_lines, num_bytes, is_plain, is_crlf = 0, 0, True, False
    for block in line_blocks(path, encoding=form.encoding):
        if columns is None:
            columns = _header(path, block, form)
            is_crlf = block.partition(b"\n")[0].endswith(b"\r")
            is_plain = len(columns) > 1  # An empty line of one column is a row to the engine.
        if is_plain:
            found = _count_plain(block, len(columns), form, is_crlf=is_crlf)
            is_plain, num_lines = found is not None, num_lines + (found or 0)
        num_bytes += len(block)
    assert columns is not None, "a file without text is refused"
    if is_plain and is_read_by_engine(path, num_bytes=num_bytes):
        return CsvFile(columns, num_lines - 1, is_plain=True)
    num_rows = sum(batch.num_rows for batch in csv_rows(path, form, columns))
    return CsvFile(columns, num_rows, is_plain=False)


def csv_rows(path: Path, form: CsvForm, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """The rows of any CSV file: its columns as text, `_row`, `_line` and `_defect`.

    Batches have the names of `batch_names`. An empty field is null. A row that cannot be read has
    its text as `_line` and the reason as `_defect`; of the others both are null. Raises
    LandingError as `scan_csv` does.
    """
    lines = Lines(path, form.encoding)
    lines.peek(0)
    lines.take()  # The header.
    num_rows = 0
    while True:
        block = None if lines.num_held else lines.next_block()
        if block is not None and _is_plain(block, len(columns), form):
            lines.number += block.count(b"\n")
            batch = _plain_batch(block, len(columns), form, first=num_rows + 1)
        elif block is None and not lines.num_held:
            break
        else:
            lines.hold(block)
            records = list(held_records(path, lines, form, num_fields=len(columns)))
            batch = _batch(records, len(columns), first=num_rows + 1)
        num_rows += batch.num_rows
        yield batch


def _is_plain(block: bytes, num_fields: int, form: CsvForm) -> bool:
    is_crlf = block.partition(b"\n")[0].endswith(b"\r")
    return _count_plain(block, num_fields, form, is_crlf=is_crlf) is not None


def _plain_batch(block: bytes, num_columns: int, form: CsvForm, *, first: int) -> pa.RecordBatch:
    """Lines that are sound rows, by Arrow's own reader: it is fast, and not strict."""
    names = batch_names(num_columns)
    if form.encoding != "utf-8":
        block = block.decode(form.encoding).encode()
    found = pacsv.read_csv(
        pa.py_buffer(block),
        pacsv.ReadOptions(
            column_names=names[:num_columns], use_threads=False, block_size=len(block) + 1
        ),
        pacsv.ParseOptions(delimiter=form.delimiter, quote_char=form.quote or False),
        pacsv.ConvertOptions(
            column_types=dict.fromkeys(names[:num_columns], pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    ).combine_chunks()
    texts = [pa.concat_arrays(column.chunks) for column in found.columns]
    return _with_places(texts, found.num_rows, first=first)


def _batch(records: list[Record], num_columns: int, *, first: int) -> pa.RecordBatch:
    empty = [""] * num_columns
    rows = [empty if record.defect else record.fields for record in records]
    values = zip(*rows, strict=True) if rows else ([] for _ in range(num_columns))
    texts = [pa.array([v or None for v in column], pa.string()) for column in values]
    lines = [record.text if record.defect else None for record in records]
    defects = [record.defect for record in records]
    return _with_places(texts, len(rows), first=first, lines=lines, defects=defects)


def _with_places(
    texts: list[pa.Array],
    num_rows: int,
    *,
    first: int,
    lines: list[str | None] | None = None,
    defects: list[str | None] | None = None,
) -> pa.RecordBatch:
    numbers = pa.array(np.arange(first, first + num_rows))
    more = [
        pa.nulls(num_rows, pa.string()) if found is None else pa.array(found, pa.string())
        for found in (lines, defects)
    ]
    return pa.RecordBatch.from_arrays([*texts, numbers, *more], names=batch_names(len(texts)))


def batch_names(num_columns: int) -> list[str]:
    """`c0`, `c1`, ...: a column of the file may have any name; then those of what is added."""
    return [*(f"c{i}" for i in range(num_columns)), "_row", "_line", "_defect"]


def _header(path: Path, block: bytes, form: CsvForm) -> tuple[str, ...]:
    text = block.decode(form.encoding).partition("\n")[0].removesuffix("\r")
    parsed = parse_line(text, form)
    names = parsed.fields if text else []
    seen = {name.lower() for name in names}
    if parsed.defect or parsed.is_open or not names or len(seen) < len(names) or "" in seen:
        raise LandingError(
            f"{path}: the first line must name every column, each once; found: "
            f"{', '.join(names) or 'nothing'}"
        )
    return tuple(names)


def _count_plain(block: bytes, num_fields: int, form: CsvForm, *, is_crlf: bool) -> int | None:
    """The lines of a block, empty ones aside; None where one is no sound row by itself."""
    num_returns = block.count(b"\n") if is_crlf else 0
    if block.count(b"\r") != num_returns or block.count(b"\r\n") != num_returns:
        return None
    if b"\x00" in block or not (form.delimiter + form.quote).isascii():
        return None
    if not block.endswith(b"\n"):
        block += b"\r\n" if is_crlf else b"\n"
    codes = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(codes == ord("\n"))
    lengths = np.diff(ends, prepend=-1) - (2 if is_crlf else 1)
    if lengths.max() > _ENGINE_LINE_BYTES:
        return None
    delimiters = np.flatnonzero(codes == ord(form.delimiter))
    if form.quote and form.quote.encode() in block:
        quotes = np.flatnonzero(codes == ord(form.quote))
        # A quote opens and closes by turns; none may be open where a line ends.
        is_open = np.searchsorted(quotes, ends) & 1
        sides = [ord(sign) for sign in (form.delimiter, form.quote, "\n")]
        before, after = codes[quotes[::2] - 1], codes[(quotes[1::2] + 1)]
        if (
            form.escape != form.quote
            or is_open.any()
            or not np.isin(before, sides).all()
            or not np.isin(after, [*sides, ord("\r")]).all()
        ):
            return None
        delimiters = delimiters[(np.searchsorted(quotes, delimiters) & 1) == 0]
    per_line = np.diff(np.searchsorted(delimiters, ends), prepend=0)[lengths > 0]
    return None if (per_line != num_fields - 1).any() else len(per_line)
