"""Whatever happens to a deployment, in whatever order: sequences drawn from a seed.

Days land late or again, builds are started by hand, are killed, race each other, conversions are
taken back, people are forgotten; at the end the lake must hold what tables made from scratch hold.
"""

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.builds.forget import rewrite_raw
from convcg_assets.builds.forgotten import remember_forgotten
from convcg_assets.builds.reach import find_reach
from convcg_assets.builds.rows import Rows
from convcg_assets.builds.state import load_state
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import Lake
from convcg_assets.lake.ledger import Ledger
from convcg_assets.sources.files import LandingError
from convcg_assets.tables.raw import RAW, RAW_TABLES
from convcg_assets.tables.table import DAY

from .deployment import contents, converge, derived_of, look, make_deployment
from .logs import FIRST_DAY, NUM_USERS, Landing, make_source
from .scratch import scratch_contents

NUM_DAYS = 4
NUM_ACTIONS = (2, 6)
NUM_FILES = 4
"""Test files that share the sequences, so that all workers have some."""


class Killed(Exception):
    """A process that ended in the middle of a build."""


def seeds(part: int) -> range:
    """The seeds of one of the test files."""
    wanted = int(os.environ.get("CONVCG_SEQUENCES", "200"))
    first = int(os.environ.get("CONVCG_SEED", "0"))
    return range(first + part, first + wanted, NUM_FILES)


def check_any_order(seed: int, folder: Path, *, con: Backend) -> None:
    """Live through the sequence of a seed, then compare with tables from scratch."""
    lived = Sequence(seed, folder, con=con)
    lived.live()
    reach = find_reach(look(lived.deployment))
    built = converge(lived.deployment, con=con)
    for table, days in built.items():
        unnamed = set(days) - reach.days(table)
        assert not unnamed, f"seed {seed}, {table} {unnamed}, after\n" + "\n".join(lived.log)
    unbuilt = {table: days - set(built.get(table, ())) for table, days in reach.stale.items()}
    assert not any(unbuilt.values()), f"seed {seed}, {unbuilt}, after\n" + "\n".join(lived.log)
    models = lived.models | set(Rows(lived.deployment).days("training_examples"))
    expected = scratch_contents(
        lived.deployment, lived.landing.days, models, forgotten=lived.forgotten, con=con
    )
    found = contents(lived.deployment, con=con)
    for table, rows in expected.items():
        assert found[table] == rows, f"seed {seed}, {table}, after\n" + "\n".join(lived.log)


