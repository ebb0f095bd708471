"""The check of the newest day looks at what was read, whatever has been repaired since."""

import dataclasses
from pathlib import Path

from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.days import Days
from convcg_assets.defs.watch_checks import newest_day_result
from convcg_assets.tables.raw import RAW
from convcg_assets.tables.table import DAY
from tests.builds.tiny import FIRST, NUM_DAYS, OLD_VALUE, land, open_deployment

LAST = FIRST + (NUM_DAYS - 1) * DAY


def test_the_newest_day_is_the_newest_that_was_read(tmp_path: Path, con: Backend) -> None:
    home = tmp_path
    land(home, value=OLD_VALUE)
    deployment = open_deployment(home)
    assert not newest_day_result(deployment).passed
    # An old day alone says nothing of the newest.
    build_table(deployment, RAW, Days(FIRST, FIRST), con=con)
    assert not newest_day_result(deployment).passed
    # A day without conversions has been read.
    folder = home / "landing" / "conversions" / f"dt={LAST}"
    (folder / "a.csv").rename(folder / "_SUCCESS")
    build_table(deployment, RAW, Days(LAST, LAST), con=con)
    assert deployment.lake.days("conversions") == [FIRST]
    assert newest_day_result(deployment).passed
    later = deployment.source.model_copy(update={"last_day": LAST + DAY})
    assert not newest_day_result(dataclasses.replace(deployment, source=later)).passed
