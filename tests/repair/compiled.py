"""The real transforms, each compiled once per range of days: most of a tiny build is Ibis.

What is kept is the SQL; the files that it reads are put in anew for every build.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from typing import Any
from unittest.mock import patch

import ibis
import ibis.expr.operations as ops
from ibis.backends.duckdb import Backend

from convcg_assets import builders, ingestion
from convcg_assets.builds import Build
from convcg_assets.days import Days
from convcg_assets.schema import table_schema

Compile = Callable[[], ibis.Table]
_INPUT = re.compile(r'(?:"\w+"\.)*"input_(\w+)"')


@dataclass(frozen=True)
class Query:
    """SQL of an expression; the expression keeps its tables in memory alive."""

    sql: str
    schema: ibis.Schema
    expression: ibis.Table


class Sketch(Build):
    """A build that reads empty tables named after its inputs."""

    def read_days(self, table: str, days: Days) -> ibis.Table:
        return self.con.table(f"input_{table}")


class Compiled:
    """Queries of one connection by what they depend on."""

    def __init__(self, con: Backend):
        self._con = con
        self._queries: dict[Any, Query] = {}

    @contextmanager
    def used(self) -> Iterator[None]:
        """Builds take the queries from here."""
        with ExitStack() as stack:
            for table, transform in builders.TRANSFORMS.items():
                stack.enter_context(
                    patch.dict(builders.TRANSFORMS, {table: self._transform(table, transform)})
                )
            for name in ("apply_contract", "count_ignored"):
                kept = self._of_logs(name, getattr(ingestion, name))
                stack.enter_context(patch.object(ingestion, name, kept))
            yield

    def _transform(
        self, table: str, transform: Callable[[Build], ibis.Table]
    ) -> Callable[[Build], ibis.Table]:
        def build_by_query(build: Build) -> ibis.Table:
            given = {f.name: getattr(build, f.name) for f in fields(Build)}
            names = [i.table for i in build.recipe.inputs]
            for name in names:
                self._make_input(name, build)
            query = self._query(
                (table, build.days, build.recipe.settings), lambda: transform(Sketch(**given))
            )

            def rows(found: re.Match[str]) -> str:
                upstream = found[1]
                version = build.state[upstream].version
                days = build.recipe.input(upstream).days(build.days)
                files = version.of(days) if version else []
                schema = table_schema(upstream, build.project.lake.id_types)
                columns = ", ".join(schema)
                read = f"SELECT {columns} FROM read_parquet({files}, hive_partitioning = true)"
                return f"({read})" if files else found[0]

            return self._view(_INPUT.sub(rows, query.sql), query.schema)

        return build_by_query

    def _of_logs(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def look_up(raw: ibis.Table, **given: Any) -> Any:
            key = (name, given["stream"], raw.schema(), given["source"].model_dump_json())
            number = 2 if name == "apply_contract" else 1
            made: list[ibis.Table] = []

            def make(which: int) -> ibis.Table:
                if not made:
                    found = real(raw, **given)
                    made.extend(found if number == 2 else [found])
                return made[which]

            views = []
            for which in range(number):
                query = self._query((*key, which), lambda which=which: make(which))
                views.append(
                    self._view(re.sub(r"raw_[0-9a-f]{32}", raw.get_name(), query.sql), query.schema)
                )
            return tuple(views) if number == 2 else views[0]

        return look_up

    def _make_input(self, table: str, build: Build) -> None:
        name = f"input_{table}"
        if name not in self._queries:
            schema = table_schema(table, build.project.lake.id_types)
            self._con.create_table(name, schema=schema, temp=True)
            self._queries[name] = Query("", schema, self._con.table(name))

    def _query(self, key: Any, make: Compile) -> Query:
        if key not in self._queries:
            expression = make()
            name = f"shape_{uuid.uuid4().hex}"
            self._con.create_view(name, expression)  # Its tables in memory are registered by this.
            sql = str(self._con.compile(expression))
            self._queries[key] = Query(sql, expression.schema(), expression)
        return self._queries[key]

    def _view(self, sql: str, schema: ibis.Schema) -> ibis.Table:
        name = f"rows_{uuid.uuid4().hex}"
        self._con.con.execute(f"CREATE TEMP VIEW {name} AS {sql}")
        return ops.DatabaseTable(name, schema=schema, source=self._con).to_expr()
