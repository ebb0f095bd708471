"""The error of a log that cannot be read."""

import datetime as dt
from collections.abc import Iterable, Mapping

_SHOWN_FAULTS = 5


class LandingError(ValueError):
    """A log that cannot be read: which file, what is wrong, what would be right.

    `days` are those that cannot be read, each with its reason; empty where they are not known.
    """

    def __init__(self, message: str, *, days: Mapping[dt.date, str] | None = None):
        super().__init__(message)
        self.days = dict(days or {})


def summarize(title: str, faults: Iterable[str]) -> str:
    """A title and the first few faults below it."""
    faults = list(faults)
    more = [f"  ... and {len(faults) - _SHOWN_FAULTS} more"] if len(faults) > _SHOWN_FAULTS else []
    return "\n".join([f"{title}:", *(f"  {f}" for f in faults[:_SHOWN_FAULTS]), *more])


def shorten(faults: list[str]) -> str:
    """The first of a day's faults, and how many more there are."""
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return faults[0] + more
