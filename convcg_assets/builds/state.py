"""What there is now: the files and contents of every built day, and what they were built from."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from convcg_assets.days import Days
from convcg_assets.lake.delta import NO_FILES, Lake, Version
from convcg_assets.lake.digests import NO_CELL
from convcg_assets.lake.ledger import Cells, Facts, Ledger
from convcg_assets.tables.raw import RAW_TABLES
from convcg_assets.tables.registry import ARTIFACTS, TABLES
from convcg_assets.tables.table import ALL_CELLS, Bounds, Input

UNKNOWN_CELL = "?"
"""Content that was written but not recorded: it counts in every selection, by its files."""
_ALWAYS = frozenset({UNKNOWN_CELL})


@dataclass
class TableState:
    """One table or artifact: of each day its files' key and the digests of its rows."""

    keys: dict[dt.date, str]
    cells: dict[dt.date, Cells]
    builds: Mapping[tuple[dt.date, str, str], int]
    """(day, files' key, inputs): those files are what those inputs give; and how often so far."""
    failed: dict[dt.date, str] = field(default_factory=dict)
    """Days whose rows broke a check that stops downstream, and what it found."""
    version: Version | None = None
    always: frozenset[str] = _ALWAYS
    """Cells that count in every selection."""
    _selected: dict[tuple[dt.date, Bounds], str | None] = field(default_factory=dict)
    _num_built: dict[tuple[dt.date, str], int] = field(default_factory=dict)

    def key(self, day: dt.date) -> str:
        """The key of a day's files."""
        return self.keys.get(day, NO_FILES)

    def is_built_from(self, day: dt.date, inputs: str) -> bool:
        """Whether what a day holds is what those inputs give."""
        return (day, self.key(day), inputs) in self.builds

    def num_built(self, day: dt.date, inputs: str) -> int:
        """How often a day came out of those inputs, whatever it holds now."""
        if not self._num_built:
            for (built, _, made_of), times in self.builds.items():
                place = (built, made_of)
                self._num_built[place] = self._num_built.get(place, 0) + times
        return self._num_built.get((day, inputs), 0)

    def built_days(self) -> set[dt.date]:
        """Days whose files are recorded, whatever they were built from; empty days too."""
        return {day for day, key, _ in self.builds if self.key(day) == key}

    def newest_before(self, day: dt.date) -> dt.date | None:
        """The newest day before another that has rows."""
        return max((d for d in self.keys if d < day), default=None)

    def digest(self, day: dt.date, bounds: Bounds) -> str | None:
        """Digest of the rows of a day in cells within bounds; None where there are none."""
        place = (day, bounds)
        if place not in self._selected:
            cells = self.cells.get(day, {})
            low, high = bounds
            if low == high:
                cells = {c: cells[c] for c in (*self.always, low.isoformat()) if c in cells}
            elif bounds != ALL_CELLS:
                first, last = low.isoformat(), high.isoformat()
                cells = {c: d for c, d in cells.items() if c in self.always or first <= c <= last}
            text = "\n".join(f"{cell}={digest}" for cell, digest in sorted(cells.items()))
            digest = hashlib.sha256(text.encode()).hexdigest()[:16] if cells else None
            self._selected[place] = digest
        return self._selected[place]


@dataclass(frozen=True)
class State:
    """All tables, and the range of days with logs."""

    tables: dict[str, TableState]

    def __getitem__(self, table: str) -> TableState:
        """One table's state."""
        return self.tables[table]

    def held_day(self, source: Input, day: dt.date) -> dt.date | None:
        """The day before the window around a day whose rows hold in it: see `Input`."""
        if not source.holds:
            return None
        table, window = self.tables[source.table], source.days(Days(day, day))
        is_empty = not any(upstream in table.keys for upstream in window)
        return table.newest_before(window.first) if is_empty else None

    def days_read(self, source: Input, days: Days) -> list[dt.date]:
        """The days of an input that are read for a range of days, with those that count beside."""
        window = source.days(days)
        if source.accumulates:
            keys = self.tables[source.table].keys
            return [*sorted(day for day in keys if day < window.first), *window]
        held = self.held_day(source, days.first)
        return [*window] if held is None else [held, *window]

    def log_days(self) -> list[dt.date]:
        """First and newest day whose logs are in the lake; nothing before the first landing."""
        # What not every log has is written before `rejected_events`, which every day has.
        every = [table for table, entry in RAW_TABLES.items() if entry.needs is None]
        days = set.intersection(*(self.tables[table].built_days() for table in every))
        return [min(days), max(days)] if days else []


def load_state(tables: Iterable[str], *, lake: Lake, ledger: Ledger, home: Path) -> State:
    """The state of those tables and artifacts."""
    # Facts before files: what is written in between is then unknown, never mistaken.
    facts = ledger.facts(tables)
    return State(
        {
            table: _artifact(table, recorded, home=home)
            if table in ARTIFACTS
            else table_state(table, recorded, lake.snapshot(table))
            for table, recorded in facts.items()
        }
    )


def _artifact(table: str, facts: Facts, *, home: Path) -> TableState:
    keys = artifact_keys(table, home=home)
    cells = {day: {NO_CELL: key} for day, key in keys.items()}
    return _state(keys, cells, facts, None)


def table_state(table: str, facts: Facts, version: Version | None) -> TableState:
    """The state of a table as of one version."""
    keys = {day: version.key(day) for day in version.files} if version else {}
    cells = {d: facts.contents.get((d, k), {UNKNOWN_CELL: k}) for d, k in keys.items()}
    # A day whose rows were digested before the table had cells is one cell, for all who read it.
    always = _ALWAYS if TABLES[table].cell_may_be_null else _ALWAYS | {NO_CELL}
    return _state(keys, cells, facts, version, always)


def _state(
    keys: dict[dt.date, str],
    cells: dict[dt.date, Cells],
    facts: Facts,
    version: Version | None,
    always: frozenset[str] = _ALWAYS,
) -> TableState:
    failed = facts.failed_checks.items()
    broken = {d: said for (d, k), said in failed if keys.get(d, NO_FILES) == k}
    return TableState(keys, cells, facts.builds, broken, version, always)


def artifact_keys(table: str, *, home: Path) -> dict[dt.date, str]:
    """Of each day that has the artifact a digest of the file that describes it."""
    artifact = ARTIFACTS[table]
    keys = {}
    for path in (home / artifact.folder).glob(f"dt=*/{artifact.described_in}"):
        status = path.stat()
        day = dt.date.fromisoformat(path.parent.name.removeprefix("dt="))
        keys[day] = _file_digest(path, status.st_mtime_ns, status.st_size, status.st_ino)
    return keys


@lru_cache(maxsize=4096)
def _file_digest(path: Path, *_unchanged: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:24]
