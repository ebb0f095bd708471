"""Each derived table over the rows that its recipe reads, no more; engines belong to the caller."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ibis
import pyarrow as pa
from ibis.backends.duckdb import Backend

from convcg_assets.builds.compiled import compile_rows
from convcg_assets.days import Days
from convcg_assets.lake.engine import Query, stream_rows
from convcg_assets.sources.columns import ADJUSTMENTS, MERGES
from convcg_assets.sources.source import Source
from convcg_assets.tables.registry import DERIVED, table_schema
from convcg_assets.tables.settings import (
    AdjustmentSettings,
    AttributionSettings,
    DelaySettings,
    ExampleSettings,
    FeatureSettings,
    LabelSettings,
    NegativeSettings,
    Settings,
)
from convcg_assets.tables.table import Input, Inputs, Scope
from convcg_assets.tables.training_examples import build_examples
from convcg_assets.tables.user_persons import PERSONS

from . import oracle_daily, oracle_labels
from .tables import INT_IDS, of_days, to_arrow
from .world import FIRST_DAY, LATE_DAYS, STREAMS, Row, World

SHOWN_DAYS = LATE_DAYS + 1
"""How long after its day an impression is looked for: a clock ahead may add one."""
ENGAGEMENT_DAYS = SHOWN_DAYS + 1
"""How long after its impression's day an engagement may arrive to count."""
WINDOWS = (60, 30, 14, 7, 1, 0)
Read = Callable[[str, list[Row]], ibis.Table]
"""Makes a table of that name of rows."""


@dataclass(frozen=True)
class Case:
    """Days of a table to be made of given rows."""

    table: str
    given: dict[str, list[Row]]
    settings: Settings
    days: Days
    has_catalogue: bool = True
    known_before: dt.date | None = None

    def scope(self, id_types: dict[str, str] = INT_IDS) -> Scope:
        streams = {name: {} for name in STREAMS if self.has_catalogue or name != "pins"}
        if any(name in self.given for name in (ADJUSTMENTS, "adjusted_conversions")):
            streams[ADJUSTMENTS] = {}
        if MERGES in self.given or PERSONS in self.given:
            streams[MERGES] = {}
        source = {"name": "tiny", "first_day": FIRST_DAY, "late_days": LATE_DAYS}
        source |= {"id_types": id_types, "streams": streams}
        return Scope(Source.model_validate(source), self.settings)

    def rows(self, read: Read, *, id_types: dict[str, str] = INT_IDS) -> ibis.Table:
        """The expression over tables that `read` makes of the rows of each window."""
        entry, scope = DERIVED[self.table], self.scope(id_types)
        assert entry.rows is not None
        inputs = Inputs(
            self.table,
            entry.recipe(scope),
            self.days,
            scope,
            lambda name, days: read(name, of_days(self.given[name], days)),
        )
        if self.known_before is None:
            return entry.rows(inputs)
        curves = self.days.widen(before=self.settings.examples.holdout_days)
        curves = Days(curves.first, max(curves.last, self.known_before))
        return build_examples(
            inputs["weighted_labels"],
            inputs["hard_negatives"],
            inputs["example_features"],
            inputs.read_days("conversion_delay", curves),
            settings=self.settings.examples,
            delay=self.settings.delay,
            days=self.days,
            known_before=self.known_before,
        )


def _read(rows: list[Row], source: Input, days: Days) -> list[Row]:
    """The rows that a build of those days reads of an input."""
    if source.accumulates:
        return [row for row in rows if row["dt"] <= source.days(days).last]
    first = source.days(Days(days.first, days.first))
    older = {row["dt"] for row in rows if row["dt"] < first.first}
    if not source.holds or of_days(rows, first) or not older:
        return of_days(rows, source.days(days))
    held = max(older)
    return of_days(rows, Days(held, held)) + of_days(rows, source.days(days))


def run(case: Case, *, con: Backend, id_types: dict[str, str] = INT_IDS) -> list[Row]:
    """The rows as the lake would get them, by SQL that is compiled once for equal cases."""
    scope = case.scope(id_types)
    compiled = compile_rows(case.table, case.days, scope=scope, con=con)
    recipe, named = DERIVED[case.table].recipe(scope), {}
    try:
        for name in compiled.inputs:
            rows = _read(case.given[name], recipe.input(name), case.days)
            con.con.register(f"given_{name}", to_arrow(rows, table=name, id_types=id_types))
            named[name] = f"SELECT * FROM given_{name}"
        schema = table_schema(case.table, id_types)
        with stream_rows(Query(compiled.text, named), schema=schema, con=con) as batches:
            found: pa.Table = batches.read_all()
            return found.to_pylist()
    finally:
        for name in named:
            con.con.unregister(f"given_{name}")


def attributed(world: World, *, settings: AttributionSettings, days: Days) -> Case:
    given = {name: getattr(world, name) for name in ("conversions", "impressions", "engagements")}
    return Case("attributed_conversions", given, Settings(attribution=settings), days)


