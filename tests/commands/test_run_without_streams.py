"""Logs that lack streams, to the end of the graph."""

from pathlib import Path

import pytest
import yaml

from .conftest import Home, make_home

FIRST_DAY, LAST_DAY = "2026-03-07", "2026-03-14"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_home(tmp_path_factory.mktemp("world"))
    landed = folder.convcg(
        *("simulate", "land", "--days", "8", "--last-day", LAST_DAY),
        *("--impressions-per-day", "400"),
    )
    assert landed.returncode == 0, landed.stderr
    return folder.home


def home_with(world: Path, folder: Path, *streams: str) -> Home:
    """A home whose source has only those streams of the world's logs."""
    home = make_home(folder)
    (home.home / "settings.yaml").write_text("examples: {training_days: 5, holdout_days: 2}\n")
    source = yaml.safe_load((world / "source.yaml").read_text())
    del source["simulation"]
    source |= {"landing": str(world / "landing"), "last_day": LAST_DAY}
    source["streams"] = {stream: {} for stream in streams}
    (home.home / "source.yaml").write_text(yaml.safe_dump(source))
    return home


@pytest.mark.parametrize("streams", [("engagements",), ("impressions", "conversions")])
def test_a_log_without_some_streams_ends_in_a_report(
    world: Path, tmp_path: Path, streams: tuple[str, ...]
) -> None:
    home = home_with(world, tmp_path / "home", *streams)
    # What is checked depends on the columns, which the first of the logs has fewest of.
    options = () if streams == ("engagements",) else ("--no-checks",)
    built = home.convcg("run", *options)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    assert (home.home / "reports" / "dt=2026-03-15" / "report.html").exists()
