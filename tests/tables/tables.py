"""Plain rows to tables and back, and rows compared; the worlds themselves belong to `world.py`."""

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import ibis
import pyarrow as pa
from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.lake.engine import as_query, stream_rows
from convcg_assets.sources.columns import ID_KINDS
from convcg_assets.tables.registry import table_schema

from .world import Row

INT_IDS: dict[str, str] = dict.fromkeys(ID_KINDS, "int64")
TEXT_IDS: dict[str, str] = dict.fromkeys(ID_KINDS, "string")


def to_arrow(rows: list[Row], *, table: str, id_types: Mapping[str, str] = INT_IDS) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=table_schema(table, id_types).to_pyarrow())


def to_table(rows: list[Row], *, table: str, id_types: Mapping[str, str] = INT_IDS) -> ibis.Table:
    return ibis.memtable(to_arrow(rows, table=table, id_types=id_types))


def to_rows(
    expr: ibis.Table,
    *,
    table: str,
    con: Backend,
    id_types: Mapping[str, str] = INT_IDS,
) -> list[Row]:
    """The rows as the lake would get them."""
    schema = table_schema(table, id_types)
    with as_query(expr, con=con) as query, stream_rows(query, schema=schema, con=con) as batches:
        return batches.read_all().to_pylist()


def of_days(rows: list[Row], days: Days) -> list[Row]:
    """The rows that an asset reads for those arrival days."""
    return [row for row in rows if days.first <= row["dt"] <= days.last]


def arrived_before(rows: list[Row], day: dt.date) -> list[Row]:
    return [row for row in rows if row["dt"] < day]


def exactly(rows: list[Row]) -> list[tuple[str, ...]]:
    """Rows as sorted text, to the last digit of every float."""
    return sorted(tuple(f"{name}={row[name]!r}" for name in sorted(row)) for row in rows)


def assert_same_rows(actual: list[Row], expected: list[Row], *, key: tuple[str, ...]) -> None:
    """Equal as multisets, floats to nine digits; sums to the decimals that they are taken of."""
    by_key = [sorted(rows, key=lambda row: _order(row, key)) for rows in (actual, expected)]
    keys = [[tuple(row[name] for name in key) for row in rows] for rows in by_key]
    assert keys[0] == keys[1]
    for got, wanted in zip(*by_key, strict=True):
        differing = set(got) ^ set(wanted)
        assert not differing, f"{differing}: in the table or in its oracle, not in both"
        for name, value in wanted.items():
            assert _close(got[name], value, tolerance=_tolerance(name)), (
                f"{name} is {got[name]!r}, expected {value!r}, in {got}"
            )


def _tolerance(name: str) -> float:
    """Amounts are added to four decimals, the Pins of an advertiser to six."""
    if "value_30d" in name:
        return 1e-3
    return 1e-5 if name == "advertiser_num_conversions_30d" else 1e-9


def _order(row: Row, key: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(repr(row[name]) for name in key)


def _close(got: Any, wanted: Any, *, tolerance: float) -> bool:
    if isinstance(got, list) and isinstance(wanted, list):
        return len(got) == len(wanted) and all(
            _close(a, b, tolerance=tolerance) for a, b in zip(got, wanted, strict=True)
        )
    if isinstance(got, float) and isinstance(wanted, (int, float)):
        return math.isclose(got, wanted, rel_tol=1e-9, abs_tol=tolerance)
    return got == wanted and type(got) is type(wanted)
