"""What may be done about rejected rows: by the reason, and by what the rows hold."""

import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from convcg_assets.sources.columns import ADJUSTMENTS, STREAMS
from convcg_assets.sources.csv_records import (
    AFTER_QUOTE,
    BACKSLASH,
    UNCLOSED,
    WITHIN_FIELD,
    WRONG_NUMBER,
)
from convcg_assets.sources.json_text import NOT_AN_OBJECT, SEVERAL_OBJECTS
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import ColumnMapping, Stream

SHOWN_VALUES = 8
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}
TIME_REASON = re.compile(
    r"malformed (\w+): (?:a number, but|no time in|not an ISO)"
    r"|(\w+) (?:outside|after) its log's day"
)
ID_REASON = re.compile(r"malformed (\w+): not a 64-bit integer")
PLAIN = {
    WRONG_NUMBER: "fewer or more fields than the header: is a text with the delimiter "
    "in it unquoted?",
    UNCLOSED: "does the value hold a line break? Then set `line_breaks: true`; if quotes "
    "mean nothing, `quote: ''`",
    AFTER_QUOTE: "a quote within a quoted value is written twice, or after "
    "`escape`; if quotes mean nothing, set `quote: ''`",
    WITHIN_FIELD: "a value with a quote in it stands in quotes, right after the "
    "delimiter; if quotes mean nothing, set `quote: ''`",
    BACKSLASH: 'set `escape: "\\\\"`',
    NOT_AN_OBJECT: "one JSON object per line is right",
    SEVERAL_OBJECTS: "a line break is missing between them",
    "event_ts after received_ts": "are the two columns of one time zone and unit?",
    "adjustment_ts after received_ts": "are the two columns of one time zone and unit?",
    "unknown event_name": "an adjustment names events as the conversions do: they are mapped by "
    "streams.conversions.events; null, or left out, is any event of that id",
    "null value of a restatement": "it gives the value of the whole conversion from then on; what "
    "takes the whole conversion back is a retraction",
    "wrong length of content": "all vectors of a day have one length: that of `content_dim`, or of "
    "the first valid row",
}
NEGATIVE_VALUE = {
    "conversions": "a refund or a cancelled order takes a conversion back, or states its value "
    "anew: map its event to retraction or restatement in streams.conversions.events, or land such "
    f"rows as the stream {ADJUSTMENTS}",
    ADJUSTMENTS: "a restatement gives the value of the whole conversion from then on, not the "
    "difference; what takes the whole conversion back is a retraction",
}
LoggedRow = tuple[dt.date, dict[str, Any]]
"""A row's arrival day, and its values by column of the files."""


def advise(reason: str, rows: Sequence[LoggedRow], *, stream: str, source: Source) -> str | None:
    """What to look at, given some of the rows that were rejected for a reason."""
    if reason in ("unknown event", "unknown surface"):
        return _advise_on_values(reason.split()[1], rows, stream=stream, source=source)
    if found := TIME_REASON.match(reason):
        return _advise_on_time(found[1] or found[2], rows, stream=stream, source=source)
    if found := ID_REASON.match(reason):
        kind = source.id_kind(stream, found[1])
        return f"set id_types.{kind} to string, if these ids are right"
    if reason in (WRONG_NUMBER, AFTER_QUOTE):
        return _advise_on_quotes(reason, rows, source.stream(stream) or Stream())
    if reason.startswith("too large "):
        return "is it the unit? Sums of more than that would be wrong"
    if reason == "negative value":
        return NEGATIVE_VALUE.get(stream)
    if reason in PLAIN:
        return PLAIN[reason]
    if reason.startswith("duplicate "):
        key = reason.split()[1]
        if not any(
            column in row for _, row in rows for column in _mapping(key, stream, source).sources
        ):
            return (
                f"these rows are equal to one before them, and the log has no {key}: set "
                f"streams.{stream}.repeats to keep if each is an event of its own, or to drop"
            )
        return "the first row of an id is kept; is this column unique within a day?"
    if reason.startswith("null "):
        return "every row of this stream needs it; a CSV field that is empty is null"
    return None


def guess_unit(value: Any, day: dt.date, *, late_days: int) -> str | None:
    """The unit in which a logged time lies about its arrival day; None where none does.

    >>> guess_unit("1767355200000", dt.date(2026, 1, 2), late_days=1)
    'ms'
    >>> guess_unit("2026-01-02 10:00", dt.date(2026, 1, 2), late_days=1)
    'iso'
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return "iso" if re.match(r"\d{4}-\d{2}-\d{2}([T ]|\Z)", str(value)) else None
    for unit, scale in UNITS.items():
        try:
            found = dt.datetime.fromtimestamp(number / scale, dt.UTC).date()
        except (OverflowError, OSError, ValueError):
            continue
        if -(late_days + 1) <= (found - day).days <= 1:
            return unit
    return None


def _advise_on_quotes(reason: str, rows: Sequence[LoggedRow], options: Stream) -> str:
    """Another quote or escape, where the lines look as if they had it."""
    lines = [str(row.get("_line", "")) for _, row in rows]
    if options.quote != '"' and any('"' in line for line in lines):
        return f"values stand in double quotes: set `quote: '\"'` (it is {options.quote!r})"
    if options.escape and any(options.quote * 2 in line for line in lines):
        return f"quotes are written twice here: leave out `escape` (it is {options.escape!r})"
    return PLAIN[reason]


def _advise_on_values(
    what: str, rows: Sequence[LoggedRow], *, stream: str, source: Source
) -> str | None:
    """The values that were found, and where they are mapped."""
    name = STREAMS[stream].event if what == "event" else what
    assert name is not None
    (logged, *_others) = _mapping(name, stream, source).sources or (name,)
    counted = Counter(str(row[logged]) for _, row in rows if row.get(logged) is not None)
    values = [f"{value!r}" for value, _ in counted.most_common(SHOWN_VALUES)]
    known = ", ".join(STREAMS[stream].columns[name].vocabulary or ())
    left_out = ", or to null to leave such rows out" if what == "event" else ""
    return (
        f"found {', '.join(values) or 'nothing'}: map each in streams.{stream}.{what}s to one of "
        f"{known}{left_out}"
    )


def _advise_on_time(
    name: str, rows: Sequence[LoggedRow], *, stream: str, source: Source
) -> str | None:
    """Another unit, where that puts the times on their day."""
    mapping, options = _mapping(name, stream, source), source.stream(stream) or Stream()
    (logged, *_others) = mapping.sources or (name,)
    now = mapping.time_unit or options.time_unit
    place = f"columns.{name}.time_unit" if mapping.time_unit else "time_unit"
    for day, row in rows:
        unit = guess_unit(row.get(logged), day, late_days=source.late_days)
        if unit is not None and unit != now:
            return (
                f"{row[logged]} is a time about {day} as {unit}: set streams.{stream}.{place} to "
                f"{unit} (it is {now})"
            )
    first = rows[0][1].get(logged) if rows else None
    if now == "iso" and first is not None and guess_unit(first, rows[0][0], late_days=0) is None:
        return f"found {str(first)!r}; right would be 2026-01-02T10:00:00Z, or a number and a unit"
    return (
        f"dt is the UTC day on which the log arrived, at most {source.late_days} days (late_days) "
        f"after the event; is time_zone ({source.time_zone}) that of times that name none? "
        "`convcg split` cuts a log by UTC days"
    )


def _mapping(name: str, stream: str, source: Source) -> ColumnMapping:
    options = source.stream(stream) or Stream()
    return options.columns.get(name, ColumnMapping(column=name))
