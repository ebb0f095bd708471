"""One embedded DuckDB for all tests, and property tests that draw the same cases every time."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from ibis.backends.duckdb import Backend

from convcg_assets.lake.engine import connect

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


@pytest.fixture(scope="session")
def con() -> Iterator[Backend]:
    """An embedded DuckDB."""
    backend = connect(memory_limit="1GB", threads=2)
    yield backend
    backend.disconnect()
