"""A row as text: JSON for those who ask why it was rejected, a digest where it has no id."""

from collections.abc import Iterable

import ibis

from convcg_assets.sources.casting import LARGEST_NUMBER, Expr, null_unless
from convcg_assets.sources.columns import STREAMS

ROW_COLUMNS = ("_dt", "_file", "_row", "_defect", "_line")
"""What reading adds to the columns of the files."""


def inner_name(column: str) -> str:
    """What a column of the files is called inside: one `_` in front is for what reading adds.

    >>> inner_name("_file"), inner_name("user_id")
    ('__file', 'user_id')
    """
    return f"_{column}" if column.startswith("_") else column


def logged_name(inner: str) -> str:
    """The column of the files that is called so inside."""
    return inner.removeprefix("_") if inner.startswith("__") else inner


def content_id(cast: Expr, *, stream: str, key: str) -> Expr:
    """An id made of a row's content, so that equal rows are duplicates of each other."""
    parts: list[Expr] = []
    for name in STREAMS[stream].mappable:
        value: Expr = cast[name]
        if name == key or value.type().is_array():
            continue
        if value.type().is_floating():  # Engines write floats differently: micro-units as integers.
            small = (null_unless(value.abs() < 1e12, value) * 1_000_000).round().cast("int64")
            large = null_unless(value.abs() <= LARGEST_NUMBER, value).round().cast("int64")
            value = _either(small.cast("string"), large.cast("string") + "e0")
        parts.append(value.cast("string").fill_null("") + "|")
    return _concat(f"{stream}|", *parts).hexdigest("md5")


def row_as_json(rows: Expr, columns: Iterable[str]) -> Expr:
    """A row as logged: its columns as one JSON object, every value as text; else its line."""
    columns = tuple(columns)
    if "_line" in columns:
        others = [name for name in columns if name != "_line"]
        return ibis.coalesce(rows["_line"], row_as_json(rows, others))
    members: list[Expr] = []
    for name in columns:
        if name in ROW_COLUMNS:
            continue
        value = (ibis.literal('"') + _escape(rows[name].cast("string")) + '"').fill_null("null")
        label = logged_name(name).replace("\\", "\\\\").replace('"', '\\"')
        members.append(ibis.literal(f'{", " if members else ""}"{label}": ') + value)
    return _concat("{", *members, "}")


def _either(first: Expr, second: Expr) -> Expr:
    return ibis.coalesce(first, second)


def _concat(first: str, *parts: Expr) -> Expr:
    text: Expr = ibis.literal(first)
    for part in parts:
        text = text + part
    return text


def _escape(text: Expr) -> Expr:
    """Text as it may stand between the quotes of JSON."""
    for plain, escaped in (
        ("\\", "\\\\"),
        ('"', '\\"'),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\t", "\\t"),
    ):
        text = text.replace(plain, escaped)
    return text.re_replace(r"[\x00-\x1f]", "?")
