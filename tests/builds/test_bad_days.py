"""Days of logs that cannot be read: the others are built; mended, all is as it would be."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.raw import Ingested, build_raw, land_good_days
from convcg_assets.days import Days
from convcg_assets.sources.faults import LandingError
from convcg_assets.tables.table import DAY

from .deployment import build_once, contents, converge, look, make_deployment
from .logs import FIRST_DAY, Landing, day, make_source

NUM_DAYS = 4
ALL = Days(FIRST_DAY, day(NUM_DAYS - 1))
Break = Callable[[Path], None]


def land_all(folder: Path) -> Landing:
    landing = Landing(folder, Random(3))
    for offset in range(NUM_DAYS):
        landing.land(offset)
        for stream in ("impressions", "engagements", "conversions"):
            rows = [landing.draw(stream, offset) for _ in range(3)]
            landing.write(day(offset), stream, [row for drawn in rows for row in drawn])
    return landing


def cut_off(folder: Path) -> None:
    file = folder / "a.parquet"
    file.write_bytes(file.read_bytes()[:-200])


def flip_a_page(folder: Path) -> None:
    """The footer is whole, and what it says of the columns too: the values are not."""
    file = folder / "a.parquet"
    content = bytearray(file.read_bytes())
    content[20:80] = bytes(60)
    file.write_bytes(content)


def remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def nest(folder: Path) -> None:
    (folder / "hour=03").mkdir()


def other_format(folder: Path) -> None:
    (folder / "b.csv").write_text("impression_id\n1\n")


@pytest.mark.parametrize(
    ("break_day", "bad"),
    [(cut_off, 0), (flip_a_page, 0), (flip_a_page, 2), (remove, 1), (nest, 3), (other_format, 1)],
)
def test_a_day_that_cannot_be_read_does_not_hold_up_the_others(
    break_day: Break, bad: int, tmp_path: Path, con: Backend
) -> None:
    landing = land_all(tmp_path / "landing")
    deployment = make_deployment(tmp_path / "home", make_source(landing.root))
    folder = landing.root / "impressions" / f"dt={day(bad)}"
    break_day(folder)
    done = build_raw(deployment, ALL, con=con)
    assert list(done.failed) == [day(bad)]
    assert f"dt={day(bad)}" in done.failed[day(bad)] or break_day is other_format
    for table in ("impressions", "conversions", "pins", "rejected_events"):
        snapshot = deployment.lake.snapshot(table)
        assert snapshot is None or day(bad) not in snapshot.files, "as a whole or not at all"
    held = deployment.lake.num_rows("impressions", ALL, con=con)
    assert [held[d] > 0 for d in ALL] == [offset != bad for offset in range(NUM_DAYS)]


def test_what_comes_after_is_built_and_repaired_once_the_day_has_landed(
    tmp_path: Path, con: Backend
) -> None:
    landing = land_all(tmp_path / "landing")
    deployment = make_deployment(tmp_path / "home", make_source(landing.root))
    folder, aside = landing.root / "conversions" / f"dt={day(1)}", tmp_path / "aside"
    folder.rename(aside)
    build_raw(deployment, ALL, con=con)
    built = converge(deployment, con=con)
    assert set(built["weighted_labels"]) == set(ALL)
    assert look(deployment).staleness.not_ready.keys() == {day(1)}
    aside.rename(folder)
    repaired = converge(deployment, con=con)
    assert set(repaired["raw_events"]) == {day(1)}
    wanted = make_deployment(tmp_path / "wanted", make_source(landing.root))
    build_once(wanted, list(ALL), con=con)
    assert contents(deployment, con=con) == contents(wanted, con=con)


def test_a_day_that_broke_keeps_what_was_read_before(tmp_path: Path, con: Backend) -> None:
    landing = land_all(tmp_path / "landing")
    deployment = make_deployment(tmp_path / "home", make_source(landing.root))
    build_raw(deployment, ALL, con=con)
    before = contents(deployment, con=con, tables=["impressions", "rejected_events"])
    cut_off(landing.root / "impressions" / f"dt={day(2)}")
    assert list(build_raw(deployment, ALL, con=con).failed) == [day(2)]
    assert contents(deployment, con=con, tables=["impressions", "rejected_events"]) == before


def test_where_no_day_can_be_read_each_is_named(tmp_path: Path, con: Backend) -> None:
    landing = land_all(tmp_path / "landing")
    deployment = make_deployment(tmp_path / "home", make_source(landing.root))
    for offset in range(NUM_DAYS):
        cut_off(landing.root / ("pins", "users")[offset % 2] / f"dt={day(offset)}")
    with pytest.raises(LandingError) as error:
        build_raw(deployment, ALL, con=con)
    assert set(error.value.days) == set(ALL)
    assert all(f"dt={d}" in str(error.value) for d in ALL)
    assert deployment.lake.snapshot("pins") is None


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("bad", [{3}, {0, 15}, {0, 1, 2, 7}, {14, 15}])
def test_every_good_day_is_landed_once(bad: set[int], is_named: bool) -> None:
    landed: list[dt.date] = []
    wrong = {FIRST_DAY + offset * DAY: f"why {offset}" for offset in bad}

    def land(part: Days) -> Ingested:
        faults = {d: why for d, why in wrong.items() if d in part}
        if faults:
            raise LandingError("; ".join(faults.values()), days=faults if is_named else None)
        landed.extend(part)
        return Ingested(versions={"pins": 1})

    days = Days(FIRST_DAY, FIRST_DAY + 15 * DAY)
    done = land_good_days(days, land)
    assert done.failed == wrong
    assert landed == [d for d in days if d not in wrong]


def test_a_fault_of_all_days_that_names_none_is_told_after_a_few(tmp_path: Path) -> None:
    tried: list[Days] = []

    def land(part: Days) -> Ingested:
        tried.append(part)
        raise LandingError("the engine is out of order")

    with pytest.raises(LandingError, match="out of order"):
        land_good_days(Days(FIRST_DAY, FIRST_DAY + 400 * DAY), land)
    assert len(tried) < 40
