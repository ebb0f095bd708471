"""Which raw rows are a stream's events, and where in them a canonical column stands."""

import ibis

from convcg_assets.sources.casting import Expr
from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import ColumnMapping, Stream


def stream_rows(raw: Expr, *, stream: str, source: Source) -> Expr:
    """The rows that `where` selects, and those that could not be read: they may be anyone's."""
    selects = ibis.literal(True)
    for column, values in stream_options(source, stream).where.items():
        text = raw[column].cast("string")
        chosen = text.isin([v for v in values if v is not None]).fill_null(False)
        selects = selects & (chosen | text.isnull() if None in values else chosen)
    return raw.filter(selects | raw._defect.notnull())


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
    mapping = (stream or Stream()).columns.get(name, ColumnMapping(column=name))
    if mapping.constant is not None:
        return ibis.literal(mapping.constant)
    if mapping.join:
        parts = [rows[column].cast("string") for column in mapping.join]
        joined = parts[0].fill_null("")
        for part in parts[1:]:
            joined = joined + ":" + part.fill_null("")
        return ibis.ifelse(ibis.and_(*(p.isnull() for p in parts)), ibis.null("string"), joined)
    if mapping.column is None or mapping.column not in rows.columns:
        return None
    return rows[mapping.column]


def stream_options(source: Source, stream: str) -> Stream:
    """The stream's section of the source file; ValueError where there is none."""
    found = source.stream(stream)
    if found is None:
        raise ValueError(f"{source.name}: the log has no stream {stream}")
    return found
