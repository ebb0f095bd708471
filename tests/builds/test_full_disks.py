"""A disk without room: the error is raised, the old rows stay, and a later try succeeds."""

import dataclasses
import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.days import Days
from convcg_assets.lake.delta import Lake
from tests.builds.children import ID_TYPES, many_users, replace_too_much, users
from tests.builds.deployment import converge, look
from tests.builds.tiny import FIRST, NEW_VALUE, Scratch, hold, land, open_deployment, unnoticed
from tests.forked import start

DAY = Days(FIRST, FIRST)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all room that is left; the file that takes it."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    return ballast


def test_a_write_on_a_full_disk(small_disk: Path, con: Backend) -> None:
    lake = Lake(str(small_disk / "lake"), ID_TYPES)
    before = lake.replace("users", DAY, users(DAY, 1), con=con)
    with pytest.raises(Exception, match="No space left"):
        lake.replace("users", DAY, many_users(FIRST), con=con)
    assert lake.snapshot("users") == before
    for left in (small_disk / "lake" / "users").rglob("*.parquet"):
        assert str(left) in before.of(DAY), "half a file stays, and so the disk stays full"
    lake.replace("users", DAY, users(DAY, 2), con=con)
    assert lake.num_rows("users", DAY, con=con) == {FIRST: 1}


def test_a_file_that_may_not_grow(tmp_path: Path, con: Backend) -> None:
    lake = Lake(str(tmp_path / "lake"), ID_TYPES)
    lake.replace("users", DAY, users(DAY, 1), con=con)
    process = start(replace_too_much, lake.root, FIRST, 200_000)
    process.join(timeout=60)
    assert process.exitcode == 0
    assert lake.num_rows("users", DAY, con=con) == {FIRST: 400_000}


@pytest.mark.parametrize("full", ["lake", "ledger"])
def test_a_build_on_a_full_disk(
    small_disk: Path, home: Path, scratch: Scratch, con: Backend, full: str
) -> None:
    if full == "lake":
        (home / "lake").symlink_to(small_disk)
    deployment = open_deployment(home)
    if full == "ledger":
        deployment = dataclasses.replace(deployment, ledger_url=f"sqlite:///{small_disk}/l.db")
    converge(deployment, con=con)
    land(home, value=NEW_VALUE)
    days = look(deployment).plan.requests[0].days
    ballast = fill(small_disk)
    with pytest.raises(Exception, match=r"No space left|database or disk is full|disk I/O error"):
        build_table(deployment, "raw_events", days, con=con)
    ballast.unlink()
    assert unnoticed(look(deployment), hold(deployment, con=con), scratch.new) == set()
    assert look(deployment).staleness.stale["raw_events"]
    converge(deployment, con=con)
    assert hold(deployment, con=con) == scratch.new
