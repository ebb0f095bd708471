"""Every table and artifact there is, each after those that it is built from.

A new table is a file of its own and a line here: what it is built from, its schema, its asset, its
checks and the versions that a model records all follow.
"""

from collections.abc import Mapping

import ibis

from convcg_assets.sources.source import Source
from convcg_assets.tables.adjusted_conversions import ADJUSTED_CONVERSIONS
from convcg_assets.tables.artifacts import (
    CANDIDATES,
    EVALUATION_REPORT,
    PIN_EMBEDDING_INDEX,
    PROMOTION,
    SERVING_FEATURES,
    TWO_TOWER_CHECKPOINT,
    Artifact,
)
from convcg_assets.tables.attributed_conversions import ATTRIBUTED_CONVERSIONS
from convcg_assets.tables.conversion_delay import CONVERSION_DELAY
from convcg_assets.tables.daily_actions import DAILY_ACTIONS
from convcg_assets.tables.daily_pin_counts import DAILY_PIN_COUNTS
from convcg_assets.tables.daily_user_counts import DAILY_USER_COUNTS
from convcg_assets.tables.example_features import EXAMPLE_FEATURES
from convcg_assets.tables.hard_negatives import HARD_NEGATIVES
from convcg_assets.tables.label_maturity import LABEL_MATURITY
from convcg_assets.tables.linked_engagements import LINKED_ENGAGEMENTS
from convcg_assets.tables.pin_features import PIN_FEATURES
from convcg_assets.tables.raw import RAW_TABLES
from convcg_assets.tables.table import Recipe, Scope, Table
from convcg_assets.tables.training_examples import TRAINING_EXAMPLES
from convcg_assets.tables.user_features import USER_FEATURES
from convcg_assets.tables.user_persons import USER_PERSONS
from convcg_assets.tables.weighted_labels import WEIGHTED_LABELS

_DERIVED = (
    USER_PERSONS,
    ATTRIBUTED_CONVERSIONS,
    ADJUSTED_CONVERSIONS,
    CONVERSION_DELAY,
    LABEL_MATURITY,
    LINKED_ENGAGEMENTS,
    WEIGHTED_LABELS,
    HARD_NEGATIVES,
    DAILY_USER_COUNTS,
    DAILY_PIN_COUNTS,
    DAILY_ACTIONS,
    USER_FEATURES,
    PIN_FEATURES,
    EXAMPLE_FEATURES,
    TRAINING_EXAMPLES,
)
DERIVED: dict[str, Table] = {table.name: table for table in _DERIVED}
"""The tables that are computed from others."""
TABLES: dict[str, Table] = {**RAW_TABLES, **DERIVED}
"""All tables, those of the lake and views of them."""
VIEWS: dict[str, Table] = {name: table for name, table in DERIVED.items() if table.is_view}
"""The tables whose rows are not stored."""
ARTIFACTS: dict[str, Artifact] = {
    artifact.name: artifact
    for artifact in (
        TWO_TOWER_CHECKPOINT,
        PIN_EMBEDDING_INDEX,
        EVALUATION_REPORT,
        SERVING_FEATURES,
        PROMOTION,
        CANDIDATES,
    )
}
"""The folders of a day's model."""
MODEL_TABLES = (TRAINING_EXAMPLES.name, *ARTIFACTS)
"""What a retrain builds for its day, in order."""


def tables_of(source: Source) -> dict[str, Table]:
    """The tables that a deployment of this source has."""
    return {name: table for name, table in TABLES.items() if table.is_there(source)}


def make_recipes(scope: Scope) -> dict[str, Recipe]:
    """The recipe of every derived table and artifact that there is."""
    derived = {name: t for name, t in tables_of(scope.source).items() if name in DERIVED}
    return {name: built.recipe(scope) for name, built in (*derived.items(), *ARTIFACTS.items())}


def table_schema(table: str, id_types: Mapping[str, str]) -> ibis.Schema:
    """Ibis schema of a table of the lake by the source's types of ids.

    >>> table_schema("users", {"user_id": "int64"})["user_id"]
    Int64(nullable=True)
    """
    return TABLES[table].schema(id_types)
