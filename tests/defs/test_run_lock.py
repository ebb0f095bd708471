"""A run's lock says whether any of its processes lives, without a clock."""

from pathlib import Path

import pytest

from convcg_assets.defs.run_lock import hold_lock, is_held
from tests.builds.children import hold_until
from tests.forked import forks, start


def test_a_run_without_a_lock(tmp_path: Path) -> None:
    assert not is_held(tmp_path, "run")


def test_held_while_the_process_lives_and_dropped_when_it_is_killed(tmp_path: Path) -> None:
    held, release = forks().Event(), forks().Event()
    process = start(hold_until, tmp_path, "run", held, release)
    assert held.wait(timeout=60)
    assert is_held(tmp_path, "run")
    assert is_held(tmp_path, "run"), "asking does not drop it"
    assert not is_held(tmp_path, "another")
    process.kill()
    process.join(timeout=60)
    assert not is_held(tmp_path, "run")


@pytest.mark.parametrize("first_out", [0, 1])
def test_shared_by_two_processes_until_the_last_lets_go(tmp_path: Path, first_out: int) -> None:
    events = [(forks().Event(), forks().Event()) for _ in range(2)]
    processes = [start(hold_until, tmp_path, "run", *pair) for pair in events]
    assert all(held.wait(timeout=60) for held, _ in events)
    for number, left in ((first_out, True), (1 - first_out, False)):
        assert is_held(tmp_path, "run")
        events[number][1].set()
        processes[number].join(timeout=60)
        assert is_held(tmp_path, "run") is left
    assert [process.exitcode for process in processes] == [0, 0]
    assert not list((tmp_path / "locks").iterdir())


def test_a_process_that_comes_after_another_let_go(tmp_path: Path) -> None:
    with hold_lock(tmp_path, "run"):
        with hold_lock(tmp_path, "run"):
            assert is_held(tmp_path, "run")
        assert is_held(tmp_path, "run")
    assert not is_held(tmp_path, "run")
    with hold_lock(tmp_path, "run"):
        assert is_held(tmp_path, "run")
