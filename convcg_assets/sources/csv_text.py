"""The rows of CSV text, strictly: where each begins and ends, its fields, or why it has none.

A value that holds a delimiter, a quote or a line break stands in quotes, from right after a
delimiter to right before the next; a quote in it is written twice, or after `escape`. What breaks
that is a row that cannot be read, where it is certain which lines the row is; where it is not, no
row of the file is certain, and the file is refused.

Few files have such rows. `scan_csv` tells the others, which the engine reads, and counts their rows
by other means than it; the rest are read here (`csv_rows`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.stream import Stream
from convcg_assets.sources.text_file import is_read_by_engine, line_blocks

WRONG_NUMBER = "wrong number of fields"
UNCLOSED = "unclosed quote"
AFTER_QUOTE = "text after a closing quote"
WITHIN_FIELD = "quote inside an unquoted field"
BACKSLASH = "backslash before a quote, and no escape is set"
_ENGINE_LINE_BYTES = 1024 * 1024
"""The engine takes lines of up to two megabytes."""
_SMALL_BYTES = 32 * 1024
_MAX_VALUE_CHARS = 16 * 1024 * 1024
"""A quoted value that goes on for longer has no end."""


@dataclass(frozen=True)
class CsvForm:
    """How the fields of a CSV file are set apart: see the keys of `Stream`."""

    delimiter: str
    quote: str
    escape: str
    encoding: str
    line_breaks: bool | None

    @classmethod
    def of(cls, options: Stream) -> "CsvForm":
        """As the stream's section of the source file says."""
        escape = options.escape or options.quote
        return cls(options.delimiter, options.quote, escape, options.encoding, options.line_breaks)


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
    lines = _Lines(path, form.encoding)
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
            records = list(_held_records(path, lines, form, num_fields=len(columns)))
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


def _batch(records: list["_Record"], num_columns: int, *, first: int) -> pa.RecordBatch:
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
    parsed = _parse(text, form)
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


@dataclass(frozen=True)
class _Record:
    """A row: its text, its fields, the first thing wrong with it; open if a quote never closes."""

    text: str
    fields: list[str]
    defect: str | None = None
    open_at: int | None = None
    """Where the quote stands that is not closed."""

    @property
    def is_open(self) -> bool:
        return self.open_at is not None


class _Lines:
    """The lines of a file: block by block, or line by line with a look ahead.

    `number` is that of the line handed out last, from 1.
    """

    def __init__(self, path: Path, encoding: str):
        self._blocks = _small_blocks(path, encoding)
        self._encoding = encoding
        self._held: list[str] = []
        self._next = 0
        self.number = 0

    @property
    def num_held(self) -> int:
        """Lines that were looked at and are not handed out yet."""
        return len(self._held) - self._next

    def next_block(self) -> bytes | None:
        """The block after what is held; None after the last."""
        return next(self._blocks, None)

    def hold(self, block: bytes | None) -> None:
        """Hand out a block line by line."""
        if block is not None:
            lines = block.decode(self._encoding).split("\n")
            if block.endswith(b"\n"):
                lines.pop()
            self._held, self._next = self._held[self._next :] + lines, 0

    def peek(self, ahead: int) -> str | None:
        """The line so many after the next; None after the last."""
        while ahead >= self.num_held:
            block = self.next_block()
            if block is None:
                return None
            self.hold(block)
        return self._held[self._next + ahead]

    def take(self, num: int = 1) -> None:
        """Go on by some lines that were looked at."""
        self._next += num
        self.number += num


def _small_blocks(path: Path, encoding: str) -> Iterator[bytes]:
    """Blocks so small that a row which is no plain one slows down few others."""
    for block in line_blocks(path, encoding=encoding):
        start = 0
        while start < len(block):
            end = block.find(b"\n", start + _SMALL_BYTES) + 1 or len(block)
            yield block[start:end]
            start = end


def _held_records(
    path: Path, lines: _Lines, form: CsvForm, *, num_fields: int
) -> Iterator[_Record]:
    """Every row that begins in a line that is held; lines that are empty are none."""
    while lines.num_held:
        text = (lines.peek(0) or "").removesuffix("\r")
        if not text:
            lines.take()
            continue
        if not form.quote or form.quote not in text:
            fields = text.split(form.delimiter)
            lines.take()
            yield _Record(text, fields, _count_defect(fields, num_fields))
            continue
        record, num_lines = _parse(text, form), 1
        if record.is_open:
            record, num_lines = _close(path, lines, record, form, num_fields=num_fields)
        lines.take(num_lines)
        defect = record.defect or _count_defect(record.fields, num_fields)
        if defect in (AFTER_QUOTE, WITHIN_FIELD, UNCLOSED) and _escapes(record.text, form):
            defect = BACKSLASH
        yield _Record(record.text, record.fields, defect)


def _count_defect(fields: list[str], num_fields: int) -> str | None:
    return None if len(fields) == num_fields else WRONG_NUMBER


def _escapes(text: str, form: CsvForm) -> bool:
    return form.escape == form.quote and f"\\{form.quote}" in text


