"""A range of days of logs of which some cannot be read: the others are landed all the same.

How days are landed belongs to `raw.py`.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from convcg_assets.days import Days
from convcg_assets.sources.faults import LandingError, summarize
from convcg_assets.tables.table import DAY

MAX_UNNAMED = 8
"""After so many days that cannot be read for a reason that names none, all are taken for such."""


class RowCounts(NamedTuple):
    """Rows of a day's files; of these, what `where` does not select, and what is ignored."""

    rows: int = 0
    elsewhere: int = 0
    ignored: int = 0

    @property
    def judged(self) -> int:
        """The rows that are to be valid or rejected."""
        return self.rows - self.elsewhere - self.ignored


@dataclass
class Ingested:
    """What a landing came to: per stream and day the rows of the files, and table versions.

    `failed` are the days that could not be read, each with what is wrong and what would be right:
    the tables hold of them what they held before.
    """

    counts: dict[str, dict[str, RowCounts]] = field(default_factory=dict)
    absent: dict[str, dict[dt.date, dict[str, int]]] = field(default_factory=dict)
    """Columns that are null because files lack them, and of how many rows."""
    versions: dict[str, int] = field(default_factory=dict)
    failed: dict[dt.date, str] = field(default_factory=dict)

    def add(self, other: "Ingested") -> None:
        """Take in what the landing of other days came to."""
        for stream, by_day in other.counts.items():
            self.counts.setdefault(stream, {}).update(by_day)
        for stream, lacking in other.absent.items():
            self.absent.setdefault(stream, {}).update(lacking)
        self.versions.update(other.versions)
        self.failed.update(other.failed)


def land_good_days(days: Days, land: Callable[[Days], Ingested]) -> Ingested:
    """Land a range of days, those that cannot be read left out.

    `land` lands some of them as a whole or raises LandingError: if that names days, the others are
    tried again without them, else each half by itself. Raises LandingError where no day is landed.
    """
    done, errors, num_unnamed = Ingested(), [], 0
    parts = [days]
    while parts:
        part = parts.pop()
        try:
            done.add(land(part))
        except LandingError as error:
            errors.append(error)
            bad = {day: why for day, why in error.days.items() if day in part}
            if not bad and len(part) > 1:
                middle = part.first + (len(part) // 2) * DAY
                parts += [Days(middle, part.last), Days(part.first, middle - DAY)]
                continue
            if not bad:
                bad, num_unnamed = {part.first: str(error)}, num_unnamed + 1
            done.failed |= bad
            if num_unnamed == MAX_UNNAMED and not done.versions:
                raise errors[0] from None
            parts += reversed(_ranges([day for day in part if day not in bad]))
    if not done.versions and len(errors) == 1:
        raise errors[0]
    if not done.versions:
        raise LandingError(explain_failed(done.failed, days), days=done.failed)
    return done


def explain_failed(failed: Mapping[dt.date, str], days: Days) -> str:
    """The days that could not be read, in words: each with its file and the remedy."""
    title = f"{len(failed)} of {len(days)} days cannot be read"
    return summarize(title, [f"{day}: {why}" for day, why in sorted(failed.items())])


def _ranges(days: list[dt.date]) -> list[Days]:
    """Contiguous days together, in order."""
    firsts = [day for day in days if day - DAY not in days]
    lasts = [day for day in days if day + DAY not in days]
    return [Days(*ends) for ends in zip(firsts, lasts, strict=True)]
