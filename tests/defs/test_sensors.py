"""Sensors on a fresh home: evaluated again, at once or after a crash, they ask for the same."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..environment import environment_of_others

EVALUATE = """
import json
import dagster as dg
from dagster import DagsterRun, DagsterRunStatus
from convcg_assets.defs.automation import daily_retrain, landed_logs, late_data

def ask(sensor, cursor=None):
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        found = sensor(context)
    runs = [(r.run_key, r.job_name, r.tags) for r in found.run_requests or []]
    said = found.skip_reason.skip_message if found.skip_reason else None
    return {"runs": runs, "said": said, "cursor": found.cursor}

starting = DagsterRunStatus.STARTING
with dg.instance_for_test() as instance:
    first = ask(landed_logs)
    answers = {"first": first, "again": ask(landed_logs, first["cursor"])}
    answers |= {"late": ask(late_data), "retrain": ask(daily_retrain)}
    tags = first["runs"][0][2]
    run = instance.add_run(DagsterRun(first["runs"][0][1], status=starting, tags=tags))
    answers["starts"] = ask(landed_logs)
    instance.report_run_failed(run)
    answers["failed"] = ask(landed_logs)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes were answered that asked the same sensors at once."""
    home = tmp_path_factory.mktemp("home")
    environment = environment_of_others() | {"CONVCG_HOME": str(home)}
    land = ["land", "--into", str(home), "--days", "4", "--impressions-per-day", "200"]
    command = [sys.executable, "-m", "convcg_assets.commands.main", "simulate", *land]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", EVALUATE],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]
    found = []
    for asker in askers:
        out, err = asker.communicate(timeout=120)
        assert asker.returncode == 0, err
        found.append(json.loads(out.splitlines()[-1]))
    return found


def test_landed_logs_asks_for_one_range(answers: list[dict[str, Any]]) -> None:
    ((key, job, tags),) = answers[0]["first"]["runs"]
    assert job == "build_raw_events"
    assert tags["convcg/request"] == key
    first, last = (tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
    assert dt.date.fromisoformat(last) - dt.date.fromisoformat(first) == dt.timedelta(days=3)


def test_asked_again_at_once_or_after_a_crash_it_is_the_same_run(
    answers: list[dict[str, Any]],
) -> None:
    """A crash between the ledger and the run leaves what the second asking finds."""
    asked = [asker[when]["runs"] for asker in answers for when in ("first", "again")]
    keys = {key for runs in asked for key, *_ in runs}
    assert len(keys) == 1


def test_a_run_under_way_is_waited_for_and_a_failed_one_asked_for_anew(
    answers: list[dict[str, Any]],
) -> None:
    assert answers[0]["starts"]["runs"] == []
    failed = answers[0]["failed"]["runs"]
    assert len(failed) == 4, "days that failed together are tried each alone"
    assert answers[0]["first"]["runs"][0][0] not in {key for key, *_ in failed}


def test_what_comes_later_says_what_it_waits_for(answers: list[dict[str, Any]]) -> None:
    assert answers[0]["late"]["runs"] == answers[0]["retrain"]["runs"] == []
    assert "waits for the logs of" in answers[0]["retrain"]["said"]
    assert "landed, but not read yet" in answers[0]["retrain"]["said"]
