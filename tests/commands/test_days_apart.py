"""What the sensors ask for after a late file is answered by few processes, each day by its run."""

import json
import subprocess
import sys
from pathlib import Path

from .conftest import Home, copy_of

REPAIR = """
import json, subprocess, sys
import dagster as dg
from convcg_assets.defs.automation import landed_logs, late_data
from convcg_assets.definitions import defs

repository, asked = defs.get_repository_def(), []
with dg.DagsterInstance.get() as instance:
    for _ in range(12):
        for sensor in (landed_logs, late_data):
            with dg.build_sensor_context(instance=instance) as context:
                requests = sensor(context).run_requests or []
            for request in requests:
                asked.append([request.job_name, request.tags])
                if request.job_name == "days_apart":
                    command = [sys.executable, "-m", "dagster", "job", "execute"]
                    command += ["-m", "convcg_assets.definitions", "-j", request.job_name]
                    done = subprocess.run([*command, "--tags", json.dumps(request.tags)])
                    assert done.returncode == 0
                else:
                    job = repository.get_job(request.job_name)
                    assert job.execute_in_process(instance=instance, tags=request.tags).success
        if asked and not requests:
            break
    answered = [
        [run.job_name, run.status.value, run.tags.get("dagster/asset_partition_range_start")]
        for run in instance.get_runs()
        if run.job_name in ("build_weighted_labels", "days_apart")
    ]
print(json.dumps({"asked": asked, "answered": answered}))
"""


def test_label_days_that_lie_apart_are_one_process(deployment: Home, tmp_path: Path) -> None:
    home = copy_of(deployment, tmp_path / "home")
    landed = home.convcg("simulate", "late-file", "--json")
    assert landed.returncode == 0, landed.stderr
    late = json.loads(landed.stdout)

    done = subprocess.run(
        [sys.executable, "-c", REPAIR],
        env=home.environment | {"DAGSTER_HOME": str(home.home / "dagster")},
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    label_days = sorted(late["gained"])
    together = [tags for job, tags in found["asked"] if job == "days_apart"]
    asked = [json.loads(tags["convcg/requests"]) for tags in together]
    of_labels = [one for one in asked if one[0]["table"] == "weighted_labels"]
    assert [[r["first"] for r in one] for one in of_labels] == [label_days], "one process"
    built = sorted(first for job, _, first in found["answered"] if job == "build_weighted_labels")
    assert set(label_days) <= set(built), "a run of its own for each"
    assert {status for _, status, _ in found["answered"]} == {"SUCCESS"}
    assert home.convcg("status").returncode == 0
