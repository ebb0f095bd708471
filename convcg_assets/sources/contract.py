"""The contract of the raw logs: which rows are valid, and the first rule that each other breaks.

Raw rows come from `reading.py`: the columns of the files and `_dt` (arrival day),
`_file`, `_row`, `_defect` (why a row could not be read; null where it could). No I/O here. Streams
that a log does not have are derived in `implied.py`.
"""

from collections.abc import Sequence

import ibis
from ibis import _

from convcg_assets.sources.casting import (
    Cast,
    Expr,
    cast_id,
    cast_integer,
    cast_number,
    cast_time,
    cast_vector,
    fault_where,
    id_text,
    no_fault,
    null_unless,
)
from convcg_assets.sources.columns import ADJUSTMENTS, REJECTED_EVENTS, STREAMS, type_schema
from convcg_assets.sources.repeats import settle_repeats
from convcg_assets.sources.row_text import content_id, row_as_json
from convcg_assets.sources.selection import (
    event_rows,
    find_column,
    is_ignored,
    is_selected,
    stream_options,
)
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import ColumnMapping

_PLACE = ("_dt", "_file", "_row")
_COUNTS = {"dt": "date", "file": "string"} | dict.fromkeys(
    ("rows", "elsewhere", "ignored"), "int64"
)


def apply_contract(
    raws: Sequence[ibis.Table], *, stream: str, source: Source
) -> tuple[ibis.Table, ibis.Table]:
    """Valid rows as the stream's table has them, and rejected rows as `rejected_events` has them.

    Rows that `where` does not select, and rows of events that the source maps to null, are in
    neither. A row is rejected for the first rule that it breaks: unreadable, each column in the
    table's order, times, then duplicates. Of equal ids within a day the first valid row by (file,
    row) is kept; of rows whose id is made of them see `repeats.py`. Raises ValueError where an id
    that the log does not have would have to be an integer.
    """
    checked = check_rows(raws, stream=stream, source=source)
    rejected = [_describe_rejected(checked, raw, stream=stream) for raw in raws]
    return valid_rows(checked, stream=stream, source=source), _union(rejected)


def valid_rows(checked: Expr, *, stream: str, source: Source) -> ibis.Table:
    """Of the rows of `check_rows` those that break no rule, as the stream's table has them."""
    schema = type_schema(STREAMS[stream].columns, source.id_types)
    valid = checked.filter(_._fault.isnull()).mutate(dt=_._dt)
    if stream == "impressions":
        valid = valid.mutate(impression_day=ibis.least(_.impression_ts.date(), _._dt))
    return valid.select(valid[name].cast(kind).name(name) for name, kind in schema.items())


def _describe_rejected(checked: Expr, raw: ibis.Table, *, stream: str) -> Expr:
    # The JSON is made after the join: of the rejected rows alone.
    broken = checked.filter(_._fault.notnull()).select(*_PLACE, "_fault").inner_join(raw, _PLACE)
    rejected = broken.select(
        dt=_._dt,
        stream=ibis.literal(stream),
        file=_._file,
        row=_._row,
        reason=_._fault,
        raw=row_as_json(broken, raw.columns),
    )
    return rejected.cast(dict(type_schema(REJECTED_EVENTS, {}).items()))


def check_rows(raws: Sequence[ibis.Table], *, stream: str, source: Source) -> Expr:
    """Every row that is to be valid or rejected, in canonical columns.

    With its place (`_dt`, `_file`, `_row`) and `_fault`, the first rule that it breaks, else null.
    Each of the tables is cast by itself, since its columns have types of their own; of several,
    `_of` says which a row is of.
    """
    cast = [
        _cast_columns(event_rows(raw, stream=stream, source=source), stream=stream, source=source)
        for raw in raws
    ]
    if len(cast) > 1:
        cast = [_in_types(rows, number, stream, source) for number, rows in enumerate(cast)]
    checked = _union(cast)
    has_content = any(has_column(raw, "content", stream=stream, source=source) for raw in raws)
    if stream == "pins" and has_content:
        if any(has_column(raw, "content_version", stream=stream, source=source) for raw in raws):
            checked = checked.mutate(_encoder=_.content_version.fill_null(""))
        checked = _check_content(checked, dim=source.content_dim)
    is_made = not any(
        has_column(raw, STREAMS[stream].key, stream=stream, source=source) for raw in raws
    )
    if stream_options(source, stream).repeats is not None and not is_made:
        key = STREAMS[stream].key
        raise ValueError(
            f"{source.name}: the log has a {key}, which tells equal rows apart: leave "
            f"streams.{stream}.repeats out, or set streams.{stream}.columns.{key} to null"
        )
    return settle_repeats(checked, stream=stream, source=source)


