"""`convcg demo` on a home where something is: it goes on with that world, or says why not."""

import datetime as dt
import hashlib
import io
from pathlib import Path

import pytest
from rich.console import Console

from convcg_assets.commands.console import Failure
from convcg_assets.commands.demo import land_missing
from convcg_assets.commands.simulated_world import make_config
from convcg_simulation.config import WorldConfig

from .conftest import Convcg

LAST_DAY = dt.date(2026, 3, 4)


def config(
    *, days: int = 3, seed: int = 7, impressions: int = 200, last_day: dt.date = LAST_DAY
) -> WorldConfig:
    return make_config(days=days, seed=seed, impressions_per_day=impressions, last_day=last_day)


def land(home: Path, asked: WorldConfig, *given: str) -> str:
    """What is said while days are landed."""
    said = io.StringIO()
    land_missing(asked, set(given), home=home, console=Console(file=said, width=400))
    return said.getvalue()


def hashes(home: Path) -> dict[str, str]:
    files = sorted((home / "landing").rglob("*.parquet"))
    return {str(f.relative_to(home)): hashlib.md5(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    assert "day 3/3 (2026-03-04)" in land(folder, config(), "days", "last_day")
    return folder


def test_a_world_that_is_there_is_not_landed_again(home: Path) -> None:
    before = hashes(home)
    stamps = {file: file.stat().st_mtime_ns for file in home.rglob("*.parquet")}
    # A day later the default world would begin a day later: it is still the same one.
    tomorrow = config(days=45, impressions=40_000, last_day=LAST_DAY + dt.timedelta(days=1))
    said = land(home, tomorrow)
    assert "200 impressions a day, seed 7, has landed in" in said
    assert "every day to 2026-03-04 is there" in said
    assert hashes(home) == before
    assert stamps == {file: file.stat().st_mtime_ns for file in home.rglob("*.parquet")}


def test_a_day_that_is_missing_is_landed(home: Path) -> None:
    before = hashes(home)
    (home / "landing" / "pins" / "dt=2026-03-03" / "part-0.parquet").unlink()
    assert "day 1/1 (2026-03-03)" in land(home, config())
    assert hashes(home) == before


def test_days_after_it_are_landed_if_asked_for(home: Path, tmp_path: Path) -> None:
    later = LAST_DAY + dt.timedelta(days=2)
    said = land(home, config(last_day=later), "last_day")
    assert "day 2/2 (2026-03-06)" in said
    land(tmp_path / "at once" / "home", config(days=5, last_day=later), "days", "last_day")
    assert hashes(home) == hashes(tmp_path / "at once" / "home")


@pytest.mark.parametrize(
    ("asked", "given", "said"),
    [
        (config(seed=8), ["seed"], "--seed is 7 there, not 8"),
        (config(impressions=300), ["impressions_per_day"], "--impressions-per-day is 200 there"),
        (config(days=4), ["days"], "--days is 3 there, not 4"),
        (config(days=4), ["days", "last_day"], "its first day is 2026-03-02, not 2026-03-01"),
        (config(last_day=dt.date(2026, 2, 1)), ["last_day"], "it begins on 2026-03-02"),
    ],
)
def test_another_world_is_an_error(
    home: Path, asked: WorldConfig, given: list[str], said: str
) -> None:
    before = hashes(home)
    with pytest.raises(Failure, match=f"another world has landed in .*: {said}.*CONVCG_HOME"):
        land(home, asked, *given)
    assert hashes(home) == before


def test_the_same_options_again_are_the_same_world(home: Path) -> None:
    every = ("days", "seed", "impressions_per_day", "last_day")
    assert "every day to 2026-03-04 is there" in land(home, config(), *every)


def test_days_that_are_all_holdout_are_told_before_they_land(
    convcg: Convcg, tmp_path: Path
) -> None:
    failed = convcg("demo", "--days", 5)
    assert failed.exit_code == 1
    assert "nothing is left to learn from" in failed.stderr
    assert not (tmp_path / "home").exists()


def test_logs_of_ones_own_are_never_overwritten(
    convcg: Convcg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    source = tmp_path / "home" / "source.yaml"
    text = "name: shop\nfirst_day: 2026-01-02\nstreams: {impressions: {}, conversions: {}}\n"
    source.write_text(text)
    failed = convcg("demo")
    assert failed.exit_code == 1
    assert "logs that are not simulated" in failed.stderr
    assert source.read_text() == text
    monkeypatch.setenv("CONVCG_SOURCE", str(source))
    failed = convcg("demo")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: CONVCG_SOURCE is set to ")
