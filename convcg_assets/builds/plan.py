"""What to rebuild now: ranges of stale days whose inputs have settled, and why others wait."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from convcg_assets.builds.staleness import StaleDay, Staleness
from convcg_assets.builds.state import State
from convcg_assets.days import Days
from convcg_assets.lake.ledger import Asked, Ledger
from convcg_assets.tables.raw import RAW, RAW_TABLES
from convcg_assets.tables.table import DAY, Input, Recipe

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
    num_built: Mapping[dt.date, int]
    """How often each day came out of those inputs before: attempts are counted from there."""
    is_tried_again: bool = False
    """Whether a day failed before: it may take its process down with it."""

    def record(self, ledger: Ledger) -> None:
        """Tell the ledger that this was asked for."""
        ledger.record_request(self.key, self.table, self.inputs, self.num_built)

    def of_day(self, day: dt.date) -> "Request":
        """The part of a day, as a request of its own."""
        return Request(
            self.table,
            Days(day, day),
            f"{self.key}-{day}",
            {day: self.inputs[day]},
            {day: self.num_built[day]},
        )


@dataclass(frozen=True)
class _Ready:
    """A stale day that can be rebuilt: how often that was tried, with what success."""

    inputs: str
    num_built: int
    num_ended: int
    """Requests that became a run that has ended, successful ones too."""
    num_failed: int
    """Those of them since the day last came out of these inputs."""


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
    staleness: Staleness,
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
    for table in staleness.stale:
        recipe = recipes.get(table)
        stale = staleness.stale[table]
        moving = _moving(recipe, unsettled, state, stale) if recipe else {}
        broken = _broken(recipe, state, stale) if recipe else {}
        plan.running[table] = {d for d in _nearby(staleness, stale) if runs.is_active(table, d)}
        plan.waiting[table], plan.given_up[table] = {}, {}
        ready: dict[dt.date, _Ready] = {}
        asked = ledger.requests(table, Days(min(stale), max(stale))) if stale else {}
        for day, wanted in stale.items():
            if day in plan.running[table]:
                continue
            tried = _tried(wanted, asked.get((day, wanted.inputs), []), runs=runs)
            if tried.num_failed >= max_attempts:
                plan.given_up[table][day] = f"given up after {tried.num_failed} attempts"
            elif (reason := broken.get(day)) or (reason := moving.get(day)):
                plan.waiting[table][day] = reason
            else:
                ready[day] = tried
        plan.requests += _ranges(table, ready)
        unsettled[table] = {*plan.running[table], *ready, *moving}
    return plan


def _nearby(staleness: Staleness, stale: Mapping[dt.date, StaleDay]) -> Iterable[dt.date]:
    """The days that a run under way may be writing: all that there are."""
    known = set(stale)
    if staleness.logs is not None:
        known |= set(Days(staleness.logs.first, staleness.logs.last + DAY))
    return known


def _moving(
    recipe: Recipe,
    unsettled: Mapping[str, set[dt.date]],
    state: State,
    stale: Iterable[dt.date],
) -> dict[dt.date, str]:
    """Days whose inputs are about to change, each with one that is."""
    moving: dict[dt.date, str] = {}
    for source in recipe.inputs:
        table = RAW if source.table in RAW_TABLES else source.table
        for upstream in unsettled.get(table, ()):
            for day in that_read(upstream, source, state, stale):
                moving.setdefault(day, f"waits for {table} of {upstream}")
    return moving


def _broken(recipe: Recipe, state: State, stale: Iterable[dt.date]) -> dict[dt.date, str]:
    """Days of whose inputs one broke a check that stops downstream."""
    broken: dict[dt.date, str] = {}
    for source in recipe.inputs:
        for upstream, said in state[source.table].failed.items():
            reason = f"{source.table} of {upstream} broke a check: {said}"
            for day in that_read(upstream, source, state, stale):
                broken.setdefault(day, reason)
    return broken


def that_read(
    upstream: dt.date, source: Input, state: State, stale: Iterable[dt.date]
) -> Iterator[dt.date]:
    """The days whose window an upstream day is in, and stale ones for which it counts as well."""
    yield from Days(upstream - source.after * DAY, upstream + source.before * DAY)
    if source.holds:
        yield from (day for day in stale if state.held_day(source, day) == upstream)
    if source.accumulates:
        yield from (day for day in stale if upstream <= day + source.after * DAY)


def _tried(wanted: StaleDay, asked: list[Asked], *, runs: Runs) -> _Ready:
    since = [request.key for request in asked if request.num_built == wanted.num_built]
    before = [request.key for request in asked if request.num_built != wanted.num_built]
    num_failed = runs.attempts(since)
    return _Ready(wanted.inputs, wanted.num_built, runs.attempts(before) + num_failed, num_failed)


def _ranges(table: str, ready: Mapping[dt.date, _Ready]) -> list[Request]:
    """Contiguous days together; a day that failed before alone, so that it fails alone."""
    groups: list[list[dt.date]] = []
    for day in sorted(ready):
        fresh_start = (
            not groups
            or groups[-1][-1] + DAY != day
            or len(groups[-1]) >= MAX_DAYS
            or ready[day].num_failed > 0
            or ready[groups[-1][-1]].num_failed > 0
        )
        if fresh_start:
            groups.append([day])
        else:
            groups[-1].append(day)
    return [_request(table, {day: ready[day] for day in group}) for group in groups]


def _request(table: str, group: Mapping[dt.date, _Ready]) -> Request:
    days = sorted(group)
    text = "\n".join(
        [table, *(f"{day} {group[day].inputs} {group[day].num_ended}" for day in days)]
    )
    return Request(
        table,
        Days(days[0], days[-1]),
        hashlib.sha256(text.encode()).hexdigest()[:24],
        {day: group[day].inputs for day in days},
        {day: group[day].num_built for day in days},
        is_tried_again=any(group[day].num_failed > 0 for day in days),
    )
