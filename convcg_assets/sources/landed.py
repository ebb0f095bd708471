"""The landing zone as it is now: which days have logs, a fingerprint of each day's files."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.finding import find_files, find_table_days, stream_layout
from convcg_assets.sources.log_table import LogTable
from convcg_assets.sources.selection import stream_options
from convcg_assets.sources.source import Source
from convcg_assets.sources.table_rows import day_stamps


@dataclass(frozen=True)
class LandedDay:
    """One day's logs: by `stream/name` each file's fingerprint, or why it cannot be read yet."""

    files: dict[str, str]
    missing: str | None = None


def landed_days(source: Source) -> dict[dt.date, LandedDay]:
    """Every day from the source's first to its last that any stream has a folder or rows for.

    A day whose folders are all gone is not among them: logs that were moved to an archive keep what
    the lake holds of them.
    """
    last = source.last_day or dt.date.max
    days = days_with_folders(source)
    return inspect_days(source, [day for day in days if source.first_day <= day <= last])


def days_with_folders(source: Source, *streams: str) -> list[dt.date]:
    """Every day that one of the streams, or of all, has a folder or rows for, in order.

    Days before the source's first and after its last are among them.
    """
    days: set[dt.date] = set()
    for stream in streams or _present(source):
        options = stream_options(source, stream)
        if options.table is not None:
            days |= day_stamps(options.table.located(source.landing)).keys()
        else:
            layout = stream_layout(source, stream)
            days |= layout.days(source.landing, unfinished=options.unfinished)
    return sorted(days)


def inspect_day(source: Source, day: dt.date) -> LandedDay:
    """One day of `inspect_days`."""
    return inspect_days(source, [day])[day]


def inspect_days(source: Source, days: Iterable[dt.date]) -> dict[dt.date, LandedDay]:
    """Each day's files with size, modification and change time: what is written again differs.

    The change time is the file system's own, so that a file put in place of another is noticed
    even where size and modification time are the same. A table is looked into once for all days.
    """
    landed = {day: _Found() for day in days}
    for stream in _present(source):
        table = stream_options(source, stream).table
        if table is not None:
            _stamp_table(source, stream, table, landed)
            continue
        for day, found in landed.items():
            _stamp_files(source, stream, day, found)
    return {
        day: LandedDay(found.files, "; ".join(found.missing) or None)
        for day, found in landed.items()
    }


@dataclass
class _Found:
    files: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def _stamp_files(source: Source, stream: str, day: dt.date, found: _Found) -> None:
    try:
        files = find_files(source, stream, [day])
    except LandingError as error:
        found.missing.append(str(error).splitlines()[1].strip())
        return
    except FileNotFoundError:
        found.missing.append(f"{stream} changed while it was looked at")
        return
    for _, name, path in files:
        try:
            status = path.stat()
        except FileNotFoundError:
            found.missing.append(f"{path} was removed while it was looked at")
            continue
        stamp = f"{status.st_size}.{status.st_mtime_ns:x}.{status.st_ctime_ns:x}"
        found.files[f"{stream}/{name}"] = stamp


def _stamp_table(
    source: Source, stream: str, table: LogTable, landed: Mapping[dt.date, _Found]
) -> None:
    try:
        known = find_table_days(source, stream, table, landed)
        missing: Mapping[dt.date, str] = {}
    except LandingError as error:
        known, missing = {}, error.days or dict.fromkeys(landed, str(error))
        if error.days:
            present = [day for day in landed if day not in error.days]
            known = find_table_days(source, stream, table, present)
    for day, found in landed.items():
        if day in known:
            found.files[f"{stream}/{table.label}"] = known[day].stamp
        elif day in missing:
            found.missing.append(missing[day])


def stream_of(file: str) -> str:
    """The stream of a file of a `LandedDay`."""
    return file.partition("/")[0]


def _present(source: Source) -> list[str]:
    return [stream for stream in STREAMS if source.stream(stream) is not None]
