"""Dagster's storage by the environment: SQLite where it has always been, or Postgres."""

import logging
import subprocess
import sys
import traceback
from importlib.resources import files
from pathlib import Path

import dagster as dg
import pytest

from convcg_assets.commands.console import Failure
from convcg_assets.commands.instance import open_instance
from convcg_assets.defs.storage import VARIABLE, open_postgres
from convcg_assets.deployment import Deployment

from ..builds.deployment import make_deployment
from ..builds.logs import make_source
from ..environment import environment_of_others
from ..postgres import PASSWORD, Server

PACKAGED = files("convcg_assets") / "defs" / "dagster.yaml"
BEFORE = "telemetry:\n  enabled: false\n"
"""What a release before wrote, which named no storage."""
SECRET = "do-not-tell"


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    for name in ("DAGSTER_HOME", "MLFLOW_TRACKING_URI", VARIABLE):
        monkeypatch.delenv(name, raising=False)
    # Opening sets it, and the test that comes next is to find none.
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    return make_deployment(tmp_path / "home", make_source(tmp_path / "landing"))


def test_runs_of_a_release_before_are_found(deployment: Deployment) -> None:
    written = deployment.home / "dagster" / "dagster.yaml"
    written.parent.mkdir()
    written.write_text(BEFORE)
    with open_instance(deployment) as instance:
        run = instance.add_run(dg.DagsterRun("job"))
    assert written.read_text() == BEFORE
    written.unlink()
    with open_instance(deployment) as instance:
        assert written.read_text() == PACKAGED.read_text()
        assert [found.run_id for found in instance.get_runs()] == [run.run_id]


@pytest.mark.postgres
def test_runs_are_kept_in_postgres(
    deployment: Deployment, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.create_database()
    monkeypatch.setenv(VARIABLE, url)
    with open_instance(deployment) as instance:
        run = instance.add_run(dg.DagsterRun("job"))
        assert PASSWORD not in instance.info_str()
        assert PASSWORD not in instance.get_ref().to_dict().__repr__()
    database = url.rpartition("/")[2]
    assert postgres.sql("SELECT run_id FROM runs", database=database) == run.run_id
    assert not list(deployment.home.rglob("*.db"))


def test_a_file_that_does_not_ask_for_postgres_is_told(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_instance(deployment):
        pass
    (deployment.home / "dagster" / "dagster.yaml").write_text(BEFORE)
    monkeypatch.setenv(VARIABLE, f"postgresql+psycopg://me:{SECRET}@db/dagster")
    with (
        pytest.raises(Failure, match=r"dagster.yaml .* remove that file") as caught,
        open_instance(deployment),
    ):
        pass
    assert SECRET not in str(caught.value)


def test_one_database_for_dagster_and_mlflow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://me:{SECRET}@db/both")
    with pytest.raises(ValueError, match="a database of its own") as caught:
        open_postgres(f"postgresql+psycopg://me:{SECRET}@db/both")
    assert SECRET not in str(caught.value)


@pytest.mark.postgres
def test_a_wrong_password_is_not_told(
    postgres: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dagster_postgres.utils.time.sleep", lambda _seconds: None)
    postgres.create_database()
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(ConnectionError, match="password authentication failed") as caught,
    ):
        open_postgres(postgres.url("store_0", password=SECRET))
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert "Retrying" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.postgres
def test_four_that_open_an_empty_database(postgres: Server) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.defs.at_once", "dagster", postgres.create_database()],
        capture_output=True,
        text=True,
        check=False,
        env=environment_of_others(),
    )
    assert run.returncode == 0, run.stderr