class Sequence:
    """One deployment and what happens to it; `log` says what did."""

    def __init__(self, seed: int, folder: Path, *, con: Backend):
        self.rng = Random(seed)
        self.con = con
        number = seed // NUM_FILES
        more = {"adjusts": number % 2 == 1, "merges": number % 4 >= 2}
        self.landing = Landing(folder / "landing", self.rng, **more)
        self.deployment: Deployment = make_deployment(
            folder / "home", make_source(self.landing.root, **more)
        )
        self.models: set[dt.date] = set()
        """Days T whose training examples were built by hand: they are kept up to date."""
        self.log: list[str] = []
        self.forgotten: set[int] = set()
        """People who have asked to be forgotten."""
        self.asks = seed // NUM_FILES % 3 == 2
        """Whether there is one who asks."""

    def live(self) -> None:
        for offset in self.rng.sample(range(NUM_DAYS), self.rng.randint(1, NUM_DAYS)):
            self._land(offset)
        actions = (
            *((self.land, self.change, self.tick, self.tick, self.backfill) * 2),
            *(self.kill, self.kill, self.race, self.race, self.train),
            *((self.forget,) * 3 if self.asks else ()),
        )
        for _ in range(self.rng.randint(*NUM_ACTIONS)):
            self.rng.choice(actions)()
        if self.rng.random() < 0.5:
            for offset in range(NUM_DAYS):
                self._land(offset)
        if not self.models:
            converge(self.deployment, con=self.con)
            self.train()
            self.change()

    def land(self) -> None:
        self._land(self.rng.randrange(NUM_DAYS))

    def change(self) -> None:
        """A day that has landed gets a late file, is corrected, cut or only written again."""
        day, landing = self.rng.choice(self.landing.days), self.landing
        kinds = ("conversions", "conversions", "impressions", "engagements")
        kinds += landing.more * 4
        kind = self.rng.choice(kinds)
        changes: tuple[tuple[str, Callable[[], None]], ...] = (
            (f"late {kind}", lambda: landing.add_late_file(kind, day)),
            ("correct", lambda: landing.correct(day)),
            ("shorten", lambda: landing.shorten(day)),
            ("touch", lambda: landing.touch(day)),
        )
        name, act = self.rng.choice(changes)
        self.log.append(f"{name} {day}")
        act()

    def tick(self) -> None:
        """Some of what the survey asks for is built; the rest is lost."""
        requests = look(self.deployment).plan.requests
        chosen = [r for r in requests if self.rng.random() < 0.8]
        for request in chosen[: self.rng.randint(1, 6)]:
            self.build(request.table, request.days)

    def backfill(self) -> None:
        """Days of a table by hand, whether its inputs are there or not."""
        self.build(*self._some_build())

    def train(self) -> None:
        """Training examples of a day T by hand: from now on they follow what they rest on."""
        logs = self._logs()
        if logs is not None:
            model = self.rng.choice(list(Days(logs.first + DAY, logs.last + DAY)))
            self.build("training_examples", Days(model, model))
            self.models.add(model)

    def kill(self) -> None:
        """A build ends before a write, or between a write and its record."""
        table, days = self._some_build()
        self.log.append("kill")

        def end() -> None:
            raise Killed

        with self._interrupted(table, end):
            self.build(table, days)

    def race(self) -> None:
        """While a build is under way logs change and others build the same days."""
        table, days = self._some_build()
        self.log.append("race")

        def others() -> None:
            self.change()
            self.build(RAW, self._landed_range())
            if table != RAW:
                self.build(table, days)

        with self._interrupted(table, others):
            self.build(table, days)
        self.log.append("race over")

    def forget(self) -> None:
        """Somebody asks to be forgotten; some of their rows may not have landed yet."""
        user = self.rng.randrange(NUM_USERS)
        self.log.append(f"forget {user}")
        self.forgotten.add(user)
        people = remember_forgotten(self.deployment.home, [user]).only([user])
        rewrite_raw(self.deployment, people, con=self.con)

    def build(self, table: str, days: Days) -> None:
        """Build days; a process that is killed or cannot read its logs leaves what it did."""
        self.log.append(f"build {table} {days}")
        try:
            build_table(self.deployment, table, days, con=self.con)
        except (Killed, LandingError) as error:
            self.log.append(f"  {type(error).__name__} {error}")

    def _land(self, offset: int) -> None:
        if FIRST_DAY + offset * DAY not in self.landing.days:
            self.log.append(f"land {offset}")
            self.landing.land(offset)

    def _some_build(self) -> tuple[str, Days]:
        table, logs = self.rng.choice((RAW, RAW, *derived_of(self.deployment))), self._logs()
        if table == RAW or logs is None:
            return RAW, self._landed_range()
        if self.deployment.recipes[table].domain == "knowledge":
            logs = Days(logs.first + DAY, logs.last + DAY)
        ends = sorted(self.rng.choices(list(logs), k=2))
        return table, Days(*ends)

    def _landed_range(self) -> Days:
        """Days that have all landed."""
        first = self.rng.choice(self.landing.days)
        last = first
        while last + DAY in self.landing.days and self.rng.random() < 0.6:
            last += DAY
        return Days(first, last)

    def _logs(self) -> Days | None:
        state = load_state(
            RAW_TABLES,
            lake=self.deployment.lake,
            ledger=self.deployment.ledger,
            home=self.deployment.home,
        )
        logs = state.log_days()
        return Days(*logs) if logs else None

    @contextmanager
    def _interrupted(self, table: str, act: Callable[[], None]) -> Iterator[None]:
        """`act` once, before one of the writes or records of a build."""
        owner, name = self.rng.choice(((Lake, "replace"), (Ledger, "record")))
        calls_left = self.rng.randrange(6) if table == RAW else 0
        real = getattr(owner, name)

        def interrupted(*args: Any, **given: Any) -> Any:
            nonlocal calls_left
            calls_left -= 1
            if calls_left == -1:
                self.log.append(f"  at {name}")
                act()
            return real(*args, **given)

        with patch.object(owner, name, interrupted):
            yield
