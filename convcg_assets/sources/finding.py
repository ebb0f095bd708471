"""The landing zone: finds the files of a stream's days, and says of a day why it is not there.

How a path's template is read belongs to `layout.py`, what is in a file to `files.py`.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from convcg_assets.sources.faults import LandingError, summarize
from convcg_assets.sources.layout import DayFiles, Layout, parse_layout
from convcg_assets.sources.log_table import LogTable
from convcg_assets.sources.selection import stream_options
from convcg_assets.sources.source import Source
from convcg_assets.sources.table_rows import DayStamp, day_stamps
from convcg_assets.urls import without_password


class FoundFile(NamedTuple):
    """A log file of a day; `name` is unique within the day: its path below the day's folder."""

    day: dt.date
    name: str
    path: Path


def stream_layout(source: Source, stream: str) -> Layout:
    """Where the stream's files lie below the landing folder."""
    return parse_layout(stream_options(source, stream).path or stream)


def look_at_day(source: Source, stream: str, day: dt.date) -> DayFiles:
    """What there is of a stream's day, logs or not."""
    options = stream_options(source, stream)
    layout = stream_layout(source, stream)
    return layout.find_day(source.landing, day, unfinished=options.unfinished)


def describe_place(source: Source, stream: str) -> str:
    """Where the stream's rows are looked for, without passwords."""
    table = stream_options(source, stream).table
    if table is None:
        return str(stream_layout(source, stream).root(source.landing))
    place = table.located(source.landing)
    at = place.delta or without_password(place.catalog or place.database or "")
    return at if place.delta else f"{table.label} of {at}"


def find_table_days(
    source: Source, stream: str, table: LogTable, days: Iterable[dt.date]
) -> dict[dt.date, DayStamp]:
    """Of a stream that lies in a table the days that it has rows of.

    Raises LandingError as `find_files` does: of a day without rows nobody knows whether it has
    landed.
    """
    options, known = stream_options(source, stream), day_stamps(table.located(source.landing))
    days, place = list(days), describe_place(source, stream)
    missing = {day: f"{place} has no rows of {day}" for day in days if day not in known}
    if (options.on_missing_day or source.on_missing_day) == "fail":
        _raise_missing(source, stream, missing)
    return {day: known[day] for day in days if day in known}


def find_names(source: Source, stream: str, day: dt.date) -> list[str]:
    """What a stream's rows of a day lie in: files by name, or a table; errors as `find_files`."""
    table = stream_options(source, stream).table
    if table is not None:
        return [table.label] if find_table_days(source, stream, table, [day]) else []
    return [file.name for file in find_files(source, stream, [day])]


def find_left_out(source: Source, stream: str, day: dt.date) -> list[str]:
    """The names of a day's files that are not read: unfinished, or not those asked for."""
    if stream_options(source, stream).table is not None:
        return []
    return look_at_day(source, stream, day).left_out


def find_files(source: Source, stream: str, days: Iterable[dt.date]) -> list[FoundFile]:
    """Every log file of the stream's days, in order of day and name.

    Raises LandingError naming the folders looked for, where a day has none and the source does not
    take missing days for empty ones. A folder that holds only markers (`_SUCCESS`) is an empty day.
    """
    options = stream_options(source, stream)
    takes_missing = (options.on_missing_day or source.on_missing_day) == "empty"
    missing: dict[dt.date, str] = {}
    astray: dict[dt.date, str] = {}
    files: list[FoundFile] = []
    for day in days:
        found = look_at_day(source, stream, day)
        files += [FoundFile(day, name, path) for name, path in found.files]
        if found.strays:
            astray[day] = _explain_strays(found, stream_layout(source, stream))
        elif not found.files and (why := _why_missing(found)) and not takes_missing:
            missing[day] = why
    if astray:
        raise LandingError(
            summarize(f"{source.name}: {stream} cannot be read", astray.values()), days=astray
        )
    _raise_missing(source, stream, missing)
    return files


def _raise_missing(source: Source, stream: str, missing: Mapping[dt.date, str]) -> None:
    if not missing:
        return
    title = f"{source.name}: no {stream} for {len(missing)} of the days asked for"
    remedy = "Land the day, or set `on_missing_day: empty` if days without events have no folder"
    raise LandingError(
        f"{summarize(title, missing.values())}\n{remedy}",
        days={day: f"no {stream}: {why}. {remedy}" for day, why in missing.items()},
    )


def _why_missing(found: DayFiles) -> str | None:
    """Why a day without log files has not landed; None where a marker says that it is empty."""
    if not found.exists:
        return f"{found.folder} does not exist"
    if found.has_marker:
        return None
    if found.left_out:
        names = ", ".join(found.left_out[:3])
        return f"{found.folder} holds no finished log file, but {names}"
    if found.wanted is not None:
        return f"{found.folder} holds no {found.wanted}"
    return f"{found.folder} is empty (a day without events holds a file named _SUCCESS)"


def _explain_strays(found: DayFiles, layout: Layout) -> str:
    """What lies where no log is looked for, and the path by which it would be found."""
    (first, *others) = found.strays
    more = f" (and {len(others)} more)" if others else ""
    if first.is_dir():
        return (
            f"{first}{more}: logs lie directly in a day's folder, and this is no file. If they lie "
            f"in folders below it, set the stream's `path` to {layout.below}"
        )
    return (
        f"{first}{more}: it lies where `path: {layout.template}` does not lead. Move it, or set "
        f"the stream's `path` to {layout.below}"
    )
