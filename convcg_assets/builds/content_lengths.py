"""The length of content vectors is a contract over all days: another one is another encoder.

That vectors of one day have one length belongs to `sources/contract.py`.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from ibis import _
from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.lake.delta import Lake, Version
from convcg_assets.sources.files import LandingError


@dataclass(frozen=True)
class Length:
    """The length of a day's content vectors of one encoder; `where` is a file, or the lake."""

    day: dt.date
    encoder: str | None
    length: int
    where: str


def check_lengths(
    landed: Iterable[Length], days: Days, *, pins: Version | None, lake: Lake, con: Backend
) -> None:
    """LandingError where content is not as long as the encoder's was on the snapshot before.

    `landed` are the lengths of the days that are about to be written; those next to them in the
    lake are looked up in `pins`, the table's version.
    """
    found = [*landed]
    if not found:
        return
    kept = pins.files if pins else {}
    beside = [
        max((day for day in kept if day < days.first), default=None),
        min((day for day in kept if day > days.last), default=None),
    ]
    rows = lake.read("pins", [day for day in beside if day is not None], con=con, version=pins)
    lengths = rows.filter(_.content.notnull()).group_by("dt", "content_version")
    known = con.con.execute(con.compile(lengths.agg(length=_.content.length().max()))).fetchall()
    found += [Length(day, encoder, length, "the lake") for day, encoder, length in known]
    before: dict[str | None, Length] = {}
    bad: dict[dt.date, str] = {}
    for now in sorted(found, key=lambda length: length.day):
        last = before.setdefault(now.encoder, now)
        if last.length == now.length:
            before[now.encoder] = now
        else:
            bad.setdefault(now.day if now.day in days else last.day, _describe(last, now))
    if bad:
        raise LandingError(next(iter(bad.values())), days=bad)


def _describe(last: Length, now: Length) -> str:
    named = f" of encoder {now.encoder!r}" if now.encoder is not None else ""
    return (
        f"{now.where}: content{named} has {now.length} numbers on {now.day}, and {last.length} on "
        f"{last.day} ({last.where}). Vectors of two encoders do not compare: land those of "
        f"{now.day} again, or say which encoder made them by a column `content_version`, such as "
        f"streams.pins.columns.content_version: {{constant: second, since: {now.day}}}. To reject "
        "what has another length, set content_dim"
    )
