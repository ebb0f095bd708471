"""Where each canonical column of a stream comes from, in words."""

from collections.abc import Collection, Sequence

from convcg_assets.sources.columns import ADJUSTMENTS, STREAMS
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import ColumnMapping, Stream


def describe_origin(
    name: str, file_columns: Collection[str], *, stream: str, source: Source
) -> str:
    """Where a canonical column comes from, with the unit or the mapping that its values go by."""
    options = source.stream(stream) or Stream()
    mapping = options.columns.get(name, ColumnMapping(column=name))
    if mapping.constant is not None:
        return f"always {mapping.constant!r}"
    if mapping.join:
        return f"{':'.join(mapping.join)}, joined"
    if mapping.column is not None and mapping.column in file_columns:
        named = "same name" if mapping.column == name else mapping.column
        return ", ".join([named, *_read_by(name, mapping, stream, source)])
    return _stand_in(name, is_absent=mapping.absent, stream=stream, source=source)


def unused_columns(file_columns: Sequence[str], *, stream: str, options: Stream) -> tuple[str, ...]:
    """Columns of the files that nothing of the stream is made of."""
    used = {column for mapping in options.columns.values() for column in mapping.sources}
    own = {name for name in STREAMS[stream].mappable if name not in options.columns}
    return tuple(c for c in file_columns if c not in used | own | set(options.where))


def _read_by(name: str, mapping: ColumnMapping, stream: str, source: Source) -> list[str]:
    spec, options = STREAMS[stream].columns[name], source.stream(stream) or Stream()
    if spec.type.startswith("timestamp"):
        unit = mapping.time_unit or options.time_unit
        return [] if unit == "iso" else [f"{unit} since 1970"]
    if name == "duration_s" and options.duration_unit == "ms":
        return ["in ms"]
    if spec.vocabulary is not None:
        is_event = name == STREAMS[stream].event
        given = options.events if is_event else options.surfaces
        if name == "event_name" and not is_event:
            by_conversions = (source.stream("conversions") or options).events
            return ["by events of conversions"] if by_conversions else []
        return [f"by {'events' if is_event else 'surfaces'}"] if given else []
    return []


def _stand_in(name: str, *, is_absent: bool, stream: str, source: Source) -> str:
    """What stands in for a column that the log does not have."""
    why = "left out" if is_absent else "not in the files"
    if name == STREAMS[stream].key:
        return f"{why}: made of the row"
    if STREAMS[stream].happened and name == "received_ts":
        return f"{why}: {STREAMS[stream].happened}, or midnight"
    if stream == "engagements" and name == "impression_id":
        own = source.stream("impressions") is None
        return f"{why}: the engagement's" if own else f"{why}: the newest before"
    if name == "advertiser_id" and STREAMS[stream].is_event and source.stream("pins"):
        return f"{why}: the Pin's"
    if stream == ADJUSTMENTS and name in ("advertiser_id", "event_name"):
        return f"{why}: any of that event_id"
    return f"{why}: null"
