"""The SQL of a table's rows, in which names stand for what is read; compiled once.

To build an expression and to compile it takes longer than to run it on a small day. Equal builds
have equal SQL: it is a function of the table's recipe and the types of ids; the first and the last
day are put in afterwards. (All other days are computed from them in SQL.) For other processes it is
kept in files: `compiled_files.py`.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.builds.compiled_files import keep_compiled, read_compiled
from convcg_assets.days import Days
from convcg_assets.lake.engine import date_literal
from convcg_assets.tables.registry import DERIVED, table_schema
from convcg_assets.tables.table import Inputs, Scope

MAX_KEPT = 2000
SYMBOLIC = Days(dt.date(9001, 1, 1), dt.date(9001, 1, 3))
"""Stands for the days where rows are compiled for any days."""


@dataclass(frozen=True)
class Compiled:
    """SQL, and the names in it that stand for something that is read."""

    text: str
    inputs: tuple[str, ...] = ()


_kept: dict[Any, Compiled] = {}


def compile_rows(table: str, days: Days, *, scope: Scope, con: Backend) -> Compiled:
    """The SQL of the rows of a derived table's days; its inputs are named by their tables."""

    def compile() -> Compiled:
        named = tuple(read.table for read in recipe.inputs)
        if entry.sql is not None:
            ends = date_literal(SYMBOLIC.first), date_literal(SYMBOLIC.last)
            return Compiled(entry.sql(*ends), named)
        assert entry.rows is not None, table
        rows = entry.rows(symbolic_inputs(table, SYMBOLIC, scope=scope))
        return Compiled(con.compile(rows), named)

    entry = DERIVED[table]
    recipe = entry.recipe(scope)
    kept = compiled_once(compiled_key(table, scope=scope), compile)
    text = kept.text
    for symbol, day in ((SYMBOLIC.first, days.first), (SYMBOLIC.last, days.last)):
        text = text.replace(date_literal(symbol), date_literal(day))
    return Compiled(text, kept.inputs)


def compiled_key(table: str, *, scope: Scope) -> tuple[Any, ...]:
    """What tells the SQL of a table's rows apart.

    A recipe says all that the rows depend on, or else its days would not be known as stale.
    """
    recipe = DERIVED[table].recipe(scope)
    inputs = tuple((read.table, read.before, read.after) for read in recipe.inputs)
    id_types = tuple(sorted(scope.source.id_types.items()))
    return ("rows", table, recipe.settings, inputs, id_types)


def compiled_once(key: Any, compile: Callable[[], Compiled]) -> Compiled:
    """What was compiled under this key before; the oldest go when there are many."""
    if key not in _kept:
        while len(_kept) >= MAX_KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = _of_another_process(key) or _compiled_now(key, compile)
    return _kept[key]


def _of_another_process(key: Any) -> Compiled | None:
    found = read_compiled(key)
    return None if found is None else Compiled(found["text"], tuple(found["inputs"]))


def _compiled_now(key: Any, compile: Callable[[], Compiled]) -> Compiled:
    compiled = compile()
    keep_compiled(key, {"text": compiled.text, "inputs": compiled.inputs})
    return compiled


def symbolic_inputs(table: str, days: Days, *, scope: Scope) -> Inputs:
    """Inputs of which only the columns are known, named by their tables."""
    recipe = DERIVED[table].recipe(scope)

    def read(name: str, read_days: Days) -> ibis.Table:
        assert read_days == recipe.input(name).days(days), f"{table} reads {name} of its window"
        return ibis.table(table_schema(name, scope.source.id_types), name=name)

    return Inputs(table, recipe, days, scope, read)
