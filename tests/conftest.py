"""One embedded DuckDB for all tests, temporary files in memory, property tests that are the same
every time."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from ibis.backends.duckdb import Backend

from convcg_assets.lake.database import open_database
from convcg_assets.lake.engine import connect

from .object_store import BUCKET, run_store
from .postgres import Server, start_server

MEMORY = Path("/dev/shm")
MEMORY_GB = 4
# Ledgers and Dagster's event logs wait for the disk at every commit, which no test is about.
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_GB * 2**30:
    os.environ.setdefault("TMPDIR", str(MEMORY))
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

settings.register_profile(
    "convcg",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=5,
    # A case takes a tenth of a second: shrinking a failure would take minutes. Add it by hand.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("convcg")


@pytest.fixture(scope="session", autouse=True)
def compiled_sql(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> None:
    """SQL is compiled once for all workers and processes of the tests, and for no other session."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder if worker_id == "master" else folder.parent
    os.environ["CONVCG_CACHE"] = str(folder / "compiled_sql")


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """The URL of a bucket in an object store, of which the environment knows."""
    with run_store():
        yield f"s3://{BUCKET}"


@pytest.fixture(scope="session")
def con() -> Iterator[Backend]:
    """An embedded DuckDB."""
    backend = connect(memory_limit="1GB", threads=2)
    yield backend
    backend.disconnect()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A Postgres server; tests of it are skipped where there is none."""
    server = start_server()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a new ledger may be: on SQLite, and once more on Postgres."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
        return
    url = request.getfixturevalue("postgres").create_database()
    yield url
    open_database(url).close()
