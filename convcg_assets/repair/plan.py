"""What to rebuild now: ranges of stale days whose inputs have settled, and why others wait."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from convcg_assets.days import Days
from convcg_assets.ledger import Ledger
from convcg_assets.repair.recipes import DAY, RAW_TABLES, Recipe
from convcg_assets.repair.staleness import RAW, Report, StaleDay
from convcg_assets.repair.state import State

MAX_ATTEMPTS = 3
"""So often the same inputs are tried; then the day is given up until they change."""
MAX_DAYS = 45
"""A longer range is rebuilt in parts, so that it fits one machine."""


class Runs(Protocol):
    """The runs there are: what `plan` needs to know of the orchestrator."""

    def is_active(self, table: str, day: dt.date) -> bool:
        """Whether a run under way, whoever started it, writes that day of that table."""
        ...

    def attempts(self, request_keys: Iterable[str]) -> int:
        """How many of these requests became a run that has ended."""
        ...


@dataclass(frozen=True)
class Request:
    """A range of days of one table to rebuild in one run."""

    table: str
    days: Days
    key: str
    """The same request has the same key: asked twice, it runs once."""
    inputs: Mapping[dt.date, str]


@dataclass
class Plan:
    """What to rebuild now, and of every other stale day why not; by table and day."""

    requests: list[Request] = field(default_factory=list)
    running: dict[str, set[dt.date]] = field(default_factory=dict)
    waiting: dict[str, dict[dt.date, str]] = field(default_factory=dict)
    given_up: dict[str, dict[dt.date, str]] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is under way or to be done."""
        return not self.requests and not any(self.running.values())


def make_plan(
    report: Report,
    state: State,
    recipes: Mapping[str, Recipe],
    *,
    ledger: Ledger,
    runs: Runs,
    max_attempts: int = MAX_ATTEMPTS,
) -> Plan:
    """Requests for the stale days that can be rebuilt now.

    A day waits while an upstream day in its window is about to change, and while one broke a check
    that stops downstream. What was given up or has not landed does not hold up the rest.
    """
    plan = Plan()
    unsettled: dict[str, set[dt.date]] = {}
    for table in report.stale:
        recipe = recipes.get(table)
        moving = _moving(recipe, unsettled) if recipe else {}
        broken = _broken(recipe, state) if recipe else {}
        stale = report.stale[table]
        plan.running[table] = {d for d in _nearby(report, stale) if runs.is_active(table, d)}
        plan.waiting[table], plan.given_up[table] = {}, {}
        ready: dict[dt.date, tuple[StaleDay, int]] = {}
        asked = ledger.requests(table, Days(min(stale), max(stale))) if stale else {}
        for day, wanted in stale.items():
            if day in plan.running[table]:
                continue
            num_attempts = runs.attempts(asked.get((day, wanted.inputs), ()))
            if num_attempts >= max_attempts:
                plan.given_up[table][day] = f"given up after {num_attempts} attempts"
            elif (reason := broken.get(day)) or (reason := moving.get(day)):
                plan.waiting[table][day] = reason
            else:
                ready[day] = (wanted, num_attempts)
        plan.requests += _ranges(table, ready)
        unsettled[table] = {*plan.running[table], *ready, *moving}
    return plan


def _nearby(report: Report, stale: Mapping[dt.date, StaleDay]) -> Iterable[dt.date]:
    """The days that a run under way may be writing: all that there are."""
    known = set(stale)
    if report.logs is not None:
        known |= set(Days(report.logs.first, report.logs.last + DAY))
    return known


def _upstream(recipe: Recipe) -> list[tuple[str, int, int]]:
    """(table as it is built, days before, days after) of each input."""
    return [(RAW if i.table in RAW_TABLES else i.table, i.before, i.after) for i in recipe.inputs]


def _moving(recipe: Recipe, unsettled: Mapping[str, set[dt.date]]) -> dict[dt.date, str]:
    """Days whose inputs are about to change, each with one that is."""
    moving: dict[dt.date, str] = {}
    for table, before, after in _upstream(recipe):
        for upstream in unsettled.get(table, ()):
            for day in Days(upstream - after * DAY, upstream + before * DAY):
                moving.setdefault(day, f"waits for {table} of {upstream}")
    return moving


def _broken(recipe: Recipe, state: State) -> dict[dt.date, str]:
    """Days of whose inputs one broke a check that stops downstream."""
    broken: dict[dt.date, str] = {}
    for source in recipe.inputs:
        for upstream, said in state[source.table].failed.items():
            reason = f"{source.table} of {upstream} broke a check: {said}"
            for day in Days(upstream - source.after * DAY, upstream + source.before * DAY):
                broken.setdefault(day, reason)
    return broken


def _ranges(table: str, ready: Mapping[dt.date, tuple[StaleDay, int]]) -> list[Request]:
    """Contiguous days together; a day that failed before alone, so that it fails alone."""
    groups: list[list[dt.date]] = []
    for day in sorted(ready):
        fresh_start = (
            not groups
            or groups[-1][-1] + DAY != day
            or len(groups[-1]) >= MAX_DAYS
            or ready[day][1] > 0
            or ready[groups[-1][-1]][1] > 0
        )
        if fresh_start:
            groups.append([day])
        else:
            groups[-1].append(day)
    return [_request(table, group, ready) for group in groups]


def _request(
    table: str, group: list[dt.date], ready: Mapping[dt.date, tuple[StaleDay, int]]
) -> Request:
    inputs = {day: ready[day][0].inputs for day in group}
    attempt = ready[group[0]][1] + 1
    text = "\n".join([table, str(attempt), *(f"{day} {digest}" for day, digest in inputs.items())])
    key = hashlib.sha256(text.encode()).hexdigest()[:24]
    return Request(table, Days(group[0], group[-1]), key, inputs)
