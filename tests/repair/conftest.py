"""One embedded DuckDB for all sequences of a process: tables are tiny, sequences many."""

from collections.abc import Iterator

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.lake import connect

from .compiled import Compiled


@pytest.fixture(scope="session")
def con() -> Iterator[Backend]:
    backend = connect(memory_limit="1GB", threads=1)
    with Compiled(backend).used():
        yield backend
    backend.disconnect()
