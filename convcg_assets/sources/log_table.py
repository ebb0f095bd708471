"""A stream that lies in a table and not in files: the keys of `table` in the source file.

Reading it belongs to `table_rows.py`.
"""

import os
import re
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from convcg_assets.config import Frozen

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://")
_EMBEDDED = re.compile(r"^(sqlite|duckdb):///?(?!/)")


class LogTable(Frozen):
    """A Delta or Iceberg table, or one of a database: exactly one of delta, iceberg, database."""

    delta: str | None = Field(
        default=None, description="folder of a Delta table below the landing folder, or its URL"
    )
    iceberg: str | None = Field(
        default=None, description="name of an Iceberg table, as in shop.orders; with `catalog`"
    )
    catalog: str | None = Field(
        default=None, description="SQLAlchemy URL of the Iceberg table's catalogue"
    )
    database: str | None = Field(
        default=None,
        description="URL of a database that Ibis connects to; ${NAME} stands for a variable of the "
        "environment; with `name` or `query`",
    )
    name: str | None = Field(
        default=None,
        description="database: the table; Iceberg: the catalogue's name, by default `default`",
    )
    query: str | None = Field(default=None, description="query of the database, in its own SQL")
    day: str = Field(
        description="column by whose UTC day a row belongs to a day: a date, a time or ISO text"
    )
    changed: str | None = Field(
        default=None,
        description="database: column that grows when a row changes; default: all are compared",
    )

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if sum(x is not None for x in (self.delta, self.iceberg, self.database)) != 1:
            raise ValueError("give exactly one of delta, iceberg, database")
        if (self.iceberg is None) != (self.catalog is None):
            raise ValueError("iceberg and catalog belong together")
        if self.database is not None and (self.name is None) == (self.query is None):
            raise ValueError("database needs name or query, and not both")
        if self.database is None and (self.query is not None or self.changed is not None):
            raise ValueError("query and changed are for a database")
        if self.delta is not None and self.name is not None:
            raise ValueError("a Delta table has no name but its folder")
        return self

    @property
    def label(self) -> str:
        """What the table is called in messages and in rejected rows."""
        if self.delta is not None:
            return self.delta.rstrip("/").rpartition("/")[2]
        return self.iceberg or self.name or "query"

    def located(self, landing: Path) -> "LogTable":
        """The same with its place below the landing folder, and variables of the environment."""
        changed: dict[str, str] = {}
        if self.delta is not None and not _SCHEME.match(self.delta):
            changed["delta"] = str(landing / self.delta)
        for key in ("catalog", "database"):
            url = getattr(self, key)
            if url is not None:
                changed[key] = _EMBEDDED.sub(
                    lambda found: f"{found[1]}:///{landing}/", _expand(url, key)
                )
        return self.model_copy(update=changed)


def _expand(url: str, key: str) -> str:
    """A URL with its variables; ValueError where the environment has none of the name."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ValueError(f"table.{key}: the environment has no variable {found[1]}")
        return os.environ[found[1]]

    return re.sub(r"\$\{(\w+)\}", value, url)
