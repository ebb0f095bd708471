"""Which days are stale (not what their recipe would give now), and why.

The level-triggered heart of repair: what a day was built from is compared with what is there now.
Whatever happened in between, in whatever order, or got lost, the comparison finds the days that
differ. What to do about them belongs to `plan.py`.

The scheme is that of a build system with verifying traces and early cutoff (Mokhov, Mitchell and
Peyton Jones, "Build systems a la carte", 2018): a day whose inputs' contents are as recorded is
fresh, even where those inputs were written again.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from convcg_assets.builds.state import State, TableState
from convcg_assets.days import Days
from convcg_assets.lake.delta import NO_FILES
from convcg_assets.lake.ledger import Cells
from convcg_assets.sources.landed import LandedDay, stream_of
from convcg_assets.tables.raw import RAW, REJECTED, RawRecipe
from convcg_assets.tables.registry import ARTIFACTS
from convcg_assets.tables.table import ALL_CELLS, DAY, Recipe

Detail = dict[str, Any]
"""What a day is built from: digest of the settings, and per input the digest of each day used."""


@dataclass(frozen=True)
class StaleDay:
    """A day that differs from what it would be now: `inputs` is the digest of what that is."""

    table: str
    day: dt.date
    inputs: str
    num_built: int
    """How often it had come out of these inputs before."""


@dataclass(frozen=True)
class Staleness:
    """What differs: per table the stale days, and the days of logs that cannot be read yet."""

    stale: dict[str, dict[dt.date, StaleDay]]
    not_ready: dict[dt.date, str]
    logs: Days | None
    """First to newest day with logs in the lake; None before the first."""


def find_stale(
    state: State,
    recipes: Mapping[str, Recipe],
    landed: Mapping[dt.date, LandedDay],
    *,
    raw_recipes: Mapping[str, RawRecipe],
    due: Iterable[dt.date] = (),
    known: "KnownInputs | None" = None,
) -> Staleness:
    """The stale days: what their recipe would give now differs from what they hold.

    `due` are days for which a model ought to be there, whether or not one was asked for before.
    `known` is what an earlier look has worked out.
    """
    known = known or KnownInputs()
    known.update(state, recipes)
    stale: dict[str, dict[dt.date, StaleDay]] = {RAW: {}}
    for day, logs in landed.items():
        inputs_of = known.raw_inputs(raw_recipes, day, logs, held_catalogue(state["pins"], day))
        if logs.missing is None and stale_raw_tables(state, day, inputs_of):
            # What any of the tables comes out of counts as built.
            num_built = sum(state[t].num_built(day, inputs) for t, inputs in inputs_of.items())
            stale[RAW][day] = StaleDay(RAW, day, inputs_of[REJECTED], num_built)
    first_newest = state.log_days()
    logs_in_lake = Days(*first_newest) if first_newest else None
    for table, recipe in recipes.items():
        stale[table] = {}
        if logs_in_lake is None:
            continue
        for day in wanted_days(recipe, state, logs=logs_in_lake, due=due):
            if recipe.is_kept and state[table].key(day) != NO_FILES:
                continue
            inputs = known.inputs(recipe, day, state, newest=logs_in_lake.last)
            if not state[table].is_built_from(day, inputs):
                num_built = state[table].num_built(day, inputs)
                stale[table][day] = StaleDay(table, day, inputs, num_built)
    not_ready = {day: logs.missing for day, logs in landed.items() if logs.missing is not None}
    return Staleness(stale, not_ready, logs_in_lake)


class KnownInputs:
    """Digests of what days would be built from, kept from look to look.

    Those whose inputs have changed since are forgotten, so that a look costs what has changed and
    not the length of the history.
    """

    def __init__(self) -> None:
        self._cells: dict[str, dict[dt.date, Cells]] = {}
        self._inputs: dict[tuple[str, str], dict[dt.date, str]] = {}
        self._raw: dict[dt.date, tuple[Any, dict[str, str]]] = {}
        self.lock = Lock()
        """Held during a look: two at once see one state after the other."""

    def update(self, state: State, recipes: Mapping[str, Recipe]) -> None:
        """Forget what rests on a day that has changed since the last look."""
        changed: dict[str, set[dt.date]] = {}
        for table, found in state.tables.items():
            old = self._cells.get(table, {})
            days = {*old, *found.cells}
            changed[table] = {d for d in days if old.get(d) != found.cells.get(d)}
            self._cells[table] = found.cells
        for recipe in recipes.values():
            kept = self._inputs.get((recipe.table, recipe.settings), {})
            for source in recipe.inputs:
                for upstream in changed[source.table] if kept else ():
                    for day in Days(upstream - source.after * DAY, upstream + source.before * DAY):
                        kept.pop(day, None)
                    if source.holds or source.accumulates:
                        for day in [day for day in kept if day > upstream]:
                            del kept[day]

    def raw_inputs(
        self,
        recipes: Mapping[str, RawRecipe],
        day: dt.date,
        logs: LandedDay,
        catalogue: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Of each raw table the digest of what a day of it is read from."""
        read = (recipes, logs.files, catalogue)
        if day not in self._raw or self._raw[day][0] != read:
            self._raw[day] = (read, raw_inputs(recipes, logs, catalogue))
        return self._raw[day][1]

    def inputs(self, recipe: Recipe, day: dt.date, state: State, *, newest: dt.date) -> str:
        """Digest of what a day would be built from now."""
        if recipe.domain == "models":  # They rest on the newest day as well, and are few.
            return digest_of(detail_of(recipe, day, state, newest=newest))
        kept = self._inputs.setdefault((recipe.table, recipe.settings), {})
        if day not in kept:
            kept[day] = digest_of(detail_of(recipe, day, state, newest=newest))
        return kept[day]


