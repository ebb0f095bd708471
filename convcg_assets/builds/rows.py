"""The rows of any table: days of the lake, or of a view what its inputs give."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import ibis
from ibis import _
from ibis.backends.duckdb import Backend

from convcg_assets.builds.compiled import compile_rows
from convcg_assets.builds.state import State
from convcg_assets.builds.views import load_whole_state
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import NO_VERSION
from convcg_assets.lake.engine import Query, read_query
from convcg_assets.tables.registry import VIEWS


def query_days(
    deployment: Deployment, table: str, days: Days, *, state: State, con: Backend
) -> Query:
    """What a derived table's recipe gives for days: SQL over the files of its inputs' windows."""
    rows = compile_rows(table, days, scope=deployment.scope, con=con)
    recipe = deployment.recipes[table]
    files = {
        name: deployment.lake.held(
            name, state.days_read(recipe.input(name), days), version=state[name].version
        )
        for name in rows.inputs
    }
    return Query(rows.text, files, num_bytes=sum(held.num_bytes for held in files.values()))


def read_days(
    deployment: Deployment, table: str, days: Iterable[dt.date], *, state: State, con: Backend
) -> ibis.Table:
    """The rows of days of a table, as of the versions of a state."""
    lake = deployment.lake
    if table not in VIEWS:
        version = state[table].version or NO_VERSION
        return lake.read(table, days, con=con, version=version)
    of_ranges = [
        read_query(
            query_days(deployment, table, part, state=state, con=con),
            schema=lake.schema(table),
            con=con,
        )
        for part in ranges(days)
    ]
    if not of_ranges:
        return lake.read(table, (), con=con, version=NO_VERSION)
    return of_ranges[0] if len(of_ranges) == 1 else ibis.union(*of_ranges)


def ranges(days: Iterable[dt.date]) -> list[Days]:
    """Contiguous days together."""
    found: list[Days] = []
    for day in sorted(days):
        if found and (day - found[-1].last).days == 1:
            found[-1] = Days(found[-1].first, day)
        else:
            found.append(Days(day, day))
    return found


@dataclass(frozen=True)
class Rows:
    """The rows of all tables of a deployment, as they are when they are asked for."""

    deployment: Deployment

    def read(self, table: str, days: Iterable[dt.date], *, con: Backend) -> ibis.Table:
        """The rows of those days."""
        if table not in VIEWS:
            return self.deployment.lake.read(table, days, con=con)
        state = load_whole_state(self.deployment, [table])
        return read_days(self.deployment, table, days, state=state, con=con)

    def days(self, table: str) -> list[dt.date]:
        """Days of which the table holds rows, of a view those that were looked at; sorted."""
        if table not in VIEWS:
            return self.deployment.lake.days(table)
        return sorted(load_whole_state(self.deployment, [table])[table].keys)

    def num_rows(self, table: str, days: Days, *, con: Backend) -> dict[dt.date, int]:
        """Rows per day, zero included; of a view, zero where it was never looked at."""
        if table not in VIEWS:
            return self.deployment.lake.num_rows(table, days, con=con)
        counts = dict.fromkeys(days, 0)
        asked = [day for day in self.days(table) if day in days]
        rows = self.read(table, asked, con=con).group_by("dt").agg(n=_.count())
        return counts | {row["dt"]: row["n"] for row in con.to_pyarrow(rows).to_pylist()}

    def keys(self, table: str, days: Days) -> dict[dt.date, str]:
        """Of each day what tells its rows from any others that it may hold."""
        state = load_whole_state(self.deployment, [table])[table]
        return {day: state.key(day) for day in days}
