"""The ledger: facts about built days, kept beside the lake.

A fact never changes, but is counted when it comes out again. *Content*: these files of a day hold
rows with these digests. *Build*: these files are what these inputs give. *Failed check*: these
files broke this check. Facts name the files that they speak of, so that a process killed between
writing a day and recording it, or two that write the same day, leave a day without a fact, which is
rebuilt, and never one with a wrong one. *Requests* are what was asked to be rebuilt, so that
attempts can be counted. *Landed files* are known by stamp and by content, so that a copy is known.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from convcg_assets.days import Days
from convcg_assets.lake import ledger_tables as kept
from convcg_assets.lake.database import open_database
from convcg_assets.lake.delta import NO_FILES
from convcg_assets.lake.ledger_rows import insert_rows

Cells = dict[str, str]
"""Digest of a day's rows by cell: see `digests.py`."""


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


@dataclass(frozen=True)
class LandedFile:
    """A file of a day's logs: its stamp when it was looked at, and the digest of its bytes."""

    day: dt.date
    file: str
    stamp: str
    digest: str


class Ledger:
    """The facts of one lake, in the database at an SQLAlchemy URL; created when first written."""

    def __init__(self, url: str):
        self._database = open_database(url)

    def record(self, table: str, built: Iterable[Built], *, run_id: str | None = None) -> None:
        """Record days that were written, all or none."""
        now, built = _now(), list(built)
        keys = [{"table_name": table, "day": b.day, "files_key": b.files_key} for b in built]
        with self._database.writing.begin() as connection:
            insert_rows(
                connection,
                kept.contents,
                [k | {"cells": _json(b.cells)} for k, b in zip(keys, built, strict=True)],
            )
            insert_rows(
                connection,
                kept.builds,
                [
                    k
                    | {"inputs": b.inputs, "detail": _json(b.detail)}
                    | {"run_id": run_id, "built_at": now, "times": 1}
                    for k, b in zip(keys, built, strict=True)
                ],
                again={"times": kept.builds.c.times + 1, "built_at": now},
            )

    def facts(self, tables: Iterable[str]) -> dict[str, Facts]:
        """What is recorded of each of those tables, as of one moment."""
        facts = {table: Facts({}, {}, {}) for table in tables}
        with self._database.reading.connect() as connection:
            for row in _of(connection, sa.select(kept.contents), kept.contents, facts):
                facts[row.table_name].contents[row.day, row.files_key] = _cells(row.cells)
            columns = ("table_name", "day", "files_key", "inputs", "times")
            builds = sa.select(*(kept.builds.c[name] for name in columns))
            for row in _of(connection, builds, kept.builds, facts):
                facts[row.table_name].builds[row.day, row.files_key, row.inputs] = row.times
            failed = sa.select(kept.failed_checks).order_by(kept.failed_checks.c.check_name)
            for row in _of(connection, failed, kept.failed_checks, facts):
                said = f"{row.check_name}: {row.said}"
                facts[row.table_name].failed_checks.setdefault((row.day, row.files_key), said)
        return facts

    def build_detail(
        self, table: str, day: dt.date, files_key: str | None
    ) -> dict[str, Any] | None:
        """What was newest recorded of how those files, or any (None), came about, if anything."""
        query = sa.select(kept.builds.c.detail)
        query = query.where(kept.builds.c.table_name == table, kept.builds.c.day == day)
        if files_key is not None:
            query = query.where(kept.builds.c.files_key == files_key)
        found = self._select(query.order_by(kept.builds.c.built_at.desc()).limit(1))
        return json.loads(found[0].detail) if found else None

    def newest_keys(self, table: str) -> dict[dt.date, str]:
        """Of each day the key that was recorded last."""
        query = sa.select(kept.builds.c.day, kept.builds.c.files_key)
        query = query.where(kept.builds.c.table_name == table)
        return {row.day: row.files_key for row in self._select(query.order_by("built_at"))}

    def newest_builds(self) -> dict[str, dt.datetime]:
        """Of each table when a day of it was last built (UTC)."""
        known = kept.builds.c
        query = sa.select(known.table_name, sa.func.max(known.built_at).label("at"))
        found = self._select(query.group_by(known.table_name))
        return {row.table_name: row.at.replace(tzinfo=dt.UTC) for row in found}

    def record_failed_check(
        self, table: str, check: str, said: Mapping[dt.date, tuple[str, str]]
    ) -> None:
        """Record that days broke a check that stops downstream: (files, what was found) by day."""
        rows = [
            {"table_name": table, "day": day, "files_key": key, "check_name": check, "said": text}
            for day, (key, text) in said.items()
        ]
        with self._database.writing.begin() as connection:
            insert_rows(connection, kept.failed_checks, rows)

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
        with self._database.writing.begin() as connection:
            insert_rows(connection, kept.requests, rows)

    def requests(self, table: str, days: Days) -> dict[tuple[dt.date, str], list[Asked]]:
        """The requests for a table's days, by day and inputs, oldest first."""
        query = (
            sa.select(kept.requests)
            .where(kept.requests.c.table_name == table)
            .where(kept.requests.c.day.between(days.first, days.last))
            .order_by(kept.requests.c.requested_at, kept.requests.c.request_key)
        )
        asked: dict[tuple[dt.date, str], list[Asked]] = {}
        for row in self._select(query):
            one = Asked(row.request_key, row.num_built)
            asked.setdefault((row.day, row.inputs), []).append(one)
        return asked

    def record_files(self, files: Iterable[LandedFile]) -> None:
        """Record landed files, those that are known already left as they are."""
        now = _now()
        with self._database.writing.begin() as connection:
            rows = [vars(file) | {"seen_at": now} for file in files]
            insert_rows(connection, kept.landed_files, rows)

    def landed_files(self, days: Iterable[dt.date]) -> list[LandedFile]:
        """The landed files that are known of days, oldest first."""
        known, days = kept.landed_files.c, sorted(days)
        if not days:
            return []
        query = sa.select(known.day, known.file, known.stamp, known.digest)
        query = query.where(known.day.between(days[0], days[-1]))
        return [
            LandedFile(*row)
            for row in self._select(query.order_by(known.seen_at, known.file, known.stamp))
        ]

    def forget(self, table: str, *, current: Mapping[dt.date, str], before: dt.datetime) -> int:
        """Remove facts about files that are current no more and requests older than `before`."""
        removed = 0
        with self._database.writing.begin() as connection:
            old = kept.builds.c.built_at < before
            known = connection.execute(
                sa.select(kept.builds.c.day, kept.builds.c.files_key)
                .where(kept.builds.c.table_name == table, old)
                .distinct()
            ).all()
            gone = sorted((day, key) for day, key in known if current.get(day, NO_FILES) != key)
            for facts in (kept.contents, kept.builds, kept.failed_checks):
                for day, key in gone:
                    this = (facts.c.table_name == table, facts.c.day == day)
                    found = connection.execute(
                        sa.delete(facts).where(*this, facts.c.files_key == key)
                    )
                    removed += found.rowcount
            asked = (
                kept.requests.c.table_name == table,
                kept.requests.c.requested_at < before,
            )
            removed += connection.execute(sa.delete(kept.requests).where(*asked)).rowcount
        return removed

    def _select(self, query: sa.Select) -> list[Any]:
        with self._database.reading.connect() as connection:
            return list(connection.execute(query).all())


def _of(
    connection: sa.Connection, query: sa.Select, facts: sa.Table, tables: Iterable[str]
) -> sa.CursorResult[Any]:
    return connection.execute(query.where(facts.c.table_name.in_(list(tables))))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


@lru_cache(maxsize=100_000)
def _cells(text: str) -> Cells:
    """Facts never change: each text is read once per process."""
    return json.loads(text)
