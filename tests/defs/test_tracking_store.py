"""MLflow's store on SQLite and Postgres: several may open it first, nobody is told a password."""

import subprocess
import sys
import traceback
from collections.abc import Iterator

import pytest

from convcg_assets.defs.tracking_store import EXPERIMENT, open_client, open_experiment

from ..environment import environment_of_others
from ..postgres import Server
from .at_once import NUM_PROCESSES

SECRET = "do-not-tell"


def forget_engines() -> None:
    """Close what MLflow keeps of stores that it has opened."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for engine in SqlAlchemyStore._engine_map.values():
        engine.dispose()


@pytest.fixture
def tracking_uri(ledger_url: str) -> Iterator[str]:
    """An empty store, where an empty ledger might be as well."""
    yield ledger_url.replace("ledger.db", "mlflow.db")
    forget_engines()


def test_four_that_open_an_empty_store(tracking_uri: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.defs.at_once", "mlflow", tracking_uri],
        capture_output=True,
        text=True,
        check=False,
        env=environment_of_others(),
    )
    assert run.returncode == 0, run.stderr
    client = open_client(tracking_uri)
    experiment = open_experiment(client, tracking_uri=tracking_uri, artifacts="nowhere")
    runs = client.search_runs([experiment])
    assert [run.data.metrics for run in runs] == [{"loss": 1.0}] * NUM_PROCESSES
    assert [e.name for e in client.search_experiments()].count(EXPERIMENT) == 1


@pytest.mark.postgres
def test_a_wrong_password_is_told_at_once_and_without_it(postgres: Server) -> None:
    postgres.create_database()
    with pytest.raises(ConnectionError, match="password authentication failed") as caught:
        open_client(postgres.url("store_0", password=SECRET))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.postgres
def test_a_store_whose_server_restarts_is_found_again(postgres: Server) -> None:
    uri = postgres.create_database()
    client = open_client(uri)
    experiment = open_experiment(client, tracking_uri=uri, artifacts="nowhere")
    postgres.stop()
    postgres.start()
    client.create_run(experiment)
    assert len(client.search_runs([experiment])) == 1
    forget_engines()
