"""Which raw rows are a stream's events, and where in them a canonical column stands."""

import ibis

from convcg_assets.sources.casting import Expr, id_text, null_unless
from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.row_text import inner_name
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import ColumnMapping, Stream


def stream_rows(raw: Expr, *, stream: str, source: Source) -> Expr:
    """The rows that `where` selects, and those that could not be read: they may be anyone's."""
    return raw.filter(is_selected(raw, stream=stream, source=source))


def is_selected(raw: Expr, *, stream: str, source: Source) -> Expr:
    """Whether a row is one of those that `stream_rows` gives."""
    options = stream_options(source, stream)
    selects = ibis.literal(True)
    for column, values in options.where.items():
        text = _logged(raw, column, options).cast("string")
        chosen = text.isin([v for v in values if v is not None]).fill_null(False)
        selects = selects & (chosen | text.isnull() if None in values else chosen)
    return selects | raw._defect.notnull()


def is_ignored(rows: Expr, *, stream: str, source: Source) -> Expr:
    """Whether a row's event is one that the source maps to null."""
    events = stream_options(source, stream).events or {}
    silent = [logged for logged, event in events.items() if event is None]
    if not silent:
        return ibis.literal(False)
    event = STREAMS[stream].event
    assert event is not None
    logged = find_column(rows, event, stream_options(source, stream))
    assert logged is not None
    return logged.cast("string").isin(silent).fill_null(False) & rows._defect.isnull()


def event_rows(raw: Expr, *, stream: str, source: Source) -> Expr:
    """The rows that are to be valid or rejected: the stream's, without those ignored."""
    rows = stream_rows(raw, stream=stream, source=source)
    return rows.filter(~is_ignored(rows, stream=stream, source=source))


def find_column(rows: Expr, name: str, stream: Stream | None) -> Expr | None:
    """The logged value of a canonical column; None where the log does not have it."""
    options = stream or Stream()
    mapping = options.columns.get(name, ColumnMapping(column=name))
    if mapping.constant is not None:
        constant = ibis.literal(mapping.constant)
        if mapping.since is None:
            return constant
        return null_unless(rows._dt >= ibis.literal(mapping.since, "date"), constant)
    there = [column for column in mapping.sources if inner_name(column) in rows.columns]
    if not there:
        return None
    if mapping.join:
        parts: list[Expr] = [
            id_text(_logged(rows, column, options)) if column in there else ibis.null("string")
            for column in mapping.join
        ]
        joined = parts[0].fill_null("")
        for part in parts[1:]:
            joined = joined + ":" + part.fill_null("")
        return ibis.ifelse(ibis.and_(*(p.isnull() for p in parts)), ibis.null("string"), joined)
    return _logged(rows, there[0], options)


def _logged(rows: Expr, column: str, options: Stream) -> Expr:
    """A column of the files; what the log writes for nothing is null."""
    value = rows[inner_name(column)]
    if not options.null_values or not value.type().is_string():
        return value
    return ibis.ifelse(value.isin(options.null_values), ibis.null("string"), value)


def stream_options(source: Source, stream: str) -> Stream:
    """The stream's section of the source file; ValueError where there is none."""
    found = source.stream(stream)
    if found is None:
        raise ValueError(f"{source.name}: the log has no stream {stream}")
    if not source.null_values:
        return found
    both = dict.fromkeys((*source.null_values, *found.null_values))
    return found.model_copy(update={"null_values": tuple(both)})
