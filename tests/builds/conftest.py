"""An embedded DuckDB for each file of tests, and a tiny deployment with old and new logs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.lake.engine import connect

from .deployment import converge
from .tiny import LEDGER_URL, NEW_VALUE, OLD_VALUE, Scratch, hold, land, open_deployment


@pytest.fixture(scope="module")
def con() -> Iterator[Backend]:
    backend = connect(memory_limit="1GB", threads=1)
    yield backend
    backend.disconnect()


@pytest.fixture(scope="module")
def unoptimised(con: Backend) -> Backend:
    """The same without DuckDB's optimiser: on a handful of rows it takes longer than the query."""
    con.con.execute("PRAGMA disable_optimizer")
    return con


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    found, backend = [], connect(memory_limit="1GB", threads=1)
    for value in (OLD_VALUE, NEW_VALUE):
        home = tmp_path_factory.mktemp("scratch")
        land(home, value=value)
        deployment = open_deployment(home)
        converge(deployment, con=backend)
        found.append(hold(deployment, con=backend))
    backend.disconnect()
    return Scratch(*found)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A deployment with the old logs, nothing built."""
    land(tmp_path, value=OLD_VALUE)
    return tmp_path


@pytest.fixture
def any_ledger(home: Path, ledger_url: str) -> Path:
    """The same with its ledger on SQLite, and once more on Postgres."""
    (home / LEDGER_URL).write_text(ledger_url)
    return home
