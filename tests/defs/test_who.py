"""Who decided something is told, also by a container whose user has no name."""

import subprocess
import sys

import pytest

from convcg_assets.defs.registry import who

from ..environment import environment_of_others


def test_a_name_that_is_given_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVCG_USER", "on call")
    assert who() == "on call"


def test_a_user_without_a_name_is_told_by_number() -> None:
    environment = environment_of_others()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        environment.pop(name, None)
    asked = "import os, pwd; pwd.getpwuid = lambda uid: {}[uid]\n"
    asked += "from convcg_assets.defs.registry import who; print(who(), os.getuid())"
    done = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told, number = done.stdout.rsplit(maxsplit=1)
    assert told == f"user {number}"
