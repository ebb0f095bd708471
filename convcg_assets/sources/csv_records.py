"""The rows of CSV text, strictly: where each begins and ends, its fields, or why it has none.

A value that holds a delimiter, a quote or a line break stands in quotes, from right after a
delimiter to right before the next; a quote in it is written twice, or after `escape`. What breaks
that is a row that cannot be read, where it is certain which lines the row is; where it is not, no
row of the file is certain, and the file is refused. Files and batches belong to `csv_text.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.stream import Stream
from convcg_assets.sources.text_file import line_blocks

WRONG_NUMBER = "wrong number of fields"
UNCLOSED = "unclosed quote"
AFTER_QUOTE = "text after a closing quote"
WITHIN_FIELD = "quote inside an unquoted field"
BACKSLASH = "backslash before a quote, and no escape is set"
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
class Record:
    """A row: its text, its fields, and the first thing that is wrong with it."""

    text: str
    fields: list[str]
    defect: str | None = None
    open_at: int | None = None
    """Where the quote stands that is not closed."""

    @property
    def is_open(self) -> bool:
        """Whether it ends within a quoted value."""
        return self.open_at is not None


class Lines:
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


def held_records(path: Path, lines: Lines, form: CsvForm, *, num_fields: int) -> Iterator[Record]:
    """Every row that begins in a line that is held; lines that are empty are none."""
    while lines.num_held:
        text = (lines.peek(0) or "").removesuffix("\r")
        if not text:
            lines.take()
            continue
        if not form.quote or form.quote not in text:
            fields = text.split(form.delimiter)
            lines.take()
            yield Record(text, fields, _count_defect(fields, num_fields))
            continue
        record, num_lines = parse_line(text, form), 1
        if record.is_open:
            record, num_lines = _close(path, lines, record, form, num_fields=num_fields)
        lines.take(num_lines)
        defect = record.defect or _count_defect(record.fields, num_fields)
        if defect in (AFTER_QUOTE, WITHIN_FIELD, UNCLOSED) and _escapes(record.text, form):
            defect = BACKSLASH
        yield Record(record.text, record.fields, defect)


def _count_defect(fields: list[str], num_fields: int) -> str | None:
    return None if len(fields) == num_fields else WRONG_NUMBER


def _escapes(text: str, form: CsvForm) -> bool:
    return form.escape == form.quote and f"\\{form.quote}" in text


def _close(
    path: Path, lines: Lines, opened: Record, form: CsvForm, *, num_fields: int
) -> tuple[Record, int]:
    """The row that begins with a line that leaves a quote open, and its number of lines.

    Either its value holds line breaks, or the quote is a slip and the line is a row by itself. It
    is a value where it closes as it should and holds fewer delimiters than the rows of as many
    lines would; the line is a row where it has all fields, and the next line has too.
    """
    alone = Record(opened.text, opened.fields, UNCLOSED)
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
        and _num_fields(parse_line(following.removesuffix("\r"), form), form) == num_fields
    ):
        return alone, 1
    raise LandingError(_uncertain(path, lines.number + 1, opened, form))


def _look_for_close(lines: Lines, opened: Record, form: CsvForm) -> tuple[Record, int]:
    """The row up to the line in which its quotes are closed; open where none closes them."""
    texts, num_chars = [lines.peek(0) or ""], 0
    while (line := lines.peek(len(texts))) is not None and num_chars < _MAX_VALUE_CHARS:
        texts.append(line)
        num_chars += len(line)
        if not _stays_open(line, form):
            return parse_line("\n".join(texts).removesuffix("\r"), form), len(texts)
    return opened, 1


def _stays_open(line: str, form: CsvForm) -> bool:
    """Whether a line that begins within a quoted value ends within one."""
    _, end = _quoted(line, 0, form)
    if end is None:
        return True
    stop = line.find(form.delimiter, end)
    return stop >= 0 and parse_line(line, form, start=stop + 1).is_open


def _is_value(fields: list[str], form: CsvForm, *, num_fields: int) -> bool:
    """Whether values that hold line breaks hold too few delimiters for them to be rows."""
    broken = [field for field in fields if "\n" in field]
    num_delimiters = sum(field.count(form.delimiter) for field in broken)
    num_breaks = sum(field.count("\n") for field in broken)
    return num_delimiters < num_breaks * (num_fields - 1)


def _num_fields(record: Record, form: CsvForm) -> int:
    """The fields of a line by itself; of a value that is left open, as if it were not quoted."""
    if record.open_at is None:
        return len(record.fields)
    return len(record.fields) + 1 + record.text[record.open_at :].count(form.delimiter)


def _uncertain(path: Path, line: int, opened: Record, form: CsvForm) -> str:
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


def parse_line(text: str, form: CsvForm, *, start: int = 0) -> Record:
    """The fields of a text from a place on, which is read as one row."""
    fields: list[str] = []
    defect: str | None = None
    at = start
    while True:
        if text.startswith(form.quote, at) and form.quote:
            value, end = _quoted(text, at + 1, form)
            if end is None:
                return Record(text, fields, defect, open_at=at)
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
            return Record(text, fields, defect)
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
