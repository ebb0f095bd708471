"""A landed world goes on: the next day, half landed days, and how far ahead of the clock."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from convcg_assets.sources.clock import MAX_DAYS_AHEAD
from convcg_simulation import World, WorldConfig, write_day, write_source
from convcg_simulation.landed import days_to_land, open_landed

CONFIG = WorldConfig(
    first_day=date(2026, 3, 2),
    impressions_per_day=100,
    num_users=60,
    num_pins=200,
    new_pins_per_day=2,
    num_advertisers=10,
)
NUM_LANDED = 3
NEWEST = date(2026, 3, 4)


@pytest.fixture
def home(tmp_path) -> Path:
    write_source(CONFIG, folder=tmp_path)
    world = World(CONFIG)
    for day in range(NUM_LANDED):
        write_day(world, day, tmp_path / "landing")
    return tmp_path


def lose(home: Path, stream: str, day: date) -> None:
    (home / "landing" / stream / f"dt={day}" / "part-0.parquet").unlink()


def test_a_half_landed_day_is_landed_again(home):
    lose(home, "users", NEWEST)
    assert days_to_land(open_landed(home), num_days=1, today=NEWEST) == [2]
    assert days_to_land(open_landed(home), num_days=2, today=NEWEST) == [2, 3]


def test_an_older_half_landed_day_comes_first(home):
    lose(home, "impressions", NEWEST - timedelta(days=1))
    assert days_to_land(open_landed(home), num_days=2, today=NEWEST) == [1, 3, 4]


def test_a_world_runs_at_most_a_week_ahead_of_the_clock(home):
    landed, clock = open_landed(home), NEWEST + timedelta(days=1 - MAX_DAYS_AHEAD)
    assert days_to_land(landed, num_days=1, today=clock) == [3]
    with pytest.raises(ValueError, match=r"2026-03-06 is too far ahead: .*ask for at most 1 more"):
        days_to_land(landed, num_days=2, today=clock)
    with pytest.raises(ValueError, match="wait for the clock"):
        days_to_land(landed, num_days=1, today=clock - timedelta(days=1))


def test_what_cannot_go_on_says_why(home):
    with pytest.raises(ValueError, match="ask for at least 1"):
        days_to_land(open_landed(home), num_days=0, today=NEWEST)
    for day in range(NUM_LANDED):
        lose(home, "pins", CONFIG.date_of(day))
    with pytest.raises(ValueError, match=r"^no day has landed whole in .*; first land"):
        days_to_land(open_landed(home), num_days=1, today=NEWEST)
    with pytest.raises(ValueError, match=r"^source file .* does not exist"):
        open_landed(home / "elsewhere")