def adjusted(
    adjustments: list[Row], world: World, credited: list[Row], *, max_days: int, days: Days
) -> Case:
    given = {ADJUSTMENTS: adjustments, "conversions": world.conversions}
    given |= {"attributed_conversions": credited}
    settings = Settings(adjustments=AdjustmentSettings(max_days=max_days))
    return Case("adjusted_conversions", given, settings, days)


def with_adjusted(case: Case, rows: list[Row], *, max_days: int) -> Case:
    """The same of a log whose conversions are adjusted: `rows` say what became of them."""
    settings = case.settings.model_copy(
        update={"adjustments": AdjustmentSettings(max_days=max_days)}
    )
    return replace(case, given={**case.given, "adjusted_conversions": rows}, settings=settings)


def persons(merges: list[Row], *, days: Days) -> Case:
    return Case(PERSONS, {MERGES: merges}, Settings(), days)


def with_persons(stage: Callable[..., Case], rows: list[Row]) -> Callable[..., Case]:
    """The stage of a log that merges ids: `rows` say which are of one person."""

    def case(*inputs: Any, **options: Any) -> Case:
        made = stage(*inputs, **options)
        return replace(made, given={**made.given, PERSONS: rows})

    return case


def delay(credited: list[Row], *, settings: DelaySettings, horizon_days: int, days: Days) -> Case:
    given = {"attributed_conversions": credited}
    attribution = with_horizon(horizon_days)
    return Case("conversion_delay", given, Settings(attribution=attribution, delay=settings), days)


def maturity(credited: list[Row], curves: list[Row], **options: Any) -> Case:
    case = delay(credited, **options)
    return replace(case, table="label_maturity", given=case.given | {"conversion_delay": curves})


def linked(world: World, *, days: Days) -> Case:
    given = {"impressions": world.impressions, "engagements": world.engagements}
    return Case("linked_engagements", given, Settings(), days)


def labels(
    world: World,
    credited: list[Row],
    *,
    settings: LabelSettings,
    horizon_days: int,
    days: Days,
) -> Case:
    given = {"attributed_conversions": credited, "impressions": world.impressions}
    given |= {"linked_engagements": oracle_labels.linked(world)}
    chosen = Settings(attribution=with_horizon(horizon_days), labels=settings)
    return Case("weighted_labels", given, chosen, days)


def negatives(world: World, *, settings: NegativeSettings, days: Days) -> Case:
    given = {"impressions": world.impressions}
    given |= {"linked_engagements": oracle_labels.linked(world)}
    return Case("hard_negatives", given, Settings(negatives=settings), days)


def counts(world: World, *, of: str, days: Days) -> Case:
    """Daily counts of users (`of="user"`) or Pins."""
    given = {"impressions": world.impressions, "engagements": world.engagements}
    return Case(f"daily_{of}_counts", given, Settings(), days)


def actions(world: World, *, settings: FeatureSettings, days: Days) -> Case:
    given = {"engagements": world.engagements}
    return Case("daily_actions", given, Settings(features=settings), days)


def user_features(
    world: World, credited: list[Row], *, settings: FeatureSettings, days: Days
) -> Case:
    """Of daily counts and actions by brute force: what the stages before give is tested alone."""
    given = {
        "daily_user_counts": oracle_daily.counts(world, of="user"),
        "daily_actions": oracle_daily.actions(world, most=settings.max_recent_actions),
        "attributed_conversions": credited,
        "users": world.users,
    }
    return Case("user_features", given, Settings(features=settings), days)


def pin_features(
    world: World,
    credited: list[Row],
    *,
    has_catalogue: bool,
    settings: FeatureSettings,
    days: Days,
) -> Case:
    given = {
        "daily_pin_counts": oracle_daily.counts(world, of="pin"),
        "attributed_conversions": credited,
        "pins": world.pins,
    }
    return Case(
        "pin_features", given, Settings(features=settings), days, has_catalogue=has_catalogue
    )


def example_features(world: World, derived: dict[str, list[Row]], *, days: Days) -> Case:
    """`derived` holds the rows of credit, labels, negatives and both sides' features."""
    given = {**derived, "impressions": world.impressions, "engagements": world.engagements}
    return Case("example_features", given, Settings(), days)


def examples(
    derived: dict[str, list[Row]],
    *,
    settings: ExampleSettings,
    delay: DelaySettings,
    days: Days,
    known_before: dt.date | None = None,
) -> Case:
    """`derived` holds the rows of curves, labels, negatives and the examples' features."""
    chosen = Settings(examples=settings, delay=delay)
    return Case("training_examples", derived, chosen, days, known_before=known_before)


def with_horizon(days: int) -> AttributionSettings:
    """Windows and a longest reporting lag that come to a horizon of so many days."""
    window = next(w for w in WINDOWS if w <= days)
    windows = {f"{kind}_window_days": window for kind in ("click", "engagement", "view")}
    return AttributionSettings.model_validate({**windows, "max_reporting_lag_days": days - window})
