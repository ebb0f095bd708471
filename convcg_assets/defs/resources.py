"""What assets are given: the lake, the source, the settings and an engine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import ibis
from ibis.backends.duckdb import Backend
from pydantic import Field

from convcg_assets.builds.build import Build, open_build
from convcg_assets.builds.rows import Rows
from convcg_assets.days import Days
from convcg_assets.defs.run_lock import hold_until_exit
from convcg_assets.deployment import Deployment, current_deployment
from convcg_assets.lake.delta import Lake
from convcg_assets.lake.engine import connect
from convcg_assets.sources.source import Source
from convcg_assets.tables.settings import Settings


class Warehouse(dg.ConfigurableResource):
    """The lake of this deployment and an embedded engine to compute with."""

    memory_limit: str = Field(
        default="3GB", description="memory of the embedded engine; it spills to disk beyond"
    )
    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="threads of the engine"
    )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Hold the run's lock while its process lives: who asks can tell that it does."""
        if context.run_id is not None:
            hold_until_exit(self.deployment.home, context.run_id)

    @property
    def deployment(self) -> Deployment:
        """This deployment."""
        return current_deployment()

    @property
    def lake(self) -> Lake:
        """The tables."""
        return self.deployment.lake

    @property
    def rows(self) -> Rows:
        """The rows of the tables, and of views of them."""
        return Rows(self.deployment)

    @property
    def source(self) -> Source:
        """The logs."""
        return self.deployment.source

    @property
    def settings(self) -> Settings:
        """The settings of the data stages."""
        return self.deployment.settings

    @contextmanager
    def connect(self) -> Iterator[Backend]:
        """An engine for one asset; closed afterwards, so that its memory goes back."""
        con = connect(
            memory_limit=self.memory_limit,
            threads=self.threads,
            temp=self.deployment.spill,
        )
        try:
            yield con
        finally:
            con.disconnect()

    @contextmanager
    def build(self, table: str, days: Days, *, run_id: str) -> Iterator[Build]:
        """A build of days of a table, with an engine of its own."""
        with (
            self.connect() as con,
            open_build(self.deployment, table, days, con=con, run_id=run_id) as build,
        ):
            yield build

    def read(self, table: str, days: Days, *, con: Backend) -> ibis.Table:
        """The rows of those days of a table."""
        return self.rows.read(table, days, con=con)
