"""A build of some days of a table: reads what its recipe names, writes the days, records both.

All inputs are read as of one version each, fixed when the build begins; what is recorded is what
was read, whatever is written meanwhile. What is computed belongs to `tables/`.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.builds.good_days import explain_failed
from convcg_assets.builds.raw import build_raw
from convcg_assets.builds.record import record_days
from convcg_assets.builds.rows import query_days, read_days
from convcg_assets.builds.staleness import Detail, detail_of, digest_of
from convcg_assets.builds.state import State, artifact_keys
from convcg_assets.builds.views import load_whole_state
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.digests import NO_CELL
from convcg_assets.lake.engine import Query
from convcg_assets.lake.ledger import Built
from convcg_assets.sources.faults import LandingError
from convcg_assets.tables.raw import RAW, RAW_TABLES
from convcg_assets.tables.registry import ARTIFACTS, TABLES, VIEWS
from convcg_assets.tables.table import Recipe
from convcg_assets.tables.training_examples import TRAINING_EXAMPLES

EXAMPLES = TRAINING_EXAMPLES.name


def build_table(
    deployment: Deployment, table: str, days: Days, *, con: Backend, run_id: str | None = None
) -> None:
    """Build days of a table of the lake; `raw_events` for all raw tables.

    Raises LandingError where logs cannot be read; those of the other days are built.
    """
    if table == RAW:
        failed = build_raw(deployment, days, con=con, run_id=run_id).failed
        if failed:
            raise LandingError(explain_failed(failed, days), days=failed)
        return
    with open_build(deployment, table, days, con=con, run_id=run_id) as build:
        build.write()


@dataclass(frozen=True)
class Build:
    """Days of one table being built: `details` is what each is built from."""

    deployment: Deployment
    recipe: Recipe
    days: Days
    con: Backend
    state: State
    details: Mapping[dt.date, Detail]
    newest: dt.date
    """Newest day with logs."""
    run_id: str | None = None

    def read(self, table: str) -> ibis.Table:
        """The rows of the input's window around the days."""
        return self.read_days(table, self._days_read(table))

    def read_days(self, table: str, days: Iterable[dt.date]) -> ibis.Table:
        """Some of those rows."""
        return read_days(self.deployment, table, days, state=self.state, con=self.con)

    def query(self, days: Days | None = None) -> Query:
        """The rows of the days, or of some: SQL of the engine, over the files of the inputs."""
        days = days or self.days
        return query_days(self.deployment, self.recipe.table, days, state=self.state, con=self.con)

    def training_rows(self) -> Query:
        """The examples that the model of the day is trained on, in the order that it takes them."""
        query = query_days(self.deployment, EXAMPLES, self.days, state=self.state, con=self.con)
        order = "ORDER BY impression_id, task, pin_id, is_negative"
        text = f"SELECT * FROM ({query.text}) WHERE split = 'train' {order}"
        return Query(text, query.inputs, num_bytes=query.num_bytes)

    def write(self, rows: ibis.Table | Query | None = None) -> None:
        """Write the days, and record what they hold and were built from.

        `rows` are those of `query()`, or what another engine made of the same inputs. Of a view it
        is recorded alone.
        """
        deployment, table = self.deployment, self.recipe.table
        if table in VIEWS:
            self._record_view()
            return
        at_once = len(self.days) if rows is not None else TABLES[table].days_at_once
        for days in self.days.parts(at_once or len(self.days)):
            part = self.query(days) if rows is None else rows
            version = deployment.lake.replace(table, days, part, con=self.con)
            details = {day: self.details[day] for day in days}
            record_days(
                deployment, table, version, details=details, con=self.con, run_id=self.run_id
            )

    def _record_view(self) -> None:
        built = [
            Built(day, inputs, {NO_CELL: inputs}, inputs, detail)
            for day, detail in self.details.items()
            for inputs in [digest_of(detail)]
        ]
        self.deployment.ledger.record(self.recipe.table, built, run_id=self.run_id)

    def is_artifact_built(self, day: dt.date, *, settings: Any) -> bool:
        """Whether the day's artifact is what the inputs and these settings of the run give."""
        key = artifact_keys(self.recipe.table, home=self.deployment.home).get(day)
        inputs = digest_of(self._with_settings(day, settings))
        facts = self.deployment.ledger.facts([self.recipe.table])[self.recipe.table]
        return (day, key, inputs) in facts.builds

    def record_artifact(self, day: dt.date, *, settings: Any = None) -> None:
        """Record a day's artifact that was written with these settings of the run."""
        key = artifact_keys(self.recipe.table, home=self.deployment.home)[day]
        details = [self.details[day]]
        if settings is not None:
            details.append(self._with_settings(day, settings))
        built = [Built(day, key, {}, digest_of(detail), detail) for detail in details]
        self.deployment.ledger.record(self.recipe.table, built, run_id=self.run_id)

    def _with_settings(self, day: dt.date, settings: Any) -> Detail:
        return {**self.details[day], "run settings": settings}

    def _days_read(self, table: str) -> list[dt.date]:
        return self.state.days_read(self.recipe.input(table), self.days)


@contextmanager
def open_build(
    deployment: Deployment, table: str, days: Days, *, con: Backend, run_id: str | None = None
) -> Iterator[Build]:
    """A build of those days, its inputs fixed to their current versions."""
    recipe = deployment.recipes[table]
    needed = {i.table: None for i in recipe.inputs}
    if table in ARTIFACTS:
        needed |= dict.fromkeys(RAW_TABLES)  # They tell the newest day with logs.
    state = load_whole_state(deployment, needed)
    logs = state.log_days() if table in ARTIFACTS else []
    newest = logs[1] if logs else days.last - dt.timedelta(days=1)
    details = {day: detail_of(recipe, day, state, newest=newest) for day in days}
    yield Build(deployment, recipe, days, con, state, details, newest, run_id)
