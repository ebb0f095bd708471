"""A small simulated world, landed and built once by the commands that a user types."""

import datetime as dt
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from convcg_assets.lake.delta import Lake
from convcg_assets.sources.columns import ID_KINDS

LAST_DAY = dt.date(2026, 3, 14)
NUM_DAYS = 14
SETTINGS = "examples: {training_days: 8, holdout_days: 3}\n"
CONFIG = {"two_tower_checkpoint": {"config": {"training": {"epochs": 2, "batch_size": 256}}}}


@dataclass(frozen=True)
class Deployment:
    """A home folder with everything that was built in it."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("CONVCG_")},
            "CONVCG_HOME": str(self.home),
            "CONVCG_SETTINGS": str(self.home / "settings.yaml"),
            "DAGSTER_HOME": str(self.home / "dagster"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    @property
    def lake(self) -> Lake:
        return Lake(str(self.home / "lake"), dict.fromkeys(ID_KINDS, "int64"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    made = Deployment(tmp_path_factory.mktemp("home"))
    (made.home / "dagster").mkdir()
    (made.home / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (made.home / "settings.yaml").write_text(SETTINGS)
    landed = made.run(
        *("-m", "convcg_simulation", "land", "--into", str(made.home)),
        *("--days", str(NUM_DAYS), "--impressions-per-day", "3000", "--last-day", str(LAST_DAY)),
    )
    assert landed.returncode == 0, landed.stderr
    built = made.run("-m", "convcg_assets.commands.main_job", "--config", json.dumps(CONFIG))
    assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
    (made.home / "main_job.txt").write_text(built.stdout)
    return made
