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
