"""One embedded DuckDB for all sequences of a process: tables are tiny, sequences many."""

from collections.abc import Iterator

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.lake import connect


@pytest.fixture(scope="session")
def con() -> Iterator[Backend]:
    backend = connect(memory_limit="1GB", threads=1)
    yield backend
    backend.disconnect()
