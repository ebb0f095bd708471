"""The rows of CSV text by a machine that reads one character after the other."""

from dataclasses import dataclass

Row = list[str] | str
"""The fields of a row, or why it has none."""


@dataclass(frozen=True)
class Text:
    """What a text comes to: its rows, and the lines on which quoted values go over a line's end."""

    rows: list[Row]
    open_lines: list[int]


def read_lines(text: str, *, quote: str = '"', escape: str = '"', num_fields: int) -> list[Row]:
    """Every line that is not empty as a row by itself."""
    lines = text.split("\n")
    return [
        _as_row(*_machine(line.removesuffix("\r"), quote, escape), num_fields)
        for line in lines
        if line.removesuffix("\r")
    ]


def read_whole(
    text: str, *, quote: str = '"', escape: str = '"', num_fields: int
) -> list[Row] | None:
    """Rows whose quoted values may hold line breaks; None where such a row is not sound."""
    rows: list[Row] = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        if not lines[at].removesuffix("\r"):
            at += 1
            continue
        end = at + 1
        while True:
            whole = "\n".join(lines[at:end]).removesuffix("\r")
            state, fields = _machine(whole, quote, escape)
            if state != "open" or end == len(lines):
                break
            end += 1
        row = _as_row(state, fields, num_fields)
        is_last = not any(line.removesuffix("\r") for line in lines[at + 1 :])
        if state == "open" and is_last:
            rows.append("unclosed quote")
            break
        if end - at > 1 and not isinstance(row, list):
            return None
        rows.append(row)
        at = end
    return rows


def _as_row(state: str, fields: list[str], num_fields: int) -> Row:
    wrong = {
        "open": "unclosed quote",
        "after": "text after a closing quote",
        "within": "quote inside an unquoted field",
    }
    if state in wrong:
        return wrong[state]
    return fields if len(fields) == num_fields else "wrong number of fields"


def _machine(text: str, quote: str, escape: str) -> tuple[str, list[str]]:
    """How the text ends, or the first thing wrong with it; and its fields."""
    fields, field, state, wrong = [], "", "begin", ""
    at = 0
    while at < len(text):
        char, following = text[at], text[at + 1 : at + 2]
        if state == "quoted":
            if escape != quote and char == escape and following:
                field += following if following in (quote, escape) else char + following
                at += 1
            elif char == quote and escape == quote and following == quote:
                field += quote
                at += 1
            elif char == quote:
                state = "closed"
            else:
                field += char
        elif char == ",":
            fields.append(field)
            field, state = "", "begin"
        elif char == quote and state == "begin":
            state = "quoted"
        else:
            if state in ("closed", "junk"):
                wrong, state = wrong or "after", "junk"
            elif char == quote:
                wrong = wrong or "within"
            if state == "begin":
                state = "plain"
            field += char
        at += 1
    if state == "quoted":
        return "open", fields
    return wrong or "sound", [*fields, field]
