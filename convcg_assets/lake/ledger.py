"""The ledger: facts about built days, kept beside the lake; all that knows SQL.

A fact never changes, but is counted when it comes out again. *Content*: these files of a day hold
rows with these digests. *Build*: these files are what these inputs give. *Failed check*: these
files broke this check. Facts name the files that they speak of, so that a process killed between
writing a day and recording it, or two that write the same day, leave a day without a fact, which is
rebuilt, and never one with a wrong one. *Requests* are what was asked to be rebuilt, so that
attempts can be counted.
"""

import datetime as dt
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from convcg_assets.days import Days
from convcg_assets.lake.delta import NO_FILES

Cells = dict[str, str]
"""Digest of a day's rows by cell: see `digests.py`."""

MAX_SWITCH_ATTEMPTS = 200
"""The first connections of all switch a new database to another journal, one after the other."""

_metadata = sa.MetaData()
_contents = sa.Table(
    "contents",
    _metadata,
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("files_key", sa.String(64), primary_key=True),
    sa.Column("cells", sa.Text, nullable=False),
)
_builds = sa.Table(
    "builds",
    _metadata,
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("files_key", sa.String(64), primary_key=True),
    sa.Column("inputs", sa.String(64), primary_key=True),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("run_id", sa.String(64)),
    sa.Column("built_at", sa.DateTime, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
)
_failed_checks = sa.Table(
    "failed_checks",
    _metadata,
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("files_key", sa.String(64), primary_key=True),
    sa.Column("check_name", sa.String(128), primary_key=True),
    sa.Column("said", sa.Text, nullable=False),
)
_requests = sa.Table(
    "requests",
    _metadata,
    sa.Column("request_key", sa.String(64), primary_key=True),
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("inputs", sa.String(64), nullable=False),
    sa.Column("num_built", sa.Integer, nullable=False),
    sa.Column("requested_at", sa.DateTime, nullable=False),
)
sa.Index("requests_by_inputs", _requests.c.table_name, _requests.c.day, _requests.c.inputs)


@dataclass(frozen=True)
class Built:
    """A day as it was written: its files, the digests of its rows, and what it was built from."""

    day: dt.date
    files_key: str
    cells: Cells
    inputs: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request, and how often the day had come out of the same inputs before."""

    key: str
    num_built: int


@dataclass(frozen=True)
class Facts:
    """What is recorded of a table."""

    contents: dict[tuple[dt.date, str], Cells]
    """Digests of the rows, by day and files."""
    builds: dict[tuple[dt.date, str, str], int]
    """What days were built from, (day, files, inputs), and how often it came out so."""
    failed_checks: dict[tuple[dt.date, str], str]
    """What was found by checks that stop downstream, by day and files."""


class Ledger:
    """The facts of one lake, in the database at an SQLAlchemy URL; created when first written."""

    def __init__(self, url: str):
        self._engine = _engine(url)

    def record(self, table: str, built: Iterable[Built], *, run_id: str | None = None) -> None:
        """Record days that were written, all or none."""
        now, built = _now(), list(built)
        keys = [{"table_name": table, "day": b.day, "files_key": b.files_key} for b in built]
        with self._engine.begin() as connection:
            self._insert(
                connection,
                _contents,
                [k | {"cells": _json(b.cells)} for k, b in zip(keys, built, strict=True)],
            )
            self._insert(
                connection,
                _builds,
                [
                    k
                    | {"inputs": b.inputs, "detail": _json(b.detail)}
                    | {"run_id": run_id, "built_at": now, "times": 1}
                    for k, b in zip(keys, built, strict=True)
                ],
                again={"times": _builds.c.times + 1, "built_at": now},
            )

    def facts(self, tables: Iterable[str]) -> dict[str, Facts]:
        """What is recorded of each of those tables, as of one moment."""
        facts = {table: Facts({}, {}, {}) for table in tables}
        with self._engine.connect() as connection:
            for row in _of(connection, sa.select(_contents), _contents, facts):
                facts[row.table_name].contents[row.day, row.files_key] = _cells(row.cells)
            columns = ("table_name", "day", "files_key", "inputs", "times")
            builds = sa.select(*(_builds.c[name] for name in columns))
            for row in _of(connection, builds, _builds, facts):
                facts[row.table_name].builds[row.day, row.files_key, row.inputs] = row.times
            failed = sa.select(_failed_checks).order_by(_failed_checks.c.check_name)
            for row in _of(connection, failed, _failed_checks, facts):
                said = f"{row.check_name}: {row.said}"
                facts[row.table_name].failed_checks.setdefault((row.day, row.files_key), said)
        return facts

    def build_detail(self, table: str, day: dt.date, files_key: str) -> dict[str, Any] | None:
        """What was newest recorded of how those files came about; None without a record."""
        query = (
            sa.select(_builds.c.detail)
            .where(_builds.c.table_name == table, _builds.c.day == day)
            .where(_builds.c.files_key == files_key)
            .order_by(_builds.c.built_at.desc())
            .limit(1)
        )
        found = self._select(query)
        return json.loads(found[0].detail) if found else None

    def record_failed_check(
        self, table: str, check: str, said: Mapping[dt.date, tuple[str, str]]
    ) -> None:
        """Record that days broke a check that stops downstream: (files, what was found) by day."""
        rows = [
            {"table_name": table, "day": day, "files_key": key, "check_name": check, "said": text}
            for day, (key, text) in said.items()
        ]
        with self._engine.begin() as connection:
            self._insert(connection, _failed_checks, rows)

    def record_request(
        self,
        key: str,
        table: str,
        inputs: Mapping[dt.date, str],
        num_built: Mapping[dt.date, int],
    ) -> None:
        """Record that a rebuild of days from those inputs was asked for; asked again it is one.

        `num_built` is how often the days had come out of those inputs before.
        """
        now = _now()
        rows = [
            {"request_key": key, "table_name": table, "day": day, "inputs": digest}
            | {"num_built": num_built.get(day, 0), "requested_at": now}
            for day, digest in inputs.items()
        ]
        with self._engine.begin() as connection:
            self._insert(connection, _requests, rows)

    def requests(self, table: str, days: Days) -> dict[tuple[dt.date, str], list[Asked]]:
        """The requests for a table's days, by day and inputs, oldest first."""
        query = (
            sa.select(_requests)
            .where(_requests.c.table_name == table)
            .where(_requests.c.day.between(days.first, days.last))
            .order_by(_requests.c.requested_at)
        )
        asked: dict[tuple[dt.date, str], list[Asked]] = {}
        for row in self._select(query):
            one = Asked(row.request_key, row.num_built)
            asked.setdefault((row.day, row.inputs), []).append(one)
        return asked

    def forget(self, table: str, *, current: Mapping[dt.date, str], before: dt.datetime) -> int:
        """Remove facts about files that are current no more and requests older than `before`."""
        removed = 0
        with self._engine.begin() as connection:
            old = _builds.c.built_at < before
            known = connection.execute(
                sa.select(_builds.c.day, _builds.c.files_key)
                .where(_builds.c.table_name == table, old)
                .distinct()
            ).all()
            for day, key in known:
                if current.get(day, NO_FILES) == key:
                    continue
                for facts in (_builds, _contents, _failed_checks):
                    this = (facts.c.table_name == table, facts.c.day == day)
                    found = connection.execute(
                        sa.delete(facts).where(*this, facts.c.files_key == key)
                    )
                    removed += found.rowcount
            asked = (_requests.c.table_name == table, _requests.c.requested_at < before)
            removed += connection.execute(sa.delete(_requests).where(*asked)).rowcount
        return removed

    def _insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: list[dict],
        *,
        again: Mapping[str, Any] | None = None,
    ) -> None:
        """Insert rows; of those that are there already change nothing, or what `again` says."""
        dialect = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name]
        insert = dialect.insert(table)
        if again:
            insert = insert.on_conflict_do_update(index_elements=table.primary_key, set_=again)
        else:
            insert = insert.on_conflict_do_nothing()
        if rows:
            connection.execute(insert, rows)

    def _select(self, query: sa.Select) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(query).all())


