"""What the tests' child processes do. Each is forked from a server that has imported this."""

import datetime as dt
import os
import signal
import threading
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest

from convcg_assets.builds import record
from convcg_assets.builds.compiled import compile_rows
from convcg_assets.days import Days
from convcg_assets.defs.run_lock import hold_lock
from convcg_assets.lake.delta import Lake
from convcg_assets.lake.engine import connect
from convcg_assets.lake.ledger import Ledger
from convcg_assets.tables.registry import table_schema
from tests.builds.deployment import converge
from tests.builds.tiny import FIRST, open_deployment

ID_TYPES = {"user_id": "int64"}
SCHEMA = table_schema("users", ID_TYPES)
OWNERS = {"_overwrite": Lake, "record": Ledger, "digest_days": record}
"""Where each function that a process may be killed at is looked up."""


def compile_before() -> None:
    """Compile what the tiny deployment builds, once for all processes that are forked from here."""
    con, tiny = connect(threads=1), open_deployment(Path("nowhere"))
    for table in tiny.recipes:
        compile_rows(table, Days(FIRST, FIRST), scope=tiny.scope, con=con)
    con.disconnect()


compile_before()


def converge_until_killed(home: Path, function: str, num_calls: int, when: str) -> None:
    """Rebuild what differs; die by SIGKILL before or after the n-th call of a function."""
    owner = OWNERS[function]
    called, remaining = getattr(owner, function), iter(range(num_calls - 1, -1, -1))

    def last_call(*arguments: Any, **options: Any) -> Any:
        is_last = next(remaining, None) == 0
        if is_last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = called(*arguments, **options)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, function, last_call)
    converge_once(home)


def converge_once(home: Path) -> None:
    """Rebuild what differs."""
    con = connect(memory_limit="500MB", threads=1)
    converge(open_deployment(home), con=con, max_rounds=40)


def users(days: Days, *ids: int) -> ibis.Table:
    """One row per day and id."""
    rows = [{"dt": day, "user_id": user_id} for day in days for user_id in ids]
    return ibis.memtable(pa.Table.from_pylist(rows, schema=SCHEMA.to_pyarrow()))


def replace_at_once(
    root: str, days: Days, writer: int, times: int, barrier: Barrier | threading.Barrier
) -> None:
    """Replace the days again and again; each version returned holds the rows of its own write."""
    con, lake = connect(memory_limit="300MB", threads=1), Lake(root, ID_TYPES)
    for time in range(times):
        barrier.wait(timeout=60)
        ids = (writer, 10 * writer + time + 10)
        made = lake.replace("users", days, users(days, *ids), con=con)
        rows = con.to_pyarrow(lake.read("users", days, con=con, version=made)).to_pylist()
        found = sorted((row["dt"], row["user_id"]) for row in rows)
        assert found == [(day, user_id) for day in days for user_id in ids], found


def open_ledger(url: str, barrier: Barrier) -> None:
    """Read and write a ledger that may not be there yet."""
    barrier.wait(timeout=60)
    ledger = Ledger(url)
    ledger.record_request("key", "users", {dt.date(2026, 1, 1): "inputs"}, {})
    assert ledger.facts(["users"])["users"].builds == {}


def replace_too_much(root: str, day: dt.date, limit: int) -> None:
    """Replace a day while no file may grow beyond a limit, then again without one."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    con, lake = connect(memory_limit="500MB", threads=1), Lake(root, ID_TYPES)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
    with pytest.raises(Exception, match="File too large"):
        lake.replace("users", Days(day, day), many_users(day), con=con)
    held = con.to_pyarrow(lake.read("users", Days(day, day), con=con))["user_id"].to_pylist()
    assert held == [1], held
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    lake.replace("users", Days(day, day), many_users(day), con=con)


def many_users(day: dt.date) -> ibis.Table:
    """Rows of a day that no compression makes small."""
    numbers = ibis.range(400_000).unnest().name("n").as_table()
    nulls: dict[str, Any] = {name: ibis.null(kind) for name, kind in SCHEMA.items()}
    spread = (numbers.n.hash() % (1 << 62)).cast("int64")
    return numbers.mutate(**nulls | {"dt": ibis.literal(day), "user_id": spread})


def hold_until(home: Path, run_id: str, held: Event, release: Event) -> None:
    """Hold a run's lock until told to let it go."""
    with hold_lock(home, run_id):
        held.set()
        assert release.wait(timeout=60)
