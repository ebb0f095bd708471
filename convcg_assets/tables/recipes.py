"""The recipes: from which days of which tables, by which settings, each derived day is built.

One home for the windows of days between tables: assets read by them, the graph shows them, and a
day is stale when what they select has changed. What is computed belongs to `transforms/`, which
days differ to `staleness.py`.
"""

import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from convcg_assets.days import Days
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import STREAMS
from convcg_assets.tables.conversion_delay import lookback_days
from convcg_assets.tables.features import LONG_DAYS
from convcg_assets.tables.settings import EvaluationSettings, ExampleSettings, Settings
from convcg_assets.tables.training_examples import SEEN_DAYS

REJECTED = "rejected_events"
"""The rejected rows of all streams: written last, so that a day that has it has been read whole."""
RAW_TABLES = ("pins", "users", "engagements", "impressions", "conversions", REJECTED)
ARTIFACTS = ("two_tower_checkpoint", "pin_embedding_index", "evaluation_report")
"""What is no table of the lake but a folder per day."""

Domain = Literal["logs", "knowledge", "models"]
"""Which days a table ought to have: those with logs; the days T after the first of them, up to the
day after the newest; or only those asked for, by a retrain or by hand."""
Bounds = tuple[dt.date, dt.date]
Cells = Callable[[dt.date, dt.date, dt.date], Bounds | None]
"""From a day, one of its upstream days and the newest day with logs: the cells (see `digests.py`)
that it rests on, ends included, or None where it does not rest on that day at all."""

DAY = dt.timedelta(days=1)
LONG_AGO = dt.date.min
ALL_CELLS: Bounds = (dt.date.min, dt.date.max)


@dataclass(frozen=True)
class Input:
    """Days `before` to `after` a day of another table, and, if told, only some cells of them."""

    table: str
    before: int = 0
    after: int = 0
    cells: Cells | None = None

    def days(self, days: Days) -> Days:
        """The days that are read for a range of days."""
        return Days(days.first - self.before * DAY, days.last + self.after * DAY)


@dataclass(frozen=True)
class Recipe:
    """How the days of a table come about; `settings` is the digest of all that is not an input."""

    table: str
    inputs: tuple[Input, ...]
    domain: Domain
    settings: str
    is_kept: bool = False
    """Once built, a day stays as it is: a model is not retrained by a late conversion."""

    def input(self, table: str) -> Input:
        """The input that reads a table."""
        return next(i for i in self.inputs if i.table == table)


@dataclass(frozen=True)
class Windows:
    """How far tables look, in days."""

    horizon: int
    """An impression day goes on gaining conversions for so long."""
    dedup: int
    """So many earlier arrival days can hold the first report of a duplicate."""
    late: int
    """Logged at most so long before the arrival day: the clocks' tolerance may add one."""
    engagement: int
    """An engagement may follow its impression past midnight, and arrive late as well."""
    history: int
    """Features look back so far."""
    delay: int
    """The delay curve looks back so far."""
    examples: int
    """A model learns from, and is judged on, so many impression days."""
    holdout: int
    """The last of them are those that it is judged on."""

    @classmethod
    def of(cls, source: Source, settings: Settings) -> "Windows":
        """The windows of a deployment."""
        late = source.late_days + 1
        return cls(
            horizon=settings.attribution.horizon_days,
            dedup=settings.attribution.dedup_lookback_days,
            late=late,
            engagement=late + 1,
            history=max(LONG_DAYS, settings.features.active_days) + late,
            delay=lookback_days(settings.delay, horizon_days=settings.attribution.horizon_days),
            examples=settings.examples.training_days + settings.examples.holdout_days,
            holdout=settings.examples.holdout_days,
        )


def as_of(day: dt.date, *, newest: dt.date, settings: EvaluationSettings) -> dt.date:
    """The day as of which the model of `day` is evaluated: the newest milestone reached.

    `newest` is the newest day with logs; what is known the day after can be evaluated on.
    """
    reached = [m for m in settings.repeat_after_days if day + m * DAY <= newest + DAY]
    return day + max(reached, default=0) * DAY


