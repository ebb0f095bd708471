"""Landed files that are there again as they were: a folder that was copied, or put back.

A file is known by size, modification and change time, which is quick to ask and different in every
copy. The digest of its bytes tells that a copy is one: it is then taken for the file that was read.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping

from convcg_assets.lake.ledger import LandedFile, Ledger
from convcg_assets.sources.finding import find_files
from convcg_assets.sources.landed import LandedDay, inspect_days, stream_of
from convcg_assets.sources.selection import stream_options
from convcg_assets.sources.source import Source

Landed = Mapping[dt.date, LandedDay]


def as_first_read(source: Source, landed: Landed, *, ledger: Ledger) -> dict[dt.date, LandedDay]:
    """Landed days, in which a copy of a file that was read has the stamp of that file.

    Only a file of a new stamp and a known size is read for it, and once: the ledger remembers.
    """
    first, sizes = {}, set()
    stamp_of: dict[tuple[dt.date, str, str], str] = {}
    for known in ledger.landed_files(landed):
        stamp = first.setdefault((known.day, known.file, known.digest), known.stamp)
        stamp_of[known.day, known.file, known.stamp] = stamp
        sizes.add((known.day, known.file, _size(known.stamp)))
    unknown: dict[dt.date, LandedDay] = {}
    for day, logs in landed.items():
        files = {
            file: stamp
            for file, stamp in logs.files.items()
            if (day, file, stamp) not in stamp_of and (day, file, _size(stamp)) in sizes
        }
        if files:
            unknown[day] = LandedDay(files)
    copies = _digested(source, unknown)
    ledger.record_files(copies)
    for copy in copies:
        stamp = first.get((copy.day, copy.file, copy.digest), copy.stamp)
        stamp_of[copy.day, copy.file, copy.stamp] = stamp
    return {
        day: LandedDay(
            {f: stamp_of.get((day, f, stamp), stamp) for f, stamp in logs.files.items()},
            logs.missing,
        )
        for day, logs in landed.items()
    }


def remember_files(source: Source, landed: Landed, *, ledger: Ledger) -> None:
    """Remember the bytes of files that were read under these stamps, by their digests."""
    known = {(file.day, file.file, file.stamp) for file in ledger.landed_files(landed)}
    new = {
        day: LandedDay({f: s for f, s in logs.files.items() if (day, f, s) not in known})
        for day, logs in landed.items()
    }
    ledger.record_files(_digested(source, new))


def _digested(source: Source, landed: Landed) -> list[LandedFile]:
    """The files with the digests of their bytes; one that changed meanwhile is left out.

    The rows of a table (`table` of a stream) are no file, and have no copy.
    """
    found: list[LandedFile] = []
    for day, logs in landed.items():
        paths = _paths(source, day, {stream_of(file) for file in logs.files})
        for file, stamp in logs.files.items():
            if file in paths:
                with open(paths[file], "rb") as opened:
                    digest = hashlib.file_digest(opened, "blake2b").hexdigest()[:32]
                found.append(LandedFile(day, file, stamp, digest))
    now = inspect_days(source, {file.day for file in found})
    return [file for file in found if now[file.day].files.get(file.file) == file.stamp]


def _paths(source: Source, day: dt.date, streams: Iterable[str]) -> dict[str, str]:
    return {
        f"{stream}/{name}": str(path)
        for stream in streams
        if stream_options(source, stream).table is None
        for _, name, path in find_files(source, stream, [day])
    }


def _size(stamp: str) -> str:
    return stamp.partition(".")[0]
