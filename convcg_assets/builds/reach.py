"""How far a repair reaches: the days that differ now, and those that read what it may change.

Which of the latter will differ is known once what they read has been built: a day whose rows come
out as they were ends the way there (early cutoff). So the reach is what a repair builds at most.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from convcg_assets.builds.plan import that_read
from convcg_assets.builds.staleness import (
    held_catalogue,
    raw_inputs,
    stale_raw_tables,
    wanted_days,
)
from convcg_assets.builds.status import Status
from convcg_assets.days import Days
from convcg_assets.lake.delta import NO_FILES
from convcg_assets.tables.raw import RAW, RAW_TABLES, make_raw_recipes
from convcg_assets.tables.table import Recipe

Reached = dict[str, set[dt.date]]


@dataclass(frozen=True)
class Reach:
    """By table the days that a repair builds in any case, and those that may follow."""

    stale: Reached
    may_follow: Reached

    def days(self, table: str) -> set[dt.date]:
        """Both kinds."""
        return self.stale[table] | self.may_follow[table]


def find_reach(found: Status, *, due: Iterable[dt.date] = ()) -> Reach:
    """How far a repair of all that is stale now reaches, if nothing lands meanwhile."""
    staleness, due = found.staleness, list(due)
    stale = {table: set(days) for table, days in staleness.stale.items()}
    may_follow: Reached = {RAW: _raw_that_follow(found)}
    changed = _raw_tables_changed(found, may_follow[RAW])
    logs = _logs_then(found)
    for table, recipe in found.deployment.recipes.items():
        may_follow[table] = set()
        if logs is not None:
            wanted = _wanted(found, recipe, logs, due)
            newly = wanted - _wanted(found, recipe, staleness.logs, due)
            follow = _that_follow(found, recipe, wanted, changed, newest=logs.last)
            may_follow[table] = (follow | newly) - stale[table]
        changed[table] = stale[table] | may_follow[table]
    return Reach(stale, may_follow)


def _logs_then(found: Status) -> Days | None:
    """First to newest day with logs once all that landed has been read."""
    logs, landed = found.staleness.logs, found.staleness.stale[RAW]
    days = [*([logs.first, logs.last] if logs else []), *landed]
    return Days(min(days), max(days)) if days else None


def _raw_tables_changed(found: Status, follow: set[dt.date]) -> Reached:
    """The days of each raw table that are written again."""
    recipes = make_raw_recipes(found.deployment.source)
    changed: Reached = {table: set() for table in RAW_TABLES}
    for day in found.staleness.stale[RAW]:
        catalogue = held_catalogue(found.state["pins"], day)
        inputs_of = raw_inputs(recipes, found.landed[day], catalogue)
        for table in stale_raw_tables(found.state, day, inputs_of):
            changed[table].add(day)
    for table, recipe in recipes.items():
        changed[table] |= follow if recipe.asks_catalogue else set()
    return changed


def _raw_that_follow(found: Status) -> set[dt.date]:
    """Days without a catalogue of their own whose advertisers one that changes may name."""
    recipes = make_raw_recipes(found.deployment.source)
    stale = found.staleness.stale[RAW]
    if not stale or not any(recipe.asks_catalogue for recipe in recipes.values()):
        return set()
    pins = found.state["pins"]
    return {
        day
        for day, logs in found.landed.items()
        if day > min(stale)
        and day not in stale
        and logs.missing is None
        and pins.key(day) == NO_FILES
    }


def _wanted(found: Status, recipe: Recipe, logs: Days | None, due: list[dt.date]) -> set[dt.date]:
    """The days that a table ought to have, those left out that stay as they were built."""
    if logs is None:
        return set()
    days = wanted_days(recipe, found.state, logs=logs, due=due)
    built = found.state[recipe.table]
    return {d for d in days if not (recipe.is_kept and built.key(d) != NO_FILES)}


def _that_follow(
    found: Status, recipe: Recipe, wanted: set[dt.date], changed: Reached, *, newest: dt.date
) -> set[dt.date]:
    """The days that read a day which may change, in cells that they rest on."""
    follow: set[dt.date] = set()
    for source in recipe.inputs:
        for upstream in changed[source.table]:
            readers = set(that_read(upstream, source, found.state, wanted))
            if source.holds:  # Where it comes to hold, it was not the one that held.
                readers |= {day for day in wanted if upstream < day}
            for day in readers & wanted:
                if source.cells is None or source.cells(day, upstream, newest) is not None:
                    follow.add(day)
    return follow
