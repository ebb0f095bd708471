"""Dagster's own storage in SQLite, its index of events held open.

A build of many small days spends its time on events: Dagster opens and closes a database for each,
and SQLite, whose last connection closes, moves its log into the database and waits for the disk.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData


class SqliteStorage(DagsterSqliteStorage):
    """Dagster's, with the same files in the same places."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None):
        super().__init__(base_dir, inst_data=inst_data)
        events = self._event_log_storage
        self._event_log_storage = _EventLog(events._base_dir)
        events.dispose()


class _EventLog(SqliteEventLogStorage):
    """Keeps one idle connection to the index; those of runs close, which whoever follows one sees.

    Commits do not wait for the disk each: what a process has written outlives it, and the last
    events before the power fails may be lost. What was built is in the ledger, not here.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None):
        self._idle: sqlite3.Connection | None = None
        self._idle_lock = Lock()
        super().__init__(base_dir, inst_data=inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with super()._connect(shard) as connection:
            connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
            yield connection
        if shard == INDEX_SHARD_NAME:
            self._stay()

    def dispose(self) -> None:
        """Close what was kept open as well."""
        super().dispose()
        with self._idle_lock:
            if self._idle is not None:
                self._idle.close()
            self._idle = None

    def _stay(self) -> None:
        with self._idle_lock:
            if self._idle is not None:
                return
            uri = f"{Path(self.path_for_shard(INDEX_SHARD_NAME)).as_uri()}?mode=rw"
            with suppress(sqlite3.OperationalError):  # Removed meanwhile, or locked: next time.
                idle = sqlite3.connect(uri, uri=True, check_same_thread=False)
                idle.execute("PRAGMA schema_version").fetchone()
                self._idle = idle
