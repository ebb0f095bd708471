"""Processes that write the same days at once: all land, and no stale day looks fresh."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.raw import ingest
from convcg_assets.days import Days
from convcg_assets.lake.delta import Lake, Version
from convcg_assets.sources.files import LandingError
from tests.builds.children import (
    ID_TYPES,
    converge_once,
    open_ledger,
    replace_at_once,
)
from tests.builds.deployment import converge, look
from tests.builds.tiny import (
    FIRST,
    NEW_VALUE,
    Scratch,
    hold,
    land,
    land_conversions,
    open_deployment,
    unnoticed,
)
from tests.forked import forks, start

SECOND, THIRD = FIRST + dt.timedelta(days=1), FIRST + dt.timedelta(days=2)
TIMES = 5


@pytest.mark.parametrize(
    "days",
    [
        pytest.param((Days(FIRST, SECOND), Days(FIRST, SECOND)), id="the same days"),
        pytest.param((Days(FIRST, FIRST), Days(SECOND, SECOND)), id="neighbours"),
        pytest.param((Days(FIRST, SECOND), Days(SECOND, THIRD)), id="overlapping days"),
    ],
)
@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_two_writers_replacing_at_once(
    tmp_path: Path, con: Backend, days: tuple[Days, Days], kind: str
) -> None:
    """One of two results whole, never a mixture: see issue 3622 of delta-rs, of lost conflicts."""
    root = str(tmp_path / "lake")
    if kind == "processes":
        barrier = forks().Barrier(2)
        writers = [
            start(replace_at_once, root, own, number, TIMES, barrier)
            for number, own in enumerate(days, 1)
        ]
        for writer in writers:
            writer.join(timeout=120)
        assert [writer.exitcode for writer in writers] == [0, 0]
    else:
        together = Barrier(2)
        with ThreadPoolExecutor(2) as threads:
            done = [
                threads.submit(replace_at_once, root, own, number, TIMES, together)
                for number, own in enumerate(days, 1)
            ]
        assert [writer.result() for writer in done] == [None, None]
    lake = Lake(root, ID_TYPES)
    written = {
        day: [{n, 10 * n + TIMES + 9} for n, own in enumerate(days, 1) if day in own]
        for day in Days(FIRST, THIRD)
    }
    held: dict[dt.date, set[int]] = {}
    for row in con.to_pyarrow(lake.read("users", Days(FIRST, THIRD), con=con)).to_pylist():
        held.setdefault(row["dt"], set()).add(row["user_id"])
    assert all(held.get(day, set()) in (wrote or [set()]) for day, wrote in written.items()), held
    if days[0] == days[1]:  # The last to commit has every day.
        assert held[FIRST] == held[SECOND]


def test_two_repairs_while_logs_change(any_ledger: Path, scratch: Scratch, con: Backend) -> None:
    home = any_ledger
    deployment = open_deployment(home)
    converge(deployment, con=con)
    land(home, value=NEW_VALUE)
    repairs = [start(converge_once, home) for _ in range(2)]
    values = iter(range(100, 10_000))
    # At most a few seconds: without changes the repairs come to an end.
    while any(repair.is_alive() for repair in repairs) and (value := next(values)) < 104:
        land_conversions(home, FIRST, value=value)
        repairs[0].join(timeout=0.3)
    land_conversions(home, FIRST, value=NEW_VALUE)
    for repair in repairs:
        repair.join(timeout=60)
    assert [repair.exitcode for repair in repairs] == [0, 0]
    assert unnoticed(look(deployment), hold(deployment, con=con), scratch.new) == set()
    converge(deployment, con=con)
    assert hold(deployment, con=con) == scratch.new


@pytest.mark.parametrize("number", range(3))
def test_a_ledger_that_several_open_first(number: int, tmp_path: Path) -> None:
    barrier = forks().Barrier(6)
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    openers = [start(open_ledger, url, barrier) for _ in range(6)]
    for opener in openers:
        opener.join(timeout=120)
    assert [opener.exitcode for opener in openers] == [0] * 6


def test_a_file_removed_while_it_is_read_is_told_as_such(home: Path, con: Backend) -> None:
    """The engine reads Parquet file by file as it writes; what is small is read before that."""
    deployment, days = open_deployment(home), Days(FIRST, FIRST)
    small = home / "landing" / "conversions" / f"dt={FIRST}" / "a.csv"
    file = small.with_suffix(".parquet")
    con.con.sql(f"SELECT * FROM read_csv('{small}', all_varchar = true)").write_parquet(str(file))
    small.unlink()

    def remove(_table: str, _version: Version) -> None:
        file.unlink(missing_ok=True)

    with pytest.raises(LandingError, match="conversions: a file broke while it was read"):
        ingest(deployment.source, days, lake=deployment.lake, con=con, on_write=remove)


def test_a_small_file_removed_while_it_is_read_has_been_read(home: Path, con: Backend) -> None:
    deployment, days = open_deployment(home), Days(FIRST, FIRST)
    small = home / "landing" / "conversions" / f"dt={FIRST}" / "a.csv"

    def remove(_table: str, _version: Version) -> None:
        small.unlink(missing_ok=True)

    ingest(deployment.source, days, lake=deployment.lake, con=con, on_write=remove)
    assert deployment.lake.num_rows("conversions", days, con=con) == {FIRST: 1}
