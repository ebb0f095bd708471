"""One look at everything: what there is, what differs, what to do about it. Sensors, checks and the
command line all see the same."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from convcg_assets.builds.copies import as_first_read
from convcg_assets.builds.plan import Plan, Runs, make_plan
from convcg_assets.builds.staleness import (
    KnownInputs,
    Staleness,
    detail_of,
    explain,
    find_stale,
    held_catalogue,
    raw_detail,
    raw_inputs,
    stale_raw_tables,
)
from convcg_assets.builds.state import State
from convcg_assets.builds.views import load_whole_state
from convcg_assets.deployment import Deployment
from convcg_assets.sources.clock import today
from convcg_assets.sources.landed import LandedDay, landed_days
from convcg_assets.tables.raw import RAW, RAW_TABLES, REJECTED, make_raw_recipes
from convcg_assets.tables.registry import VIEWS

_known: dict[str, KnownInputs] = {}
"""By deployment, what the looks of this process have worked out: a look costs what has changed."""


@dataclass(frozen=True)
class Status:
    """What was found, and when: `today` is the day that is not over yet."""

    deployment: Deployment
    today: dt.date
    landed: Mapping[dt.date, LandedDay]
    state: State
    staleness: Staleness
    plan: Plan

    def why(self, table: str, day: dt.date) -> str:
        """Why a stale day differs from what it would be now."""
        ledger = self.deployment.ledger
        if table == RAW:
            recipes, logs = make_raw_recipes(self.deployment.source), self.landed[day]
            catalogue = held_catalogue(self.state["pins"], day)
            # The table of all streams where it differs, else the first that does.
            stale = stale_raw_tables(self.state, day, raw_inputs(recipes, logs, catalogue))
            table = REJECTED if REJECTED in stale else min(stale)
            now = raw_detail(recipes[table], logs, catalogue)
        else:
            assert self.staleness.logs is not None
            recipe = self.deployment.recipes[table]
            now = detail_of(recipe, day, self.state, newest=self.staleness.logs.last)
        # A view has changed with its inputs: what it was when it was last looked at.
        key = None if table in VIEWS else self.state[table].key(day)
        before = ledger.build_detail(table, day, key)
        return explain(before, now)


def read_status(deployment: Deployment, *, runs: Runs, due: Iterable[dt.date] = ()) -> Status:
    """Look at the landing zone, the lake and the ledger; changes no table.

    `due` are days for which a model ought to be there, whether or not one was asked for before.
    """
    # The landing zone first: what lands in between is seen by the next look.
    landed = landed_days(deployment.source)
    current = today(deployment.source, landed)
    landed = {day: logs for day, logs in landed.items() if day < current}
    landed = as_first_read(deployment.source, landed, ledger=deployment.ledger)
    tables = (*RAW_TABLES, *deployment.recipes)
    state = load_whole_state(deployment, tables)
    known = _known.setdefault(f"{deployment.lake.root} {deployment.ledger_url}", KnownInputs())
    with known.lock:
        staleness = find_stale(
            state,
            deployment.recipes,
            landed,
            raw_recipes=make_raw_recipes(deployment.source),
            due=due,
            known=known,
        )
    plan = make_plan(staleness, state, deployment.recipes, ledger=deployment.ledger, runs=runs)
    return Status(deployment, current, landed, state, staleness, plan)
