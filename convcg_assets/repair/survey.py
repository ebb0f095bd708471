"""One look at everything: what there is, what differs, what to do about it. Sensors, checks and the
command line all see the same."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from convcg_assets.clock import today
from convcg_assets.project import Project
from convcg_assets.repair.arrivals import LandedDay, landed_days
from convcg_assets.repair.plan import Plan, Runs, make_plan
from convcg_assets.repair.recipes import RAW_TABLES, REJECTED, make_raw_recipes
from convcg_assets.repair.staleness import (
    RAW,
    KnownInputs,
    Report,
    detail_of,
    explain,
    find_stale,
    raw_detail,
    raw_inputs,
    stale_raw_tables,
)
from convcg_assets.repair.state import State, load_state

_known: dict[str, KnownInputs] = {}
"""By deployment, what the looks of this process have worked out: a look costs what has changed."""


@dataclass(frozen=True)
class Survey:
    """What was found, and when: `today` is the day that is not over yet."""

    project: Project
    today: dt.date
    landed: Mapping[dt.date, LandedDay]
    state: State
    report: Report
    plan: Plan

    def why(self, table: str, day: dt.date) -> str:
        """Why a stale day differs from what it would be now."""
        ledger = self.project.ledger
        if table == RAW:
            recipes, logs = make_raw_recipes(self.project.source), self.landed[day]
            # The table of all streams where it differs, else the first that does.
            stale = stale_raw_tables(self.state, day, raw_inputs(recipes, logs))
            table = REJECTED if REJECTED in stale else min(stale)
            now = raw_detail(recipes[table], logs)
        else:
            assert self.report.logs is not None
            recipe = self.project.recipes[table]
            now = detail_of(recipe, day, self.state, newest=self.report.logs.last)
        before = ledger.build_detail(table, day, self.state[table].key(day))
        return explain(before, now)


def survey(project: Project, *, runs: Runs, due: Iterable[dt.date] = ()) -> Survey:
    """Look at the landing zone, the lake and the ledger; changes nothing.

    `due` are days for which a model ought to be there, whether or not one was asked for before.
    """
    # The landing zone first: what lands in between is seen by the next look.
    landed = landed_days(project.source)
    current = today(project.source, landed)
    landed = {day: logs for day, logs in landed.items() if day < current}
    tables = (*RAW_TABLES, *project.recipes)
    state = load_state(tables, lake=project.lake, ledger=project.ledger, home=project.home)
    known = _known.setdefault(f"{project.lake.root} {project.ledger_url}", KnownInputs())
    with known.lock:
        report = find_stale(
            state,
            project.recipes,
            landed,
            raw_recipes=make_raw_recipes(project.source),
            due=due,
            known=known,
        )
    plan = make_plan(report, state, project.recipes, ledger=project.ledger, runs=runs)
    return Survey(project, current, landed, state, report, plan)
