"""How each table is built: reads its inputs, one transform, writes its days. No Dagster.

The assets in `defs/` call these and describe what came out; so do repairs without a daemon and the
tests. What is computed belongs to `transforms/`.
"""

import datetime as dt
from collections.abc import Callable, Mapping

import ibis
from ibis import _
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import Build, open_build, record_days
from convcg_assets.builds.raw import Ingested, ingest
from convcg_assets.builds.staleness import RAW, Detail, raw_detail, raw_inputs, stale_raw_tables
from convcg_assets.builds.state import load_state
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import Version
from convcg_assets.sources.landed import LandedDay, inspect_day, stream_of
from convcg_assets.tables.attributed_conversions import attribute
from convcg_assets.tables.conversion_delay import describe_delay
from convcg_assets.tables.features import describe_pins, describe_users
from convcg_assets.tables.hard_negatives import sample_negatives
from convcg_assets.tables.label_maturity import describe_maturity
from convcg_assets.tables.recipes import RAW_TABLES, REJECTED, RawRecipe, Windows, make_raw_recipes
from convcg_assets.tables.training_examples import build_examples
from convcg_assets.tables.weighted_labels import weigh_labels


def build_table(
    deployment: Deployment, table: str, days: Days, *, con: Backend, run_id: str | None = None
) -> None:
    """Build days of a table of the lake; `raw_events` for all raw tables."""
    if table == RAW:
        build_raw(deployment, days, con=con, run_id=run_id)
        return
    with open_build(deployment, table, days, con=con, run_id=run_id) as build:
        write(build)


def write(build: Build) -> None:
    """Write and record the days of a build."""
    build.replace(TRANSFORMS[build.recipe.table](build))


def build_raw(
    deployment: Deployment, days: Days, *, con: Backend, run_id: str | None = None
) -> Ingested:
    """Read the days' landing folders into the raw tables.

    Only the streams with a file that has changed are read; if none has, all are. The fingerprint of
    the files is taken before they are read: a file that changes meanwhile leaves a day that differs
    from what was recorded.
    """
    recipes = make_raw_recipes(deployment.source)
    logs = {day: inspect_day(deployment.source, day) for day in days}
    tables = _tables_to_read(deployment, recipes, logs) or RAW_TABLES

    def record(table: str, version: Version) -> None:
        details = {day: raw_detail(recipes[table], found) for day, found in logs.items()}
        record_days(deployment, table, version, details=details, con=con, run_id=run_id)

    return ingest(
        deployment.source, days, lake=deployment.lake, con=con, tables=tables, on_write=record
    )


def _tables_to_read(
    deployment: Deployment, recipes: Mapping[str, RawRecipe], logs: Mapping[dt.date, LandedDay]
) -> set[str]:
    """The raw tables that differ, and those of streams whose rejected rows are not known."""
    state = load_state(
        RAW_TABLES, lake=deployment.lake, ledger=deployment.ledger, home=deployment.home
    )
    tables: set[str] = set()
    for day, found in logs.items():
        stale = stale_raw_tables(state, day, raw_inputs(recipes, found))
        if REJECTED in stale:
            key = state[REJECTED].key(day)
            known = deployment.ledger.build_detail(REJECTED, day, key) or {}
            tables |= _streams_that_differ(known, raw_detail(recipes[REJECTED], found), recipes)
        tables |= stale
    return tables


def _streams_that_differ(
    known: Detail, now: Detail, recipes: Mapping[str, RawRecipe]
) -> frozenset[str]:
    """The streams of which another file is there now than is known to have been read."""
    if known.get("settings") != now["settings"]:
        return recipes[REJECTED].streams
    old, new = known["landing"], now["landing"]
    return frozenset(stream_of(f) for f in {*old, *new} if old.get(f) != new.get(f))


def _attribute(build: Build) -> ibis.Table:
    return attribute(
        build.read("conversions"),
        build.read("impressions"),
        build.read("engagements"),
        settings=build.deployment.settings.attribution,
        days=build.days,
    )


def _delay(build: Build) -> ibis.Table:
    settings = build.deployment.settings
    return describe_delay(
        build.read("attributed_conversions"),
        settings=settings.delay,
        horizon_days=settings.attribution.horizon_days,
        days=build.days,
    )


def _maturity(build: Build) -> ibis.Table:
    settings = build.deployment.settings
    return describe_maturity(
        build.read("attributed_conversions"),
        build.read("conversion_delay"),
        settings=settings.delay,
        horizon_days=settings.attribution.horizon_days,
        days=build.days,
    )


def _labels(build: Build) -> ibis.Table:
    return weigh_labels(
        build.read("attributed_conversions"),
        build.read("engagements"),
        build.read("impressions"),
        settings=build.deployment.settings.labels,
        engagement_days=_windows(build).engagement,
        days=build.days,
    )


def _negatives(build: Build) -> ibis.Table:
    return sample_negatives(
        build.read("impressions"),
        build.read("engagements"),
        settings=build.deployment.settings.negatives,
        engagement_days=_windows(build).engagement,
        days=build.days,
    )


def _user_features(build: Build) -> ibis.Table:
    return describe_users(
        build.read("impressions"),
        build.read("engagements"),
        build.read("attributed_conversions"),
        build.read("users"),
        settings=build.deployment.settings.features,
        days=build.days,
    )


def _pin_features(build: Build) -> ibis.Table:
    return describe_pins(
        build.read("impressions"),
        build.read("engagements"),
        build.read("attributed_conversions"),
        build.read("pins"),
        has_catalogue=build.deployment.source.stream("pins") is not None,
        settings=build.deployment.settings.features,
        days=build.days,
    )


def _examples(build: Build) -> ibis.Table:
    settings = build.deployment.settings
    return build_examples(
        build.read("weighted_labels"),
        build.read("hard_negatives"),
        build.read("user_features"),
        build.read("pin_features"),
        build.read("impressions"),
        build.read("conversion_delay"),
        settings=settings.examples,
        delay=settings.delay,
        days=build.days,
    )


def ripened_examples(build: Build, *, day: dt.date, known_before: dt.date) -> ibis.Table:
    """The held-out examples of the model of `day`, with the labels that arrived before a later day.

    `build` is one of `evaluation_report`.
    """
    settings = build.deployment.settings
    no_negatives = build.deployment.lake.read(
        "hard_negatives", build.days, con=build.con, version=Version(-1, {})
    )
    rows = build_examples(
        build.read("weighted_labels"),
        no_negatives,
        build.read("user_features"),
        build.read("pin_features"),
        build.read("impressions"),
        build.read_days("conversion_delay", Days(known_before, known_before)),
        settings=settings.examples,
        delay=settings.delay,
        days=Days(day, day),
        known_before=known_before,
    )
    return rows.filter(_.split == "holdout")


def _windows(build: Build) -> Windows:
    return Windows.of(build.deployment.source, build.deployment.settings)


TRANSFORMS: dict[str, Callable[[Build], ibis.Table]] = {
    "attributed_conversions": _attribute,
    "conversion_delay": _delay,
    "label_maturity": _maturity,
    "weighted_labels": _labels,
    "hard_negatives": _negatives,
    "user_features": _user_features,
    "pin_features": _pin_features,
    "training_examples": _examples,
}
"""Rows of the build's days, by table."""
