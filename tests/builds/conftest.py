"""An embedded DuckDB for each file of tests: sequences leave many views behind."""

from collections.abc import Iterator

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.lake.engine import connect


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
