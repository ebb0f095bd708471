"""Every stage on DuckDB, rows in and rows out, as one fixture."""

from collections.abc import Callable
from typing import Any

import pytest
from ibis.backends.duckdb import Backend

from . import stages
from .tables import to_rows, to_table
from .world import Row

TABLES = {
    stages.attributed: "attributed_conversions",
    stages.delay: "conversion_delay",
    stages.maturity: "label_maturity",
    stages.labels: "weighted_labels",
    stages.negatives: "hard_negatives",
    stages.user_features: "user_features",
    stages.pin_features: "pin_features",
    stages.examples: "training_examples",
}

Build = Callable[..., list[Row]]


@pytest.fixture(scope="session")
def build(con: Backend) -> Build:
    """`build(stages.labels, world, ...)` gives that stage's rows."""

    def rows_of(stage: Callable, *inputs: Any, **options: Any) -> list[Row]:
        expr = stage(*inputs, read=lambda name, rows: to_table(rows, table=name), **options)
        return to_rows(expr, table=TABLES[stage], con=con)

    return rows_of