def make_recipes(source: Source, settings: Settings) -> dict[str, Recipe]:
    """The recipe of every derived table and artifact, each after those that it reads."""
    windows = Windows.of(source, settings)
    has_catalogue = source.stream("pins") is not None
    history = ("impressions", "engagements", "attributed_conversions")
    around = (
        Input("impressions", before=1, after=windows.engagement),
        Input("engagements", before=1, after=windows.engagement),
    )

    def known(*tables: str) -> tuple[Input, ...]:
        return tuple(Input(table, before=windows.history, after=-1) for table in tables)

    recipes = (
        Recipe(
            "attributed_conversions",
            (
                Input("impressions", before=windows.horizon),
                Input("engagements", before=windows.horizon),
                Input("conversions", before=windows.dedup),
            ),
            "logs",
            _digest(1, settings.attribution),
        ),
        Recipe(
            "conversion_delay",
            (Input("attributed_conversions", before=windows.delay, after=-1),),
            "knowledge",
            _digest(1, settings.attribution, settings.delay),
        ),
        Recipe(
            "label_maturity",
            (
                Input("conversion_delay"),
                Input("attributed_conversions", before=windows.horizon, after=-1),
            ),
            "knowledge",
            _digest(1, settings.attribution, settings.delay),
        ),
        Recipe(
            "weighted_labels",
            (
                Input("attributed_conversions", after=windows.horizon, cells=_own_day),
                *around,
            ),
            "logs",
            _digest(1, settings.labels, windows.engagement),
        ),
        Recipe(
            "hard_negatives",
            around,
            "logs",
            _digest(1, settings.negatives, windows.engagement),
        ),
        Recipe(
            "user_features",
            known(*history, "users"),
            "knowledge",
            _digest(1, settings.features),
        ),
        Recipe(
            "pin_features",
            known(*history, "pins"),
            "knowledge",
            _digest(1, settings.features, has_catalogue),
        ),
        Recipe(
            "training_examples",
            _example_inputs(windows, settings.examples),
            "models",
            _digest(1, settings.examples, settings.delay),
        ),
        Recipe(
            "two_tower_checkpoint",
            (Input("training_examples"), Input("pin_features")),
            "models",
            _digest(1),
            is_kept=True,
        ),
        Recipe(
            "pin_embedding_index",
            (Input("two_tower_checkpoint"), Input("pin_features"), Input("training_examples")),
            "models",
            _digest(1),
            is_kept=True,
        ),
        Recipe(
            "evaluation_report",
            _evaluation_inputs(windows, settings.evaluation),
            "models",
            _digest(1, settings.evaluation, settings.delay),
        ),
    )
    return {recipe.table: recipe for recipe in recipes}


@dataclass(frozen=True)
class RawRecipe:
    """From which streams' files of a day a raw table is read, and how: see `raw_settings`."""

    streams: frozenset[str]
    settings: str


def make_raw_recipes(source: Source) -> dict[str, RawRecipe]:
    """The recipe of every raw table: of its own stream, or of those that imply it."""
    present = [stream for stream in STREAMS if source.stream(stream) is not None]
    events = {stream for stream in present if stream not in ("pins", "users")}
    # The catalogue names the advertisers of events whose log does not.
    named = {stream for stream in present if stream == "pins"}
    implied_by = {"impressions": {"engagements"} | named, "pins": events, "users": events}
    settings = raw_settings(source)
    recipes = {}
    for table in RAW_TABLES:
        if table == REJECTED:
            streams = set(present)
        elif table in present:
            streams = {table} | (named if table in events else set())
        else:
            streams = implied_by[table]
        recipes[table] = RawRecipe(frozenset(streams), settings)
    return recipes


def raw_settings(source: Source) -> str:
    """Digest of how raw rows are read: a changed source file changes what its logs mean."""
    elsewhere = {"name", "landing", "simulation", "last_day"}
    return _digest(1, source.model_dump(mode="json", exclude=elsewhere))


def _own_day(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds:
    return day, day


def _example_inputs(windows: Windows, settings: ExampleSettings) -> tuple[Input, ...]:
    """Training rests on what arrived before the holdout, the holdout on what arrived before T."""

    def known(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds:
        cutoff = day - settings.holdout_days * DAY
        return LONG_AGO, (cutoff if upstream < cutoff else day) - DAY

    def trained(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds | None:
        cutoff = day - settings.holdout_days * DAY
        return (LONG_AGO, cutoff - DAY) if upstream < cutoff else None

    def curves(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds | None:
        used = (day, day - settings.holdout_days * DAY)
        return ALL_CELLS if upstream in used else None

    def past(table: str, cells: Cells | None = None) -> Input:
        return Input(table, before=windows.examples, after=-1, cells=cells)

    return (
        past("weighted_labels", known),
        past("hard_negatives", trained),
        past("user_features"),
        past("pin_features"),
        Input("impressions", before=windows.examples + SEEN_DAYS, after=-1),
        Input("conversion_delay", before=windows.holdout, cells=curves),
    )


def _evaluation_inputs(windows: Windows, settings: EvaluationSettings) -> tuple[Input, ...]:
    """The model of T is judged on its holdout's labels, as they are known by and by."""

    def known(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds:
        return LONG_AGO, as_of(day, newest=newest, settings=settings) - DAY

    def curve(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds | None:
        used = as_of(day, newest=newest, settings=settings)
        return ALL_CELLS if upstream == used else None

    def past(table: str, cells: Cells | None = None) -> Input:
        return Input(table, before=windows.holdout, after=-1, cells=cells)

    return (
        Input("two_tower_checkpoint"),
        Input("pin_embedding_index"),
        Input("training_examples"),
        past("weighted_labels", known),
        past("user_features"),
        past("pin_features"),
        Input("impressions", before=windows.holdout + SEEN_DAYS, after=-1),
        Input("conversion_delay", after=max(settings.repeat_after_days, default=0), cells=curve),
    )


def _digest(version: int, *parts: BaseModel | Any) -> str:
    """Digest of settings and of `version`, which goes up when the same inputs give other rows."""
    texts = [p.model_dump_json() if isinstance(p, BaseModel) else repr(p) for p in parts]
    return hashlib.sha256("\n".join([str(version), *texts]).encode()).hexdigest()[:16]
