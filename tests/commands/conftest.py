"""The command as a user types it: in this process where it needs no Dagster, else in its own."""

import datetime as dt
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from convcg_assets.commands.main import cli
from convcg_assets.deployment import current_deployment
from convcg_assets.lake.delta import Lake
from convcg_assets.sources.columns import ID_KINDS

from ..environment import environment_of_others

LAST_DAY = dt.date(2026, 3, 14)
NUM_DAYS = 14
SETTINGS = "examples: {training_days: 8, holdout_days: 3}\nchecks: {max_no_touch_share: 0}\n"
CONVCG = ("-m", "convcg_assets.commands.main")

Convcg = Callable[..., Result]


@dataclass(frozen=True)
class Home:
    """A home folder, and commands that run in it, each in a process of its own."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return environment_of_others() | {
            "CONVCG_HOME": str(self.home),
            "CONVCG_SETTINGS": str(self.home / "settings.yaml"),
        }

    @property
    def lake(self) -> Lake:
        return Lake(str(self.home / "lake"), dict.fromkeys(ID_KINDS, "int64"))

    def convcg(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(*CONVCG, *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


def make_home(folder: Path) -> Home:
    """An empty home whose settings suit a log of a few days."""
    folder.mkdir(exist_ok=True)
    (folder / "settings.yaml").write_text(SETTINGS)
    return Home(folder)


def copy_of(home: Home, folder: Path) -> Home:
    """The same home and logs in another folder, for what is not to be seen by other tests."""
    shutil.copytree(home.home, folder, ignore=shutil.ignore_patterns("backtests"))
    source = (folder / "source.yaml").read_text()
    (folder / "source.yaml").write_text(source.replace(str(home.home), str(folder)))
    return Home(folder)


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A small simulated world with all that is built from it."""
    made = make_home(tmp_path_factory.mktemp("home"))
    built = made.convcg(
        *("demo", "--days", str(NUM_DAYS), "--last-day", str(LAST_DAY)),
        *("--impressions-per-day", "3000", "--json"),
    )
    assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
    (made.home / "demo.json").write_text(built.stdout)
    (made.home / "demo.txt").write_text(built.stderr)
    return made


@pytest.fixture
def convcg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Convcg]:
    """Runs the command in this process, in a home that is empty."""
    for name in set(os.environ) - set(environment_of_others()):
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONVCG_HOME", str(tmp_path / "home"))

    def run(*arguments: object) -> Result:
        current_deployment.cache_clear()
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    yield run
    current_deployment.cache_clear()


@pytest.fixture
def typed(deployment: Home, convcg: Convcg, monkeypatch: pytest.MonkeyPatch) -> Convcg:
    """The command in this process, in the demo's home."""
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    return convcg
