"""The check of the newest day looks at what was read, whatever has been repaired since."""

import dataclasses
from pathlib import Path

from ibis.backends.duckdb import Backend

from convcg_assets.builders import build_table
from convcg_assets.days import Days
from convcg_assets.defs.watch_checks import newest_day_result
from convcg_assets.repair.recipes import DAY
from convcg_assets.repair.staleness import RAW
from tests.faults.deployment import FIRST, NUM_DAYS, open_project

LAST = FIRST + (NUM_DAYS - 1) * DAY


def test_the_newest_day_is_the_newest_that_was_read(home: Path, con: Backend) -> None:
    project = open_project(home)
    assert not newest_day_result(project).passed
    # An old day alone says nothing of the newest.
    build_table(project, RAW, Days(FIRST, FIRST), con=con)
    assert not newest_day_result(project).passed
    # A day without conversions has been read.
    folder = home / "landing" / "conversions" / f"dt={LAST}"
    (folder / "a.csv").rename(folder / "_SUCCESS")
    build_table(project, RAW, Days(LAST, LAST), con=con)
    assert project.lake.days("conversions") == [FIRST]
    assert newest_day_result(project).passed
    later = project.source.model_copy(update={"last_day": LAST + DAY})
    assert not newest_day_result(dataclasses.replace(project, source=later)).passed