def _close(
    path: Path, lines: _Lines, opened: _Record, form: CsvForm, *, num_fields: int
) -> tuple[_Record, int]:
    """The row that begins with a line that leaves a quote open, and its number of lines.

    Either its value holds line breaks, or the quote is a slip and the line is a row by itself. It
    is a value where it closes as it should and holds fewer delimiters than the rows of as many
    lines would; the line is a row where it has all fields, and the next line has too.
    """
    alone = _Record(opened.text, opened.fields, UNCLOSED)
    if form.line_breaks is False:
        return alone, 1
    whole, num_lines = _look_for_close(lines, opened, form)
    is_whole = not whole.is_open and whole.defect is None and len(whole.fields) == num_fields
    if is_whole and (form.line_breaks or _is_value(whole.fields, form, num_fields=num_fields)):
        return whole, num_lines
    following = lines.peek(1)
    if following is None:
        return alone, 1
    if (
        form.line_breaks is None
        and _num_fields(opened, form) == num_fields
        and _num_fields(_parse(following.removesuffix("\r"), form), form) == num_fields
    ):
        return alone, 1
    raise LandingError(_uncertain(path, lines.number + 1, opened, form))


def _look_for_close(lines: _Lines, opened: _Record, form: CsvForm) -> tuple[_Record, int]:
    """The row up to the line in which its quotes are closed; open where none closes them."""
    texts, num_chars = [lines.peek(0) or ""], 0
    while (line := lines.peek(len(texts))) is not None and num_chars < _MAX_VALUE_CHARS:
        texts.append(line)
        num_chars += len(line)
        if not _stays_open(line, form):
            return _parse("\n".join(texts).removesuffix("\r"), form), len(texts)
    return opened, 1


def _stays_open(line: str, form: CsvForm) -> bool:
    """Whether a line that begins within a quoted value ends within one."""
    _, end = _quoted(line, 0, form)
    if end is None:
        return True
    stop = line.find(form.delimiter, end)
    return stop >= 0 and _parse(line, form, start=stop + 1).is_open


def _is_value(fields: list[str], form: CsvForm, *, num_fields: int) -> bool:
    """Whether values that hold line breaks hold too few delimiters for them to be rows."""
    broken = [field for field in fields if "\n" in field]
    num_delimiters = sum(field.count(form.delimiter) for field in broken)
    num_breaks = sum(field.count("\n") for field in broken)
    return num_delimiters < num_breaks * (num_fields - 1)


def _num_fields(record: _Record, form: CsvForm) -> int:
    """The fields of a line by itself; of a value that is left open, as if it were not quoted."""
    if record.open_at is None:
        return len(record.fields)
    return len(record.fields) + 1 + record.text[record.open_at :].count(form.delimiter)


def _uncertain(path: Path, line: int, opened: _Record, form: CsvForm) -> str:
    ways = ["mend the line"]
    if _escapes(opened.text, form):
        ways.insert(0, 'set `escape: "\\\\"` if a backslash stands before quotes that are text')
    if form.line_breaks is None:
        ways.append("set `line_breaks: true` if values hold line breaks")
    ways.append("set `line_breaks: false` if none does: such a row alone is then rejected")
    ways.append("set `quote: ''` if quotes mean nothing")
    return (
        f"{path}: line {line}: a quoted value is not closed as it should be, so that it is "
        f"uncertain which lines are a row. For the stream, {', or '.join(ways)}"
    )


def _parse(text: str, form: CsvForm, *, start: int = 0) -> _Record:
    """The fields of a text from a place on, which is read as one row."""
    fields: list[str] = []
    defect: str | None = None
    at = start
    while True:
        if text.startswith(form.quote, at) and form.quote:
            value, end = _quoted(text, at + 1, form)
            if end is None:
                return _Record(text, fields, defect, open_at=at)
            stop = text.find(form.delimiter, end)
            if stop != end and end != len(text):
                defect = defect or AFTER_QUOTE
            fields.append(value)
        else:
            stop = text.find(form.delimiter, at)
            value = text[at:] if stop < 0 else text[at:stop]
            if form.quote and form.quote in value:
                defect = defect or WITHIN_FIELD
            fields.append(value)
        if stop < 0:
            return _Record(text, fields, defect)
        at = stop + 1


def _quoted(text: str, at: int, form: CsvForm) -> tuple[str, int | None]:
    """A value whose opening quote stands before a place, and where it ends; None: nowhere."""
    parts: list[str] = []
    while True:
        close = text.find(form.quote, at)
        if form.escape != form.quote:
            escape = text.find(form.escape, at, None if close < 0 else close)
            if escape >= 0 and escape + 1 < len(text):
                escaped = text[escape + 1]
                is_sign = escaped in (form.quote, form.escape)
                parts += [text[at:escape], escaped if is_sign else form.escape + escaped]
                at = escape + 2
                continue
        if close < 0:
            return "", None
        parts.append(text[at:close])
        at = close + 1
        if form.escape == form.quote and text.startswith(form.quote, at):
            parts.append(form.quote)
            at += 1
            continue
        return "".join(parts), at
