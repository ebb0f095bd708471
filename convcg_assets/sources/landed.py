"""The landing zone as it is now: which days have logs, a fingerprint of each day's files."""

import datetime as dt
from dataclasses import dataclass

from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.finding import find_files, stream_layout
from convcg_assets.sources.selection import stream_options
from convcg_assets.sources.source import Source


@dataclass(frozen=True)
class LandedDay:
    """One day's logs: by `stream/name` each file's fingerprint, or why it cannot be read yet."""

    files: dict[str, str]
    missing: str | None = None


def landed_days(source: Source) -> dict[dt.date, LandedDay]:
    """Every day from the source's first to its last that any stream has a folder for.

    A day whose folders are all gone is not among them: logs that were moved to an archive keep what
    the lake holds of them.
    """
    last = source.last_day or dt.date.max
    return {
        day: inspect_day(source, day)
        for day in days_with_folders(source)
        if source.first_day <= day <= last
    }


def days_with_folders(source: Source, *streams: str) -> list[dt.date]:
    """Every day that one of the streams, or of all, has a folder for, in order.

    Days before the source's first and after its last are among them.
    """
    days: set[dt.date] = set()
    for stream in streams or _present(source):
        options, layout = stream_options(source, stream), stream_layout(source, stream)
        days |= layout.days(source.landing, unfinished=options.unfinished)
    return sorted(days)


def inspect_day(source: Source, day: dt.date) -> LandedDay:
    """A day's files with size, modification and change time: what is written again differs.

    The change time is the file system's own, so that a file put in place of another is noticed
    even where size and modification time are the same.
    """
    files: dict[str, str] = {}
    missing: list[str] = []
    for stream in _present(source):
        try:
            found = find_files(source, stream, [day])
        except LandingError as error:
            lines = str(error).splitlines()
            missing.append(lines[min(1, len(lines) - 1)].strip())
            continue
        except FileNotFoundError:
            missing.append(f"{stream} changed while it was looked at")
            continue
        for _, name, path in found:
            try:
                status = path.stat()
            except FileNotFoundError:
                missing.append(f"{path} was removed while it was looked at")
                continue
            stamp = f"{status.st_size}.{status.st_mtime_ns:x}.{status.st_ctime_ns:x}"
            files[f"{stream}/{name}"] = stamp
    return LandedDay(files, "; ".join(missing) or None)


def stream_of(file: str) -> str:
    """The stream of a file of a `LandedDay`."""
    return file.partition("/")[0]


def _present(source: Source) -> list[str]:
    return [stream for stream in STREAMS if source.stream(stream) is not None]
