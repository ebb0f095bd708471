"""A build killed at any moment leaves whole days, and what differs is found and rebuilt."""

import itertools
import random
import signal
import time
from pathlib import Path

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.deployment import Deployment
from tests.builds.children import OWNERS, converge_once, converge_until_killed
from tests.builds.deployment import converge, look
from tests.builds.tiny import (
    DERIVED,
    NEW_VALUE,
    Held,
    Scratch,
    hold,
    land,
    open_deployment,
    unnoticed,
)
from tests.forked import start


def check_whole(deployment: Deployment, scratch: Scratch, *, before: Held, con: Backend) -> None:
    """Every day is as before or as it ought to be, and what is not yet is known to be stale."""
    held = hold(deployment, con=con)
    for place in held.keys() | scratch.new.keys():
        assert held.get(place) in (before.get(place), scratch.new.get(place)), place
    assert unnoticed(look(deployment), held, scratch.new) == set()


def test_a_build_from_scratch_says_something(scratch: Scratch) -> None:
    tables = {table for table, _ in scratch.new}
    assert tables == {*DERIVED, "impressions", "engagements", "conversions", "pins", "users"}
    differ = {place[0] for place in scratch.new if scratch.old[place] != scratch.new[place]}
    assert differ == {"conversions", "attributed_conversions", "weighted_labels"}


@pytest.mark.parametrize("table_is_new", [True, False])
def test_killed_before_and_after_each_step_of_a_write(
    home: Path, scratch: Scratch, con: Backend, table_is_new: bool
) -> None:
    deployment, before = open_deployment(home), {}
    if not table_is_new:
        converge(deployment, con=con)
        before = scratch.old
    land(home, value=NEW_VALUE)
    num_killed = 0
    # Each process goes on where the one before was killed.
    for num_calls, function, when in itertools.product((2, 3), OWNERS, ("before", "after")):
        process = start(converge_until_killed, home, function, num_calls, when)
        process.join(timeout=60)
        num_killed += process.exitcode == -signal.SIGKILL
        assert process.exitcode in (-signal.SIGKILL, 0)
        check_whole(deployment, scratch, before=before, con=con)
        if process.exitcode == 0:
            break
    assert num_killed >= 5
    converge(deployment, con=con)
    assert hold(deployment, con=con) == scratch.new
    assert look(deployment).plan.is_settled


def test_killed_at_random_moments(any_ledger: Path, scratch: Scratch, con: Backend) -> None:
    home = any_ledger
    deployment, moments = open_deployment(home), random.Random(7)
    converge(deployment, con=con)
    land(home, value=NEW_VALUE)
    for _ in range(5):
        process = start(converge_once, home)
        time.sleep(moments.uniform(0.1, 0.8))
        process.kill()
        process.join(timeout=60)
        check_whole(deployment, scratch, before=scratch.old, con=con)
    converge(deployment, con=con)
    assert hold(deployment, con=con) == scratch.new
