"""`convcg simulate`: worlds landed, continued and described from the command line."""

import hashlib
import json
from datetime import date
from pathlib import Path

import pytest

from convcg_simulation import World, WorldConfig, world_from_source, write_day, write_source

from .conftest import Convcg

CONFIG = WorldConfig(
    first_day=date(2026, 3, 2),
    impressions_per_day=100,
    num_users=60,
    num_pins=200,
    new_pins_per_day=2,
    num_advertisers=10,
)
NUM_LANDED = 3
LAST_DAY = date(2026, 3, 21)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    write_source(CONFIG, folder=folder)
    world = World(CONFIG)
    for day in range(NUM_LANDED):
        write_day(world, day, folder / "landing")
    return folder


@pytest.fixture(scope="module")
def clicked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world with enough clicks for late conversions."""
    folder = tmp_path_factory.mktemp("clicked")
    config = WorldConfig.scaled(
        impressions_per_day=2000, num_days=20, seed=5, first_day=date(2026, 3, 2)
    )
    write_source(config, folder=folder)
    world = World(config)
    for day in range(config.num_days):
        write_day(world, day, folder / "landing")
    return folder


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.parquet"))
    return {str(f.relative_to(folder)): hashlib.md5(f.read_bytes()).hexdigest() for f in files}


def test_land_writes_source_and_days(convcg: Convcg, tmp_path: Path) -> None:
    options = ["--days", 2, "--impressions-per-day", 300, "--last-day", "2026-03-05"]
    done = convcg("simulate", "land", *options, "--into", tmp_path)
    assert done.exit_code == 0
    assert "day 2/2 (2026-03-05)" in done.stdout
    assert f"source file: {tmp_path / 'source.yaml'}" in done.stdout
    assert (tmp_path / "landing" / "impressions" / "dt=2026-03-05" / "part-0.parquet").exists()
    assert world_from_source(tmp_path / "source.yaml").config.first_day == date(2026, 3, 4)
    again = convcg("simulate", "land", *options, "--into", tmp_path, "--json")
    answer = json.loads(again.stdout)
    assert answer["first_day"] == "2026-03-04"
    assert answer["rows"]["impressions"] > 0


def test_the_next_days_are_those_of_the_same_world(
    convcg: Convcg, home: Path, tmp_path: Path
) -> None:
    printed = convcg("simulate", "next-day").stdout  # CONVCG_HOME says where.
    printed += convcg("simulate", "next-day", "--into", home, "--days", 2).stdout
    assert [f"landed 2026-03-{day:02}: " in printed for day in (4, 5, 6, 7, 8)] == [
        *(False, True, True, True, False)
    ]
    assert f"landing folder: {home / 'landing'}" in printed
    world = World(CONFIG)
    for day in range(NUM_LANDED + 3):
        write_day(world, day, tmp_path / "at once")
    assert hashes(home / "landing") == hashes(tmp_path / "at once")
    answer = json.loads(convcg("simulate", "next-day", "--json").stdout)
    assert list(answer["rows"]) == ["2026-03-08"]


def test_a_half_landed_day_is_landed_again(convcg: Convcg, home: Path) -> None:
    before = hashes(home / "landing")
    (home / "landing" / "users" / "dt=2026-03-04" / "part-0.parquet").unlink()
    assert convcg("simulate", "next-day").exit_code == 0
    assert hashes(home / "landing") == before


def test_what_cannot_go_on_says_why(convcg: Convcg, home: Path) -> None:
    for file in (home / "landing" / "pins").rglob("*.parquet"):
        file.unlink()
    failed = convcg("simulate", "next-day")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: no day has landed whole in ")
    assert f"first land the world: convcg simulate land --into {home}" in failed.stderr
    failed = convcg("simulate", "late-file", "--into", home / "elsewhere")
    assert failed.exit_code == 1
    assert "does not exist" in failed.stderr


def test_late_file_prints_what_changes(convcg: Convcg, clicked: Path) -> None:
    options = ["--arrival-day", "2026-03-12", "--label-days", 2, "--conversions", 3]
    done = convcg("simulate", "late-file", "--into", clicked, *options)
    late_for, gain, file = done.stdout.splitlines()
    assert late_for.endswith("3 conversions late for 2026-03-12")
    days = gain.removeprefix("label days that gain conversions: ").split(", ")
    assert [day[10:] for day in days] == [" (2)", " (1)"]
    assert days == sorted(days)
    assert Path(file.removeprefix("file: ")).exists()
    answer = json.loads(convcg("simulate", "late-file", "--into", clicked, "--json").stdout)
    assert sum(answer["gained"].values()) == 12
    assert answer["arrival_day"] == "2026-03-19"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--advertiser", 7], "advertiser 7 is unknown; this world has 500000, 500013, "),
        (["--label-days", 0], "ask for at least 1"),
        (["--label-days", 30], "have clicks"),
        (["--conversions", 2], "2 conversions cannot be spread over 3 label days"),
        (["--conversions", 100000], "100000 conversions cannot be spread"),
        (["--arrival-day", "2026-03-22"], "2026-03-22 has not landed whole"),
        (["--arrival-day", "2026-03-01"], "the earliest is 2026-03-02"),
        (["--arrival-day", "2026-03-02"], "no click of the 21 days before can be bought after"),
    ],
)
def test_what_cannot_be_late_says_why(
    convcg: Convcg, clicked: Path, options: list[object], said: str
) -> None:
    failed = convcg("simulate", "late-file", "--into", clicked, *options)
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: ")
    assert said in failed.stderr


def test_describe_measures_without_writing(convcg: Convcg, tmp_path: Path) -> None:
    options = ["--days", 8, "--impressions-per-day", 300, "--last-day", "2026-03-09"]
    done = convcg("simulate", "describe", *options)
    assert done.exit_code == 0
    assert "conversion, ceiling" in done.stdout
    answer = json.loads(convcg("simulate", "describe", *options, "--json").stdout)
    assert set(answer["recalls"]) == {"conversion", "engagement"}
    assert not (tmp_path / "home").exists()