def _of(
    connection: sa.Connection, query: sa.Select, facts: sa.Table, tables: Iterable[str]
) -> sa.CursorResult[Any]:
    return connection.execute(query.where(facts.c.table_name.in_(list(tables))))


@cache
def _engine(url: str) -> sa.Engine:
    if url.startswith("sqlite"):
        # No connection outlives its use: a forked run process must not share one.
        engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": 60})
        sa.event.listen(engine, "connect", _wait_instead_of_failing)
    elif url.startswith("postgresql"):
        engine = sa.create_engine(url, pool_pre_ping=True)
    else:
        raise ValueError(f"ledger {url!r}: a URL of sqlite:/// or postgresql+psycopg2:// is known")
    # One by one and only if missing: several processes may be the first.
    with engine.begin() as connection:
        for table in _metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))
    return engine


def _wait_instead_of_failing(connection: Any, _record: Any) -> None:
    """Readers and one writer at once; a commit survives a crash of the process."""
    cursor = connection.cursor()
    for attempt in range(1, MAX_SWITCH_ATTEMPTS + 1):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:  # Of all that SQLite does, this alone does not wait.
            if attempt == MAX_SWITCH_ATTEMPTS:
                raise
            time.sleep(0.05)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


@lru_cache(maxsize=100_000)
def _cells(text: str) -> Cells:
    """Facts never change: each text is read once per process."""
    return json.loads(text)