def _in_types(rows: Expr, number: int, stream: str, source: Source) -> Expr:
    """Rows in the types of their table, so that they can meet others."""
    types = type_schema(STREAMS[stream].columns, source.id_types)
    cast = rows.cast({name: kind for name, kind in types.items() if name in rows.columns})
    return cast.mutate(_of=ibis.literal(number, "int64"))


def _union(tables: Sequence[Expr]) -> Expr:
    return ibis.union(*tables) if len(tables) > 1 else tables[0]


def count_rows(raws: Sequence[ibis.Table], *, stream: str, source: Source) -> ibis.Table:
    """Per day and file (`dt`, `file`) how many `rows` there are, and how many are no events.

    `elsewhere` are those that `where` does not select, `ignored` those left out on purpose: of
    events that the source maps to null.
    """
    counted = []
    for raw in raws:
        is_mine = is_selected(raw, stream=stream, source=source)
        ignored = is_mine & is_ignored(raw, stream=stream, source=source)
        counted.append(
            raw.group_by(dt=_._dt, file=_._file).agg(
                rows=_.count(), elsewhere=(~is_mine).sum(), ignored=ignored.sum()
            )
        )
    return _union([counts.cast(_COUNTS) for counts in counted])


def content_lengths(raws: Sequence[ibis.Table], *, source: Source) -> ibis.Table:
    """Of the valid Pins' content the length, by day and encoder, and the first file that has it."""
    checked = check_rows(raws, stream="pins", source=source)
    rows = checked.filter(_._fault.isnull(), _.content.notnull())
    return rows.group_by("_dt", "content_version").agg(
        length=_.content.length().max(), file=_._file.min()
    )


def has_column(raw: ibis.Table, name: str, *, stream: str, source: Source) -> bool:
    """Whether the log has a canonical column at all."""
    return find_column(raw, name, stream_options(source, stream)) is not None


def _cast_columns(rows: Expr, *, stream: str, source: Source) -> Expr:
    """Canonical columns, `_fault` so far."""
    columns: dict[str, Expr] = {}
    faults: list[Expr] = [rows._defect]
    for name in STREAMS[stream].mappable:
        logged = find_column(rows, name, stream_options(source, stream))
        if logged is None:
            columns[name] = ibis.null(type_schema(STREAMS[stream].columns, source.id_types)[name])
            continue
        columns[name], fault = _cast_column(logged, name=name, stream=stream, source=source)
        if name in STREAMS[stream].logged or name in (STREAMS[stream].key, "received_ts"):
            faults.append(fault_where((logged.isnull(), f"null {name}")))
        if stream == ADJUSTMENTS and name == "value":
            fault = fault_where((_is_restatement(columns), fault))
        faults.append(fault)
    if stream == ADJUSTMENTS:
        columns["value"] = null_unless(_is_restatement(columns), columns["value"])
        lacks_value = _is_restatement(columns) & columns["value"].isnull()
        faults.append(fault_where((lacks_value, "null value of a restatement")))
    keep = {name: rows[name] for name in _PLACE}
    cast = rows.select(**keep, **columns, _fault=ibis.coalesce(*faults))
    cast = _derive(cast, rows, stream=stream, source=source)
    return cast.mutate(
        _fault=ibis.coalesce(_._fault, _time_fault(cast, rows, stream=stream, source=source))
    )


def _is_restatement(columns: dict[str, Expr]) -> Expr:
    """Only a restatement has a value: what is logged beside a refund says nothing more."""
    return (columns["adjustment_type"] == "restatement").fill_null(False)


