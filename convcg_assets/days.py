"""A range of days: what every asset reads and writes."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ibis


@dataclass(frozen=True)
class Days:
    """The days `first` to `last`, both included."""

    first: dt.date
    last: dt.date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"empty range of days: {self.first} to {self.last}")

    def __iter__(self) -> Iterator[dt.date]:
        """Each day in order."""
        return (self.first + dt.timedelta(days=i) for i in range(len(self)))

    def __contains__(self, day: object) -> bool:
        """Whether a day is one of these."""
        return isinstance(day, dt.date) and self.first <= day <= self.last

    def __len__(self) -> int:
        """Number of days."""
        return (self.last - self.first).days + 1

    def __str__(self) -> str:
        """`2026-01-01...2026-01-03`, or one day alone."""
        return str(self.first) if self.first == self.last else f"{self.first}...{self.last}"

    def widen(self, *, before: int = 0, after: int = 0) -> "Days":
        """The same days and so many before and after.

        >>> str(Days(dt.date(2026, 1, 2), dt.date(2026, 1, 2)).widen(before=1))
        '2026-01-01...2026-01-02'
        """
        return Days(self.first - dt.timedelta(days=before), self.last + dt.timedelta(days=after))

    def parts(self, num_days: int) -> "Iterator[Days]":
        """The same days in order, at most so many at a time.

        >>> [len(part) for part in Days(dt.date(2026, 1, 1), dt.date(2026, 1, 5)).parts(2)]
        [2, 2, 1]
        """
        for offset in range(0, len(self), num_days):
            first = self.first + dt.timedelta(days=offset)
            yield Days(first, min(self.last, first + dt.timedelta(days=num_days - 1)))

    def lookback(self, column: str, *, num_days: int) -> ibis.Table:
        """One row per `day` of these and each of the `num_days` before it, that one in `column`.

        Joined to a table by `column`, it gives each row once for every day that looks back on it.
        """
        number = self._numbers()
        back = ibis.range(1, num_days + 1).unnest().name("back").as_table()
        pairs = number.cross_join(back)
        return pairs.select(
            day=self._nth(pairs.number), **{column: self._nth(pairs.number, minus=pairs.back)}
        )

    def each(self, column: str) -> ibis.Table:
        """One row per day, in that column."""
        numbers = self._numbers()
        return numbers.select(**{column: self._nth(numbers.number)})

    def _numbers(self) -> ibis.Table:
        # Of the ends alone: the same SQL for any number of days.
        num_days = ibis.date(self.last).delta(ibis.date(self.first), unit="day") + 1
        return ibis.range(0, num_days).unnest().name("number").as_table()

    def _nth(self, number: Any, *, minus: Any = 0) -> ibis.Value:
        """So many days after the first. (A date and an interval make a timestamp to engines.)"""
        moved = ibis.literal(self.first, "date") + (number - minus).as_interval("D")
        return moved.cast("timestamp").cast("date")