def wanted_days(
    recipe: Recipe, state: State, *, logs: Days, due: Iterable[dt.date]
) -> Iterable[dt.date]:
    """The days that a table ought to have, in order."""
    if recipe.domain == "logs":
        return logs
    if recipe.domain == "knowledge":
        return Days(logs.first + DAY, logs.last + DAY)
    models = state["two_tower_checkpoint"].keys
    if recipe.of_newest:
        models = [max(models)] if models else []
    asked = {*models, *state[recipe.table].keys, *due}
    if recipe.table not in ARTIFACTS:
        # A day that came out empty was asked for as well, and its inputs may change.
        asked |= {day for day, _, _ in state[recipe.table].builds}
    return sorted(day for day in asked if logs.first < day <= logs.last + DAY)


def detail_of(recipe: Recipe, day: dt.date, state: State, *, newest: dt.date) -> Detail:
    """What a day would be built from now; days without rows in the cells used are left out."""
    detail: Detail = {"settings": recipe.settings}
    one = Days(day, day)
    for source in recipe.inputs:
        table, used = state[source.table], {}
        for upstream in state.days_read(source, one):
            bounds = source.cells(day, upstream, newest) if source.cells else ALL_CELLS
            digest = table.digest(upstream, bounds) if bounds else None
            if digest is not None:
                used[upstream.isoformat()] = digest
        detail[source.table] = used
    return detail


def held_catalogue(pins: TableState, day: dt.date) -> dict[str, str]:
    """The digest, by its day, of the older catalogue that holds on a day which has none itself."""
    if pins.key(day) != NO_FILES or (held := pins.newest_before(day)) is None:
        return {}
    digest = pins.digest(held, ALL_CELLS)
    return {held.isoformat(): digest} if digest else {}


def raw_detail(recipe: RawRecipe, logs: LandedDay, catalogue: Mapping[str, str]) -> Detail:
    """What a day of a raw table is read from: the files of its streams, and the held catalogue."""
    files = {f: stamp for f, stamp in logs.files.items() if stream_of(f) in recipe.streams}
    detail: Detail = {"settings": recipe.settings, "landing": files}
    if recipe.asks_catalogue and catalogue:
        detail["pins"] = dict(catalogue)
    return detail


def raw_inputs(
    recipes: Mapping[str, RawRecipe], logs: LandedDay, catalogue: Mapping[str, str]
) -> dict[str, str]:
    """Of each raw table the digest of what a day of it is read from."""
    return {t: digest_of(raw_detail(recipe, logs, catalogue)) for t, recipe in recipes.items()}


def stale_raw_tables(state: State, day: dt.date, inputs_of: Mapping[str, str]) -> set[str]:
    """The raw tables that do not hold what the day's files hold now."""
    return {t for t, inputs in inputs_of.items() if not state[t].is_built_from(day, inputs)}


def digest_of(detail: Detail) -> str:
    """Digest of what a day is built from."""
    return hashlib.sha256(json.dumps(detail).encode()).hexdigest()[:24]


def explain(before: Detail | None, now: Detail) -> str:
    """Why a day differs, in words: what changed between two details.

    >>> explain({"settings": "a", "pins": {"2026-01-01": "x"}}, {"settings": "a", "pins": {}})
    'pins of 2026-01-01 is gone'
    """
    if before is None:
        return "not built yet, or its writer was interrupted"
    reasons = []
    if before["settings"] != now["settings"]:
        reasons.append("the settings changed")
    for table in (t for t in {**before, **now} if t != "settings"):
        old, new = before.get(table, {}), now.get(table, {})
        for verb, keys in (
            ("is new", [k for k in new if k not in old]),
            ("changed", [k for k in new if k in old and old[k] != new[k]]),
            ("is gone", [k for k in old if k not in new]),
        ):
            if keys:
                more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
                reasons.append(f"{table} of {', '.join(sorted(keys)[:3])}{more} {verb}")
    return "; ".join(reasons) or "its files were written again by another build"
