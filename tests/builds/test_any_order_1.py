"""Any order, same result: a quarter of the sequences."""

from pathlib import Path

import pytest
from ibis.backends.duckdb import Backend

from .sequences import check_any_order, seeds


@pytest.mark.parametrize("seed", seeds(0))
def test_any_order_same_result(seed: int, tmp_path: Path, unoptimised: Backend) -> None:
    check_any_order(seed, tmp_path, con=unoptimised)
