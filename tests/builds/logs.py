"""The landing zone of a tiny world: its days land, are corrected, cut and landed again."""

import datetime as dt
import os
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from convcg_assets.sources.columns import ADJUSTMENTS, ID_KINDS, MERGES, STREAMS
from convcg_assets.sources.source import Source
from convcg_assets.tables.registry import table_schema

Row = dict[str, Any]

LANDED = ("impressions", "engagements", "conversions", "pins", "users")
FIRST_DAY = dt.date(2026, 2, 26)
DAY = dt.timedelta(days=1)
ID_TYPES: dict[str, str] = dict.fromkeys(ID_KINDS, "int64")
NUM_USERS, NUM_PINS = 3, 4
ORDERS = ("o1", "o2")
"""Event ids that adjustments speak of, whether or not a conversion has them yet."""
VALUES = (None, 10.0, 50.0, 400.0)
DURATIONS = (None, 1.0, 30.0, 300.0)
SECONDS_OF_DAY = (0, 1, 43_200, 86_399)


def day(offset: int) -> dt.date:
    return FIRST_DAY + offset * DAY


def at(offset: int, *, seconds: int = 0) -> dt.datetime:
    """A time so many seconds into a day."""
    return dt.datetime.combine(day(offset), dt.time()) + dt.timedelta(seconds=seconds)


def make_source(landing: Path, *, adjusts: bool = False, merges: bool = False) -> Source:
    """All five streams as Parquet, ids as integers, a log that goes on; or more of them."""
    streams = (*LANDED, *_more_streams(adjusts=adjusts, merges=merges))
    return Source.model_validate(
        {"name": "tiny", "first_day": FIRST_DAY, "landing": landing, "id_types": ID_TYPES}
        | {"streams": {stream: {} for stream in streams}}
    )


def _more_streams(*, adjusts: bool, merges: bool) -> tuple[str, ...]:
    return (ADJUSTMENTS,) * adjusts + (MERGES,) * merges


