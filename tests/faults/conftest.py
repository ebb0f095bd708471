"""The tiny deployment's old and new logs, and what a build from scratch makes of each."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from ibis.backends.duckdb import Backend

from tests.faults.deployment import Held, converge, hold, land, open_deployment

OLD_VALUE, NEW_VALUE = 20.0, 80.0


@dataclass(frozen=True)
class Scratch:
    """What the tables hold when they are built once from the old or the new logs."""

    old: Held
    new: Held


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory, con: Backend) -> Scratch:
    found = []
    for value in (OLD_VALUE, NEW_VALUE):
        home = tmp_path_factory.mktemp("scratch")
        land(home, value=value)
        deployment = open_deployment(home)
        converge(deployment, con=con)
        found.append(hold(deployment, con=con))
    return Scratch(*found)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A deployment with the old logs, nothing built."""
    land(tmp_path, value=OLD_VALUE)
    return tmp_path
