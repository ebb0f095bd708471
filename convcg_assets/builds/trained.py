"""What a model was trained on: its examples, by the versions of tables that it recorded."""

import datetime as dt
import json
from typing import Any

import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import EXAMPLES
from convcg_assets.builds.rows import read_days
from convcg_assets.builds.state import State, TableState
from convcg_assets.builds.views import load_whole_state, view_detail
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment


def provenance_of(deployment: Deployment, day: dt.date) -> dict[str, Any]:
    """What the model of a day recorded of its making."""
    described = deployment.models / f"dt={day}" / "model.json"
    return json.loads(described.read_text(encoding="utf-8")).get("provenance", {})


def trained_examples(deployment: Deployment, day: dt.date, *, con: Backend) -> ibis.Table | None:
    """The examples of T as the model of that day saw them; None where it does not say enough.

    They are made by the settings of now (`made_alike` says whether those are the model's). What is
    read of old versions may be gone, which shows when the rows are asked for; where the days that
    it learned from hold now what they held then, they are read as they are now.
    """
    recorded, recipe = provenance_of(deployment, day), deployment.recipes[EXAMPLES]
    state = load_whole_state(deployment, [EXAMPLES])
    if recorded.get("examples") != view_detail(recipe, day, state):
        versions = recorded.get("table_versions", {})
        if versions.get("weighted_labels") is None:
            return None
        tables = [source.table for source in recipe.inputs]
        state = State({table: _as_of(deployment, table, versions.get(table)) for table in tables})
    return read_days(deployment, EXAMPLES, Days(day, day), state=state, con=con)


def made_alike(deployment: Deployment, day: dt.date) -> bool:
    """Whether the model's examples were made by the settings and the code of now."""
    recorded = provenance_of(deployment, day).get("examples", {})
    return recorded.get("settings") == deployment.recipes[EXAMPLES].settings


def _as_of(deployment: Deployment, table: str, version: int | None) -> TableState:
    snapshot = None if version is None else deployment.lake.snapshot(table, version=version)
    return TableState({}, {}, {}, version=snapshot)
