"""What a table of the lake is: columns, what its days are built from, its rows and its checks.

Each table is one `Table` in a file of its own; `registry.py` lists them. What a day of a table is
built from is its *recipe*; building it belongs to `builds/`.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import ibis
from pydantic import BaseModel

from convcg_assets.days import Days
from convcg_assets.sources.columns import ADJUSTMENTS, MERGES, Columns, type_schema
from convcg_assets.sources.source import Source
from convcg_assets.tables.settings import Settings

Domain = Literal["logs", "knowledge", "models"]
"""Which days a table ought to have: those with logs; the days T after the first of them, up to the
day after the newest; or only those asked for, by a retrain or by hand."""
Bounds = tuple[dt.date, dt.date]
Cells = Callable[[dt.date, dt.date, dt.date], Bounds | None]
"""From a day, one of its upstream days and the newest day with logs: the cells (see
`lake/digests.py`) that it rests on, ends included, or None where it does not rest on that day."""

DAY = dt.timedelta(days=1)
LONG_AGO = dt.date.min
ALL_CELLS: Bounds = (dt.date.min, dt.date.max)


def own_day(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds:
    """The cell of the day itself."""
    return day, day


@dataclass(frozen=True)
class Input:
    """Days `before` to `after` a day of another table, and, if told, only some cells of them.

    What `holds` is valid until the next: where none of those days has rows, the newest before them
    that has is read as well. What `accumulates` is valid ever after: all days before them are read.
    """

    table: str
    before: int = 0
    after: int = 0
    cells: Cells | None = None
    holds: bool = False
    accumulates: bool = False

    def days(self, days: Days) -> Days:
        """The days that are read for a range of days."""
        return Days(days.first - self.before * DAY, days.last + self.after * DAY)


@dataclass(frozen=True)
class Recipe:
    """What each day of a table is built from; `settings` is the digest of all that is no input."""

    table: str
    inputs: tuple[Input, ...]
    domain: Domain
    settings: str
    is_kept: bool = False
    """Once built, a day stays as it is: a model is not retrained by a late conversion."""
    of_newest: bool = False
    """Of models: wanted for the newest alone, for what is old will not serve."""

    def input(self, table: str) -> Input:
        """The input that reads a table."""
        return next(i for i in self.inputs if i.table == table)


@dataclass(frozen=True)
class Scope:
    """What a deployment says of its logs and wants of its tables."""

    source: Source
    settings: Settings

    @property
    def late_days(self) -> int:
        """Days after its own on which an impression or engagement may arrive; one by clocks."""
        return self.source.late_days + 1

    @property
    def has_adjustments(self) -> bool:
        """Whether the log takes conversions back or restates them."""
        return self.source.stream(ADJUSTMENTS) is not None

    @property
    def has_merges(self) -> bool:
        """Whether the log says which ids are of one person."""
        return self.source.stream(MERGES) is not None

    @property
    def engagement_days(self) -> int:
        """Days after its impression's on which an engagement may arrive."""
        return self.late_days + 1


@dataclass(frozen=True)
class Check:
    """Rows that break what tables agree on: those of `error` stop downstream."""

    name: str
    description: str
    error: "Callable[[Inputs], ibis.Table] | None" = None
    warning: "Callable[[Inputs], ibis.Table] | None" = None


@dataclass(frozen=True)
class Table:
    """A table of the lake: one row's meaning, and all that is known of it.

    `key` is unique. `rows` gives the rows of some days; `sql` gives them instead, as SQL of the
    embedded engine in which tables are named, where Ibis has no words for it. Neither is there for
    the raw tables, which are read from landed files. `version` goes up when the same inputs give
    other rows; a test holds the rows' SQL against it.

    The rows of a view are never stored but made of its inputs when they are read; a build of a day
    tells that it was looked at as it is now. Views read tables, and are read by artifacts alone.

    Of a longer range `days_at_once` are built and written after each other, where what a day takes
    in memory grows with the history and not with the day.

    `needs` is a stream without which the table is not there at all: what came after the first
    release leaves the deployments that do without it as they are.

    Where readers need a part of a day only, `cell` is a column expression that tells a day's rows
    apart, and `later` a column that is known later than its row (see `lake/digests.py`). Rows for
    which `cell` is null matter to nobody who reads a cell; only `cell_may_be_null` tells that there
    are any.
    """

    name: str
    group: str
    description: str
    columns: Columns
    key: tuple[str, ...]
    owner: str
    domain: Domain = "logs"
    inputs: Callable[[Scope], tuple[Input, ...]] = lambda scope: ()
    settings: Callable[[Scope], tuple[Any, ...]] = lambda scope: ()
    rows: "Callable[[Inputs], ibis.Table] | None" = None
    sql: Callable[[str, str], str] | None = None
    """Of the first and the last day, which are SQL themselves."""
    version: int = 1
    checks: tuple[Check, ...] = ()
    cell: str | None = None
    cell_may_be_null: bool = False
    later: str | None = None
    needs: str | None = None
    is_view: bool = False
    days_at_once: int | None = None
    ready_by_hour: int | None = None
    """Hour (UTC) by which each day's newest rows are expected; None: whenever."""

    def recipe(self, scope: Scope) -> Recipe:
        """What each day is built from."""
        settings = digest_settings(self.version, *self.settings(scope))
        return Recipe(self.name, self.inputs(scope), self.domain, settings)

    def is_there(self, source: Source) -> bool:
        """Whether a deployment of this source has the table."""
        return self.needs is None or source.stream(self.needs) is not None

    def schema(self, id_types: Mapping[str, str]) -> ibis.Schema:
        """Ibis schema by the source's types of ids."""
        return type_schema(self.columns, id_types)


@dataclass(frozen=True)
class Inputs:
    """What the rows and the checks of some days of a table may read.

    `read_days` gives days of a table: of the lake, or symbols for them where the rows are only
    compiled.
    """

    table: str
    recipe: Recipe | None
    """None for a raw table, whose checks read it alone."""
    days: Days
    scope: Scope
    read_days: Callable[[str, Days], ibis.Table]

    def __getitem__(self, table: str) -> ibis.Table:
        """The rows of an input, in its window around the days."""
        assert self.recipe is not None, self.table
        return self.read_days(table, self.recipe.input(table).days(self.days))

    @property
    def own(self) -> ibis.Table:
        """The table's own rows of the days."""
        return self.read_days(self.table, self.days)

    @property
    def settings(self) -> Settings:
        """The settings of the data stages."""
        return self.scope.settings

    def read(self, table: str, *, before: int = 0, after: int = 0) -> ibis.Table:
        """The rows of any table around the days, as far as they are there."""
        return self.read_days(table, self.days.widen(before=before, after=after))


def digest_settings(version: int, *parts: BaseModel | Any) -> str:
    """Digest of settings and of the version of what is done with them."""
    texts = [p.model_dump_json() if isinstance(p, BaseModel) else repr(p) for p in parts]
    return hashlib.sha256("\n".join([str(version), *texts]).encode()).hexdigest()[:16]
