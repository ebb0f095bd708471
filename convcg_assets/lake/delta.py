"""The lake: one Delta table per asset, partitioned by `dt`. Two verbs: read days, replace days.

What a table's columns are, and what is computed, belongs to `tables/`; running it to `engine.py`.

A table may gain a column: days that were written before read as null in it, and the first day that
is written with it widens the table's schema.
"""

import datetime as dt
import hashlib
import json
import os
import random
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache

import ibis
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from ibis.backends.duckdb import Backend
from pyarrow.fs import PyFileSystem

from convcg_assets.days import Days
from convcg_assets.lake.engine import Files, Query, as_query, read_files, stream_rows
from convcg_assets.lake.object_store import is_in_store, told_of
from convcg_assets.tables.registry import table_schema

MAX_COMMIT_ATTEMPTS = 8
"""A commit that another one got in the way of is tried again, rows and all."""
NO_FILES = "none"
"""Key of a day without files."""
CONFIGURATION = {
    # A version that a model was trained on stays readable: `builds/cleanup.py` decides what goes.
    "delta.enableExpiredLogCleanup": "false",
}


@dataclass(frozen=True)
class Version:
    """One version of a table: which files hold each of its days."""

    number: int
    files: Mapping[dt.date, tuple[str, ...]]
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each file."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows of each file whose writer counted them."""
    first_columns: frozenset[str] | None = None
    """Columns that the table had at first; None where they are not known."""

    def key(self, day: dt.date) -> str:
        """Names the files of a day: they are never written again, so equal keys are equal rows."""
        return files_key(self.files.get(day, ()))

    def of(self, days: Iterable[dt.date]) -> list[str]:
        """The files of those days."""
        return [file for day in days for file in self.files.get(day, ())]

    def held(self, days: Iterable[dt.date], schema: ibis.Schema) -> Files:
        """Those days as an engine reads them."""
        paths = self.of(days)
        num_bytes = sum(self.sizes.get(path, 0) for path in paths)
        is_known = self.first_columns is not None and self.first_columns.issuperset(schema)
        return Files(paths, schema, num_bytes, may_lack_columns=not is_known)


NO_VERSION = Version(-1, {})
"""A table that was never written."""


@dataclass(frozen=True)
class _Known:
    """A version that was the newest, and the stamp of its entry in the table's log."""

    version: Version
    stamp: tuple[int, ...] | None
    delta: DeltaTable

    def is_current(self, path: str) -> bool:
        """Whether it still is: its entry is as it was, and none has come after it."""
        number = self.version.number
        if is_in_store(path):
            return self._is_newest(number)
        is_there = self.stamp is not None and _stamp(path, number) == self.stamp
        return is_there and _stamp(path, number + 1) is None

    def _is_newest(self, number: int) -> bool:
        """The same of a table in an object store, whose log is asked for newer entries alone."""
        try:
            self.delta.update_incremental()
        except DeltaError:  # The table was removed, or its log was cut.
            return False
        return self.delta.version() == number


_current: dict[str, _Known] = {}
"""By path, the newest version that this process has seen: a look costs what has changed."""


