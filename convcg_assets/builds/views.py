"""Views: tables whose rows are not stored but made of their inputs whenever they are read.

A view is always as its inputs are now, so that what a day of it holds is told by the digest of what
it would be built from. A build of the day records that it was looked at as it is; it is stale until
the next where its inputs have changed since.
"""

import datetime as dt
from collections.abc import Iterable

from convcg_assets.builds.staleness import Detail, detail_of, digest_of
from convcg_assets.builds.state import State, TableState, load_state
from convcg_assets.deployment import Deployment
from convcg_assets.lake.digests import NO_CELL
from convcg_assets.lake.ledger import Facts
from convcg_assets.tables.registry import VIEWS
from convcg_assets.tables.table import DAY, Recipe


def load_whole_state(deployment: Deployment, tables: Iterable[str]) -> State:
    """The state of those tables, artifacts and views, and of what the views are made of."""
    wanted = dict.fromkeys(tables)
    recipes = {table: deployment.recipes[table] for table in wanted if table in VIEWS}
    stored = [table for table in wanted if table not in recipes]
    stored += [read.table for recipe in recipes.values() for read in recipe.inputs]
    state = load_state(
        dict.fromkeys(stored),
        lake=deployment.lake,
        ledger=deployment.ledger,
        home=deployment.home,
    )
    facts = deployment.ledger.facts(recipes)
    for table, recipe in recipes.items():
        state.tables[table] = _view_state(recipe, facts[table], state)
    return state


def view_detail(recipe: Recipe, day: dt.date, state: State) -> Detail:
    """What the rows of a day of a view are made of, day by day of each input."""
    return detail_of(recipe, day, state, newest=day - DAY)


def _view_state(recipe: Recipe, facts: Facts, state: State) -> TableState:
    """The days that were looked at before, each as it is now."""
    asked = {day for day, _, _ in facts.builds}
    keys = {day: digest_of(view_detail(recipe, day, state)) for day in asked}
    failed = facts.failed_checks.items()
    broken = {day: said for (day, key), said in failed if keys.get(day) == key}
    cells = {day: {NO_CELL: key} for day, key in keys.items()}
    return TableState(keys, cells, facts.builds, broken)
