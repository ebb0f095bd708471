"""Events of an instance whose index stays open: read by others, kept when its process is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from convcg_assets.defs.storage import VARIABLE

from .test_storage import PACKAGED

DAY = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")
KEY = dg.AssetKey("labels")


@dg.asset(partitions_def=DAY)
def labels() -> None: ...


def build(instance: dg.DagsterInstance, day: int) -> str:
    return dg.materialize([labels], instance=instance, partition_key=f"2026-01-{day:02}").run_id


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    storage = {"storage": yaml.safe_load(PACKAGED.read_text())["storage"]}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(storage))
    return tmp_path


def databases(home: Path) -> set[str]:
    """What lies in the folder of events, runs as one name."""
    found = (home / "history" / "runs").iterdir()
    return {f.name if f.name.startswith("index") else f"run{f.suffix}" for f in found}


def test_the_index_is_open_as_long_as_the_instance(home: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        run_id = build(instance, 1)
        assert databases(home) == {"index.db", "index.db-wal", "index.db-shm", "run.db"}
        watched = home / "history" / "runs" / f"{run_id}.db"
        before = watched.stat().st_mtime_ns
        instance.report_engine_event("seen by who follows the run", run_id=run_id, job_name="j")
        assert watched.stat().st_mtime_ns > before
    assert databases(home) == {"index.db", "run.db"}


def test_events_are_seen_by_other_instances_at_once(home: Path) -> None:
    with dg.DagsterInstance.get() as one, dg.DagsterInstance.get() as other:
        for day, instance in enumerate((one, other, one), 1):
            build(instance, day)
            days = {f"2026-01-{before:02}" for before in range(1, day + 1)}
            assert one.get_materialized_partitions(KEY) == days
            assert other.get_materialized_partitions(KEY) == days


def test_events_of_a_killed_process_are_there(home: Path) -> None:
    killed = (
        "import os, signal, dagster as dg; from tests.defs.test_sqlite_events import build\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    build(instance, 7)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", killed], env=dict(os.environ), check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with dg.DagsterInstance.get() as instance:
        assert instance.get_materialized_partitions(KEY) == {"2026-01-07"}
        build(instance, 8)
        assert instance.get_materialized_partitions(KEY) == {"2026-01-07", "2026-01-08"}