def _stamp(path: str, number: int) -> tuple[int, ...] | None:
    """What changes with a log's entry; None where there is none, or the lake is no folder."""
    try:
        status = os.stat(f"{path}/_delta_log/{number:020}.json")
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def files_key(files: tuple[str, ...]) -> str:
    """A short name of a set of files, wherever the lake lies."""
    if not files:
        return NO_FILES
    names = sorted(file.rpartition("/")[2] for file in files)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Lake:
    """Tables below `root`: a folder, or any URL that delta-rs knows."""

    root: str
    id_types: Mapping[str, str]

    def __post_init__(self) -> None:
        if "[" in self.root or "]" in self.root:
            raise ValueError(
                f"the lake cannot be at {self.root}: no Delta table is written below a folder with "
                "[ or ] in its name. Choose another folder for CONVCG_HOME or CONVCG_LAKE"
            )

    def path(self, table: str) -> str:
        """Where a table lies."""
        return f"{self.root.rstrip('/')}/{table}"

    def schema(self, table: str) -> ibis.Schema:
        """Columns and types of a table."""
        return table_schema(table, self.id_types)

    def exists(self, table: str) -> bool:
        """Whether the table was ever written."""
        with told_of(self.root):
            return DeltaTable.is_deltatable(self.path(table))

    def version(self, table: str) -> int | None:
        """Current version of a table; None before its first write."""
        return DeltaTable(self.path(table)).version() if self.exists(table) else None

    def snapshot(self, table: str, *, version: int | None = None) -> Version | None:
        """The current (or the given) version of a table; None before its first write."""
        path = self.path(table)
        known = _current.get(path) if version is None else None
        if known is not None and known.is_current(path):
            return known.version
        try:
            with told_of(self.root):
                delta = DeltaTable(path, version=version)
        except TableNotFoundError:
            return None
        found = self._files_of(delta, table)
        if version is None:
            _current[path] = _Known(found, _stamp(path, found.number), delta)
        return found

    def days(self, table: str) -> list[dt.date]:
        """Days of which the table holds rows, sorted."""
        snapshot = self.snapshot(table)
        return sorted(snapshot.files) if snapshot else []

    def read(
        self,
        table: str,
        days: Iterable[dt.date],
        *,
        con: Backend,
        version: Version | int | None = None,
    ) -> ibis.Table:
        """The rows of those days, as of the current (or the given) version of the table.

        The files are fixed when this is called: what is written later does not change the result.
        A table that was never written reads as empty.
        """
        if not isinstance(version, Version):
            version = self.snapshot(table, version=version)
        return read_files(self.held(table, days, version=version), con=con)

    def held(self, table: str, days: Iterable[dt.date], *, version: Version | None) -> Files:
        """Those days of a version as an engine reads them; None holds no rows."""
        return (version or NO_VERSION).held(days, self.schema(table))

    def replace(
        self,
        table: str,
        days: Days,
        rows: ibis.Table | Query,
        *,
        con: Backend,
        metadata: dict | None = None,
    ) -> Version:
        """Replace those days of the table by `rows` in one commit; returns the version made.

        Either all days are replaced or none: a crash leaves the old version. Of two writers of the
        same days the last to commit wins. Raises ValueError where a row's `dt` is not one of the
        days.
        """
        with as_query(rows, con=con) as query:
            for attempt in range(1, MAX_COMMIT_ATTEMPTS + 1):
                delta, commit = self._open(table), uuid.uuid4().hex
                try:
                    said = {**(metadata or {}), "commit": commit}
                    self._overwrite(delta, table, days, query, con=con, metadata=said)
                    return self._made_by(delta, table, commit)
                except CommitFailedError:
                    if attempt == MAX_COMMIT_ATTEMPTS:
                        raise
                    time.sleep(random.uniform(0, 0.1 * 2**attempt))
        raise AssertionError("the last attempt returns or raises")

    def _open(self, table: str) -> DeltaTable:
        """The table, created empty: an overwrite without one could wipe what another wrote."""
        with told_of(self.root):
            with suppress(TableNotFoundError):
                return DeltaTable(self.path(table))
            return DeltaTable.create(
                self.path(table),
                self.schema(table).to_pyarrow(),
                mode="ignore",
                partition_by=["dt"],
                configuration=CONFIGURATION,
            )

    def _overwrite(
        self,
        delta: DeltaTable,
        table: str,
        days: Days,
        query: Query,
        *,
        con: Backend,
        metadata: dict,
    ) -> None:
        schema = self.schema(table)
        faults: list[str] = []
        with stream_rows(query, schema=schema, con=con) as batches, _stray_days(faults):
            checked = (_checked(b, table, days, faults=faults) for b in batches)
            write_deltalake(
                delta,
                pa.RecordBatchReader.from_batches(schema.to_pyarrow(), checked),
                mode="overwrite",
                schema_mode="merge",
                partition_by=["dt"],
                predicate=f"dt >= '{days.first}' AND dt <= '{days.last}'",
                commit_properties=CommitProperties(custom_metadata=metadata),
                writer_properties=WriterProperties(compression="ZSTD", compression_level=1),
            )

    def _made_by(self, delta: DeltaTable, table: str, commit: str) -> Version:
        """The version that a commit made, whatever was committed after it.

        Read from the log's own entries: delta-rs numbers its `history()` from the version that it
        has loaded, even where it lists newer commits.
        """
        delta.update_incremental()
        log = PyFileSystem(DeltaStorageHandler(self.path(table)))
        for number in range(delta.version(), -1, -1):
            with log.open_input_file(f"_delta_log/{number:020}.json") as entry:
                actions = [json.loads(line) for line in entry.read().splitlines()]
            if any(action.get("commitInfo", {}).get("commit") == commit for action in actions):
                if number < delta.version():
                    delta = DeltaTable(self.path(table), version=number)
                return self._files_of(delta, table)
        raise AssertionError(f"{table}: commit {commit} is not in the table's log")

    def _files_of(self, delta: DeltaTable, table: str) -> Version:
        added = pa.table(delta.get_add_actions(flatten=True))
        added = added.select(["path", "partition.dt", "size_bytes", "num_records"])
        files: dict[dt.date, list[str]] = {}
        sizes: dict[str, int] = {}
        rows: dict[str, int] = {}
        for path, day, size, num in zip(*(c.to_pylist() for c in added.columns), strict=True):
            files.setdefault(day, []).append(f"{self.path(table)}/{path}")
            sizes[f"{self.path(table)}/{path}"] = size
            if num is not None:
                rows[f"{self.path(table)}/{path}"] = num
        first = _first_columns(self.path(table), delta.metadata().id)
        by_day = {day: tuple(sorted(of_day)) for day, of_day in files.items()}
        return Version(delta.version(), by_day, sizes, rows, first)

    def num_rows(self, table: str, days: Days, *, con: Backend) -> dict[dt.date, int]:
        """Rows per day, zero included."""
        rows = self.read(table, days, con=con).group_by("dt").agg(n=ibis._.count())
        counts = dict.fromkeys(days, 0)
        for row in con.to_pyarrow(rows).to_pylist():
            counts[row["dt"]] = row["n"]
        return counts


@lru_cache(maxsize=1024)
def _first_columns(path: str, table_id: str) -> frozenset[str]:
    """The columns that a table was created with; `table_id` tells it from one before it."""
    return frozenset(field.name for field in DeltaTable(path, version=0).schema().fields)


@contextmanager
def _stray_days(faults: list[str]) -> Iterator[None]:
    """The writer reports any error of its reader as its own: raise what was meant."""
    try:
        yield
    except DeltaError as error:
        if faults:
            raise ValueError(faults[0]) from error
        raise


def _checked(batch: pa.RecordBatch, table: str, days: Days, *, faults: list[str]) -> pa.RecordBatch:
    stray = {d for d in batch.column("dt").unique().to_pylist() if not days.first <= d <= days.last}
    if stray:
        listed = ", ".join(str(day) for day in sorted(stray))
        faults.append(f"{table}: rows of {listed} in a replacement of {days}")
        raise ValueError(faults[0])
    return batch
