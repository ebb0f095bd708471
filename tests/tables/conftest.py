"""Every stage on DuckDB, rows in and rows out, as one fixture."""

from collections.abc import Callable
from typing import Any

import pytest
from ibis.backends.duckdb import Backend

from . import stages
from .tables import to_rows, to_table
from .world import Row

Build = Callable[..., list[Row]]


@pytest.fixture(scope="session")
def build(con: Backend) -> Build:
    """`build(stages.labels, world, ...)` gives that stage's rows."""

    def rows_of(stage: Callable[..., stages.Case], *inputs: Any, **options: Any) -> list[Row]:
        case = stage(*inputs, **options)
        if case.known_before is None:
            return stages.run(case, con=con)
        rows = case.rows(lambda name, rows: to_table(rows, table=name))
        return to_rows(rows, table=case.table, con=con)

    return rows_of
