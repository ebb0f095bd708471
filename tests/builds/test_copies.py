"""A landing folder that was copied or put back is what it was; what differs in one byte is not."""

import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds import copies
from convcg_assets.deployment import Deployment
from convcg_assets.tables.raw import RAW, RAW_TABLES

from .deployment import build_once, contents, converge, look, make_deployment
from .logs import Landing, day, make_source

NUM_DAYS = 3


@pytest.fixture
def landed(tmp_path: Path, con: Backend) -> tuple[Landing, Deployment]:
    landing = Landing(tmp_path / "landing", Random(4))
    for offset in range(NUM_DAYS):
        landing.land(offset)
    deployment = make_deployment(tmp_path / "home", make_source(landing.root))
    build_once(deployment, landing.days, con=con)
    return landing, deployment


def copy_landing(landing: Landing) -> None:
    """Everything again, byte for byte; nothing of a file's times is kept."""
    backup = landing.root.with_name("backup")
    shutil.copytree(landing.root, backup, copy_function=shutil.copyfile)
    shutil.rmtree(landing.root)
    backup.rename(landing.root)


def a_file(landing: Landing, offset: int = 1) -> Path:
    return landing.root / "pins" / f"dt={day(offset)}" / "a.parquet"


def test_a_copy_is_read_once_for_its_bytes_and_never_again(
    landed: tuple[Landing, Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    landing, deployment = landed
    copy_landing(landing)
    assert not any(look(deployment).staleness.stale.values())

    def read_again(*_given: object) -> None:
        raise AssertionError("the bytes of a file that is known were read again")

    monkeypatch.setattr(copies.hashlib, "file_digest", read_again)
    assert not any(look(deployment).staleness.stale.values())


def test_one_byte_that_differs_is_another_file(
    landed: tuple[Landing, Deployment], con: Backend
) -> None:
    """As long as before, with the times of before."""
    landing, deployment = landed
    path = a_file(landing)
    before, status = path.read_bytes(), path.stat()
    landing.touch_file(day(1), "pins")
    after = path.read_bytes()
    assert len(after) == len(before)
    assert after != before
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert set(look(deployment).staleness.stale[RAW]) == {day(1)}
    assert set(converge(deployment, con=con)) == {RAW}


def test_what_was_changed_and_put_back_is_read_again(
    landed: tuple[Landing, Deployment], con: Backend
) -> None:
    landing, deployment = landed
    first = contents(deployment, con=con, tables=RAW_TABLES)
    kept = a_file(landing).read_bytes()
    landing.correct(day(1))
    landing.write(day(1), "pins", landing.files[day(1), "pins", "a"][:2])
    converge(deployment, con=con)
    assert contents(deployment, con=con, tables=RAW_TABLES) != first
    a_file(landing).write_bytes(kept)
    converge(deployment, con=con)
    found = contents(deployment, con=con, tables=["pins"])
    assert found["pins"] == first["pins"]
    assert not any(look(deployment).staleness.stale.values())


def test_a_copy_of_what_nobody_remembers_is_read(
    landed: tuple[Landing, Deployment], con: Backend
) -> None:
    """A ledger of a release that knew files by their times alone."""
    landing, deployment = landed
    with deployment.ledger._database.writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM landed_files")
    assert not any(look(deployment).staleness.stale.values())
    copy_landing(landing)
    assert set(look(deployment).staleness.stale[RAW]) == {day(offset) for offset in range(NUM_DAYS)}
    assert set(converge(deployment, con=con)) == {RAW}
    copy_landing(landing)
    assert not any(look(deployment).staleness.stale.values())


def test_a_file_that_changes_while_it_is_digested_is_not_remembered(
    landed: tuple[Landing, Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    landing, deployment = landed
    copy_landing(landing)
    digest = copies.hashlib.file_digest

    def change_then_digest(opened: Any, name: str) -> object:
        found = digest(opened, name)
        a_file(landing).write_bytes(a_file(landing).read_bytes())
        return found

    monkeypatch.setattr(copies.hashlib, "file_digest", change_then_digest)
    assert set(look(deployment).staleness.stale[RAW]) == {day(1)}
    monkeypatch.undo()
    assert not any(look(deployment).staleness.stale.values())