class Landing:
    """Log files below a folder; rows are drawn by `rng`, a conversion's touch from `shown`.

    With `adjusts` conversions are taken back and restated, some before they were reported; with
    `merges` some of the few users turn out to be one, long after they acted.
    """

    def __init__(self, root: Path, rng: Random, *, adjusts: bool = False, merges: bool = False):
        self.root = root
        self.adjusts = adjusts
        self.more = _more_streams(adjusts=adjusts, merges=merges)
        self.rng = rng
        self.shown: list[Row] = []
        self.files: dict[tuple[dt.date, str, str], list[Row]] = {}
        self._next_id = 0

    @property
    def days(self) -> list[dt.date]:
        """Days that have landed, in order."""
        return sorted({day for day, _, _ in self.files})

    def land(self, offset: int) -> None:
        """All streams of a day, one file each; a stream without events has a marker alone."""
        self.write(day(offset), "pins", [_pin(self.rng, pin) for pin in range(NUM_PINS)])
        self.write(day(offset), "users", [_user(self.rng, user) for user in range(NUM_USERS)])
        for stream in ("impressions", "engagements", "conversions"):
            self.write(day(offset), stream, self.draw(stream, offset))
        for stream in self.more:
            self.write(day(offset), stream, self.draw(stream, offset))

    def add_late_file(self, stream: str, day: dt.date) -> None:
        """A second file of a day that has landed before."""
        rows = self.draw(stream, (day - FIRST_DAY).days)
        self.write(day, stream, rows, name=f"late_{self._id()}")

    def correct(self, day: dt.date) -> None:
        """A file again, with other values in some of its rows."""
        _, stream, name = self._any_file(day)
        rows = [dict(row) for row in self.files[day, stream, name]]
        for row in rows:
            if self.rng.random() < 0.6:
                row |= _correction(self.rng, stream)
        self.write(day, stream, rows, name=name)

    def shorten(self, day: dt.date) -> None:
        """A file again, without some of its rows; or the file is gone."""
        _, stream, name = self._any_file(day)
        rows = [row for row in self.files[day, stream, name] if self.rng.random() < 0.5]
        self.write(day, stream, rows if self.rng.random() < 0.7 else [], name=name)

    def touch(self, day: dt.date) -> None:
        """A file written again with the same rows, though not the same bytes."""
        _, stream, name = self._any_file(day)
        self.write(day, stream, self.files[day, stream, name], name=name, note=self._id())

    def touch_file(self, day: dt.date, stream: str) -> None:
        """The first file of a stream written again with the same rows."""
        self.write(day, stream, self.files[day, stream, "a"], note=self._id())

    def draw(self, stream: str, offset: int) -> list[Row]:
        """Events that arrive on a day; some long after they happened."""
        kinds = {
            "impressions": self._impression,
            "engagements": self._engagement,
            "conversions": self._conversion,
            ADJUSTMENTS: self._adjustment,
            MERGES: self._merge,
        }
        most = {"impressions": 5, MERGES: 1}.get(stream, 4)
        return [kinds[stream](offset) for _ in range(self.rng.randint(0, most))]

    def write(
        self, day: dt.date, stream: str, rows: list[Row], *, name: str = "a", note: int = 0
    ) -> None:
        """Put a file in place at once; without rows it is removed. A `note` is no row."""
        folder = self.root / stream / f"dt={day}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "_SUCCESS").touch()
        self.files[day, stream, name] = rows
        path = folder / f"{name}.parquet"
        if not rows:
            path.unlink(missing_ok=True)
            return
        schema = table_schema(stream, ID_TYPES).to_pyarrow()
        fields = [schema.field(c) for c in STREAMS[stream].mappable]
        columns = pa.schema(fields, metadata={"note": f"{note:08}"})
        pq.write_table(pa.Table.from_pylist(rows, schema=columns), folder / "_being_written")
        os.replace(folder / "_being_written", path)

    def _any_file(self, day: dt.date) -> tuple[dt.date, str, str]:
        return self.rng.choice(sorted(f for f, rows in self.files.items() if rows and f[0] == day))

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _impression(self, offset: int) -> Row:
        late = self.rng.choice((0, 0, 0, 1)) if offset else 0
        pin = self.rng.randrange(NUM_PINS)
        row = {
            "impression_id": self._id(),
            "user_id": self.rng.randrange(NUM_USERS),
            "pin_id": pin,
            "advertiser_id": pin % 2,
            "impression_ts": at(offset - late, seconds=self.rng.choice(SECONDS_OF_DAY)),
            "surface": self.rng.choice(("homefeed", "search")),
        }
        self.shown.append(row)
        return row

    def _engagement(self, offset: int) -> Row:
        seen = self._recent(offset, days=2)
        return {
            "engagement_id": self._id(),
            "impression_id": seen["impression_id"],
            "user_id": seen["user_id"],
            "pin_id": seen["pin_id"],
            "engagement_ts": min(
                seen["impression_ts"] + dt.timedelta(seconds=self.rng.choice((0, 30, 86_399))),
                at(offset, seconds=86_399),
            ),
            "engagement_type": self.rng.choice(("click", "click", "repin", "close_up")),
            "duration_s": self.rng.choice(DURATIONS),
        }

    def _conversion(self, offset: int) -> Row:
        seen = self._recent(offset, days=4)
        last = at(offset, seconds=86_399)
        event_ts = min(seen["impression_ts"] + self.rng.choice((0, 0, 1, 1, 2)) * DAY / 2, last)
        number = self._id()
        names = (f"e{number}", "shared", None)
        names += (*ORDERS, *ORDERS) if self.adjusts else ()
        return {
            "conversion_id": number,
            "user_id": self.rng.choice((seen["user_id"],) * 5 + (None,)),
            "advertiser_id": seen["pin_id"] % 2,
            "pin_id": self.rng.choice((seen["pin_id"], None)),
            "event_name": self.rng.choice(("checkout", "checkout", "add_to_cart")),
            "event_id": self.rng.choice(names),
            "event_ts": event_ts,
            "received_ts": max(event_ts, at(offset, seconds=self.rng.choice(SECONDS_OF_DAY))),
            "value": self.rng.choice(VALUES),
        }

    def _adjustment(self, offset: int) -> Row:
        """Often of an order that several conversions may be of, before or after it is reported."""
        made = at(
            self.rng.randint(max(offset - 2, 0), offset), seconds=self.rng.choice((0, 43_200))
        )
        kind = self.rng.choice(("retraction", "restatement"))
        return {
            "adjustment_id": str(self._id()),
            "adjustment_type": kind,
            "advertiser_id": self.rng.choice((0, 1, None)),
            "event_name": self.rng.choice((None, None, "checkout")),
            "event_id": self.rng.choice((*ORDERS, *ORDERS, "shared", "nobody's")),
            "adjustment_ts": made,
            "received_ts": max(made, at(offset, seconds=self.rng.choice((0, 43_200)))),
            "value": self.rng.choice(VALUES[1:]) if kind == "restatement" else None,
        }

    def _merge(self, offset: int) -> Row:
        merged = at(max(offset - self.rng.choice((0, 0, 1)), 0))
        return {
            "merge_id": str(self._id()),
            "from_user_id": self.rng.randrange(NUM_USERS),
            "to_user_id": self.rng.randrange(NUM_USERS),
            "merged_ts": merged,
            "received_ts": max(merged, at(offset, seconds=43_200)),
        }

    def _recent(self, offset: int, *, days: int) -> Row:
        """An impression of the days before, one that was never landed where there is none."""
        since, until = at(offset - days), at(offset + 1)
        near = [row for row in self.shown if since <= row["impression_ts"] < until]
        if near:
            return self.rng.choice(near)
        ghost = {"impression_id": -1, "user_id": 0, "pin_id": 0}
        return ghost | {"impression_ts": at(offset, seconds=1)}


def _pin(rng: Random, pin: int) -> Row:
    return {
        "pin_id": pin,
        "advertiser_id": pin % 2,
        "category": rng.choice(("shoes", "shoes", "lamps")),
        "price": rng.choice((9.99, 120.0)),
        "created_ts": at(-100),
        "title": f"Pin {pin}",
        "content": [0.5, -1.0],
    }


def _user(rng: Random, user: int) -> Row:
    return {"user_id": user, "country": rng.choice(("DE", "DE", "US")), "created_ts": at(-50)}


def _correction(rng: Random, stream: str) -> Row:
    return {
        "impressions": lambda: {"pin_id": rng.randrange(NUM_PINS)},
        "engagements": lambda: {"duration_s": rng.choice(DURATIONS)},
        "conversions": lambda: {"value": rng.choice(VALUES), "user_id": rng.randrange(NUM_USERS)},
        ADJUSTMENTS: lambda: rng.choice(
            ({"event_id": rng.choice(ORDERS)}, {"adjustment_type": "retraction"})
        ),
        MERGES: lambda: {"to_user_id": rng.randrange(NUM_USERS)},
        "pins": lambda: {"category": rng.choice(("shoes", "lamps")), "advertiser_id": 0},
        "users": lambda: {"country": rng.choice(("DE", "US"))},
    }[stream]()