def _cast_column(logged: Expr, *, name: str, stream: str, source: Source) -> Cast:
    spec, options = STREAMS[stream].columns[name].type, stream_options(source, stream)
    id_type = source.id_type(stream, name)
    if id_type:
        return cast_id(logged, name=name, id_type=id_type)
    if spec.startswith("timestamp"):
        mapping = options.columns.get(name, ColumnMapping(column=name))
        unit = mapping.time_unit or options.time_unit
        return cast_time(
            logged, name=name, unit=unit, zone=source.time_zone, first_day=source.first_day
        )
    if spec == "int64":
        return cast_integer(logged, name=name)
    if spec == "float64":
        milliseconds = name == "duration_s" and options.duration_unit == "ms"
        return cast_number(logged, name=name, factor=0.001 if milliseconds else 1.0)
    if spec.startswith("array"):
        return cast_vector(logged, name=name)
    if name == "event_id":  # An empty one would make all conversions of an advertiser one event.
        named: Expr = ibis.coalesce(id_text(logged), logged.cast("string"))
        event = named.nullif("")
        is_empty = logged.notnull() & event.isnull()
        if stream == ADJUSTMENTS:
            return event, fault_where((is_empty, f"malformed {name}: empty text"))
        return event, no_fault()
    text = logged.cast("string")
    vocabulary = STREAMS[stream].columns[name].vocabulary
    if vocabulary is not None:
        is_event = name == STREAMS[stream].event
        given = options.events if is_event else options.surfaces
        if name == "event_name" and not is_event:  # An adjustment names events as conversions do.
            given = (source.stream("conversions") or options).events
        meanings = given or {value: value for value in vocabulary}
        unknown = "unknown event" if is_event else f"unknown {name}"
        value = ibis.cases(
            *((text == logged_as, meaning) for logged_as, meaning in meanings.items() if meaning),
            else_=ibis.null("string"),
        )
        return value, fault_where((text.notnull() & value.isnull(), unknown))
    if stream == ADJUSTMENTS:
        return text, fault_where((text == "", f"malformed {name}: empty text"))
    return text, no_fault()


def _derive(cast: Expr, rows: Expr, *, stream: str, source: Source) -> Expr:
    """Fill the ids and times that the log does not have."""
    options, key = stream_options(source, stream), STREAMS[stream].key
    if find_column(rows, key, options) is None:
        if source.id_type(stream, key) == "int64":
            raise ValueError(
                f"{source.name}: the log has no {key}, so that one is made of the row's "
                f"content, which is text: set id_types.{key} to string, or map "
                f"streams.{stream}.columns.{key}"
            )
        cast = cast.mutate({key: content_id(cast, stream=stream, key=key)})
    if stream == "engagements" and source.streams.impressions is None:
        cast = cast.mutate(impression_id=_.engagement_id)
    happened = STREAMS[stream].happened
    if happened is not None and find_column(rows, "received_ts", options) is None:
        cast = cast.mutate(received_ts=ibis.greatest(cast[happened], _._dt.cast("timestamp(6)")))
    return cast


def _time_fault(cast: Expr, rows: Expr, *, stream: str, source: Source) -> Expr:
    """Times against the arrival day and against each other."""
    tolerance = ibis.interval(minutes=source.tolerance_minutes)
    start = cast._dt.cast("timestamp(6)")
    end = start + ibis.interval(days=1) + tolerance
    rules = STREAMS[stream]
    if rules.kind == "onsite":
        name = rules.time
        earliest = start - ibis.interval(days=source.late_days) - tolerance
        outside = (cast[name] < earliest) | (cast[name] >= end)
        return fault_where((outside, f"{name} outside its log's day"))
    happened = rules.happened
    if happened is not None:
        has_received = find_column(rows, "received_ts", stream_options(source, stream)) is not None
        name = "received_ts" if has_received else happened
        outside = (cast.received_ts < start - tolerance) | (cast.received_ts >= end)
        return fault_where(
            (outside, f"{name} outside its log's day"),
            (cast[happened] > cast.received_ts + tolerance, f"{happened} after received_ts"),
        )
    assert rules.kind == "snapshot", rules.kind
    return fault_where((cast[rules.time] >= end, f"{rules.time} after its log's day"))


def _check_content(checked: Expr, *, dim: int | None) -> Expr:
    """One length of content vectors: the one declared, else that of the first valid row.

    The first of the day, or of its `content_version`, where the log has that.
    """
    length = ibis.ifelse(_._fault.isnull(), checked.content.length(), ibis.null("int64"))
    checked = checked.mutate(_length=length)
    if dim is None:
        rows = checked.filter(_._length.notnull())
        group = ["_dt", "_encoder"] if "_encoder" in checked.columns else ["_dt"]
        first = ibis.row_number().over(ibis.window(group_by=group, order_by=["_file", "_row"]))
        wanted = rows.mutate(rank=first).filter(_.rank == 0).select(*group, _wanted=_._length)
        checked = checked.left_join(wanted, group)
        checked = checked.drop(*(f"{name}_right" for name in group))
    else:
        checked = checked.mutate(_wanted=ibis.literal(dim))
    differs = fault_where((_._length != _._wanted, "wrong length of content"))
    return checked.mutate(_fault=ibis.coalesce(_._fault, differs)).drop("_length", "_wanted")
