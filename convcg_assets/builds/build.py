"""A build of some days of a table: reads what its recipe names, writes the days, records both.

All inputs are read as of one version each, fixed when the build begins; what is recorded is what
was read, whatever is written meanwhile. What is computed belongs to `builders.py`.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.builds.staleness import Detail, detail_of, digest_of
from convcg_assets.builds.state import State, artifact_keys, load_state
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import Version
from convcg_assets.lake.digests import digest_days
from convcg_assets.lake.ledger import Built
from convcg_assets.tables.recipes import ARTIFACTS, RAW_TABLES, Recipe


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
        return self.read_days(table, self.recipe.input(table).days(self.days))

    def read_days(self, table: str, days: Days) -> ibis.Table:
        """Some of those rows."""
        version = self.state[table].version
        if version is None:
            version = Version(-1, {})
        return self.deployment.lake.read(table, days, con=self.con, version=version)

    def replace(self, rows: ibis.Table) -> None:
        """Write the days, and record what they hold and were built from."""
        version = self.deployment.lake.replace(self.recipe.table, self.days, rows, con=self.con)
        record_days(
            self.deployment,
            self.recipe.table,
            version,
            details=self.details,
            con=self.con,
            run_id=self.run_id,
        )

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


@contextmanager
def open_build(
    deployment: Deployment, table: str, days: Days, *, con: Backend, run_id: str | None = None
) -> Iterator[Build]:
    """A build of those days, its inputs fixed to their current versions."""
    recipe = deployment.recipes[table]
    needed = {i.table: None for i in recipe.inputs}
    if table in ARTIFACTS:
        needed |= dict.fromkeys(RAW_TABLES)  # They tell the newest day with logs.
    state = load_state(needed, lake=deployment.lake, ledger=deployment.ledger, home=deployment.home)
    logs = state.log_days() if table in ARTIFACTS else []
    newest = logs[1] if logs else days.last - dt.timedelta(days=1)
    details = {day: detail_of(recipe, day, state, newest=newest) for day in days}
    yield Build(deployment, recipe, days, con, state, details, newest, run_id)


def record_days(
    deployment: Deployment,
    table: str,
    version: Version,
    *,
    details: Mapping[dt.date, Detail],
    con: Backend,
    run_id: str | None = None,
) -> None:
    """Record the days of a version just written: what they hold, what they were made of."""
    files = [file for day in details for file in version.files.get(day, ())]
    cells = digest_days(table, files, con=con)
    deployment.ledger.record(
        table,
        [
            Built(day, version.key(day), cells.get(day, {}), digest_of(detail), detail)
            for day, detail in details.items()
        ],
        run_id=run_id,
    )
