"""What processes of the ledger's tests do. Each is forked from a server that has imported this."""

import datetime as dt
import os
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any

import alembic.command
import alembic.config  # noqa: F401  (so that processes that migrate begin at once)
import sqlalchemy as sa

from convcg_assets.lake.database import open_database
from convcg_assets.lake.ledger import Built, LandedFile, Ledger
from tests.forked import forks, start

FIRST = dt.date(2026, 1, 1)
DAYS = [FIRST + dt.timedelta(days=number) for number in range(20)]
TABLE = "weighted_labels"
TIMES = 5
NUM_PROCESSES = 4
WAIT_S = 60


def exit_codes(processes: list[BaseProcess]) -> list[int | None]:
    """How processes ended, once all have."""
    for process in processes:
        process.join(timeout=WAIT_S)
    return [process.exitcode for process in processes]


def run_at_once(target: Callable[..., None], *arguments: Any) -> list[int | None]:
    """How four processes ended that did the same at once, each given its number."""
    barrier = forks().Barrier(NUM_PROCESSES)
    return exit_codes(
        [start(target, *arguments, number, barrier) for number in range(NUM_PROCESSES)]
    )


def in_own_order(days: list[dt.date], number: int) -> list[dt.date]:
    """Every second process goes the other way."""
    return days[::-1] if number % 2 else days


def built(day: dt.date, files: str, inputs: str) -> Built:
    return Built(day, files, {"": files}, inputs, {"by": inputs})


def record_at_once(url: str, number: int, barrier: Barrier) -> None:
    """Record the same days as all others do, and files and a failed check of them."""
    barrier.wait(timeout=WAIT_S)
    ledger = Ledger(url)
    days = in_own_order(DAYS, number)
    for time in range(TIMES):
        ledger.record(TABLE, [built(day, "same", "same") for day in days], run_id=f"run{number}")
        ledger.record_files(LandedFile(day, "a", f"1.{time}", "d") for day in days)
        ledger.record_failed_check(TABLE, "a", dict.fromkeys(days, ("same", "none")))


def request_at_once(url: str, number: int, barrier: Barrier) -> None:
    """Ask for the same as all others, and for something of one's own."""
    barrier.wait(timeout=WAIT_S)
    ledger = Ledger(url)
    inputs = dict.fromkeys(in_own_order(DAYS, number), "same")
    for time in range(TIMES):
        ledger.record_request(f"same{time}", TABLE, inputs, {})
        ledger.record_request(f"own{time}-{number}", TABLE, inputs, {})


def forget_at_once(url: str, number: int, barrier: Barrier) -> None:
    """Record days and forget them, while others do."""
    barrier.wait(timeout=WAIT_S)
    ledger, later = Ledger(url), dt.datetime(2100, 1, 1)
    current = dict.fromkeys(DAYS, "kept")
    for _ in range(TIMES):
        days = in_own_order(DAYS, number)
        for files in ("kept", "old"):
            ledger.record(TABLE, [built(day, files, "same") for day in days])
        ledger.record_failed_check(TABLE, "a", dict.fromkeys(days, ("old", "none")))
        ledger.forget(TABLE, current=current, before=later)


def record_until_told(url: str, number: int, barrier: Barrier) -> None:
    """The first records ever new files; the others look, and see all of a build or nothing."""
    ledger = Ledger(url)
    barrier.wait(timeout=WAIT_S)
    for time in range(30):
        if number == 0:
            ledger.record(TABLE, [built(day, f"f{time}", "same") for day in DAYS])
            continue
        facts = ledger.facts([TABLE])[TABLE]
        assert {(day, files) for day, files, _ in facts.builds} == facts.contents.keys()
        assert len(facts.builds) % len(DAYS) == 0


def record_until_killed(url: str, num_statements: int, number: int, barrier: Barrier) -> None:
    """The first is killed in the middle of a transaction; the others record as often as ever."""
    ledger = Ledger(url)
    if number == 0:
        kill_after(open_database(url).writing, num_statements)
    barrier.wait(timeout=WAIT_S)
    for time in range(TIMES):
        files = f"f{number}" if number == 0 else "same"
        ledger.record(TABLE, [built(day, files, f"i{time}") for day in DAYS])


def open_until_killed(url: str, num_statements: int) -> None:
    """Bring a ledger up to date; killed after so many of the statements that do it."""
    sa.event.listen(sa.Engine, "after_cursor_execute", killer(num_statements, "CREATE"))
    Ledger(url)


def kill_after(engine: sa.Engine, num_statements: int) -> None:
    sa.event.listen(engine, "after_cursor_execute", killer(num_statements, "INSERT"))


def killer(num_statements: int, kind: str) -> Callable[..., None]:
    """Ends this process by SIGKILL after the n-th statement of a kind."""
    remaining = iter(range(num_statements - 1, -1, -1))

    def kill(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.lstrip().startswith(kind) and next(remaining) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def open_at_once(url: str, number: int, barrier: Barrier) -> None:
    """Open a ledger that is older, or not there yet, and use it."""
    barrier.wait(timeout=WAIT_S)
    Ledger(url).record(TABLE, [built(FIRST, f"f{number}", "same")])


def record_in_forks(url: str) -> None:
    """Forked from a process that has used the ledger, four use it at once, as does that one."""
    ledger = Ledger(url)
    ledger.record(TABLE, [built(FIRST, "before", "same")])
    forked = []
    for number in range(NUM_PROCESSES):
        if (process := os.fork()) == 0:
            status = 1
            try:
                for _ in range(TIMES):
                    ledger.record(TABLE, [built(day, f"f{number}", "same") for day in DAYS])
                    assert (FIRST, "before") in ledger.facts([TABLE])[TABLE].contents
                status = 0
            finally:
                os._exit(status)
        forked.append(process)
    for _ in range(TIMES):
        ledger.record(TABLE, [built(day, "here", "same") for day in DAYS])
        assert (FIRST, "before") in ledger.facts([TABLE])[TABLE].contents
    assert [os.waitpid(process, 0)[1] for process in forked] == [0] * NUM_PROCESSES
