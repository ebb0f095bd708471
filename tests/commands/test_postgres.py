"""A small world with ledger, Dagster and MLflow on Postgres gives what it gives on SQLite.

And the password by which they are opened is nowhere but in the environment.
"""

import json
import shutil
from dataclasses import dataclass, field
from urllib.parse import quote

import dagster as dg
import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.defs.tracking_store import EXPERIMENT, open_client
from convcg_assets.lake.database import open_database
from convcg_assets.lake.digests import digest_days
from convcg_assets.lake.ledger import Ledger
from convcg_assets.tables.registry import TABLES, VIEWS

from ..postgres import PASSWORD, Server
from .conftest import Home

SETTINGS = "examples: {training_days: 4, holdout_days: 2}\n"
WORLD = ("--days", "7", "--last-day", "2026-03-14", "--impressions-per-day", "300")
ONE_EPOCH = '{"two_tower_checkpoint": {"config": {"training": {"epochs": 1}}}}'
STORES = ("CONVCG_LEDGER", "CONVCG_DAGSTER_STORAGE", "MLFLOW_TRACKING_URI")
TRAINED = "candidates"
"""What comes of a model: it may differ between trainings in the last digit of a score."""
pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class Built(Home):
    """A home, and where its stores are if not in it."""

    stores: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | self.stores

    @property
    def ledger_url(self) -> str:
        return self.stores.get("CONVCG_LEDGER", f"sqlite:///{self.home}/ledger.db")

    @property
    def tracking_uri(self) -> str:
        return self.stores.get("MLFLOW_TRACKING_URI", f"sqlite:///{self.home}/mlflow.db")


Pair = tuple[Built, Built]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Pair:
    """The same logs, built on SQLite and on Postgres."""
    folder = tmp_path_factory.mktemp("homes")
    sqlite = Built(folder / "sqlite")
    stores = {name: postgres.create_database() for name in STORES}
    landing = {"CONVCG_LANDING": str(sqlite.home / "landing")}
    other = Built(folder / "postgres", stores | landing)
    sqlite.home.mkdir()
    (sqlite.home / "settings.yaml").write_text(SETTINGS)
    landed = sqlite.convcg("simulate", "land", *WORLD)
    assert landed.returncode == 0, landed.stderr
    other.home.mkdir()
    for name in ("settings.yaml", "source.yaml"):
        shutil.copy(sqlite.home / name, other.home)
    environments = json.dumps([sqlite.environment | landing, other.environment])
    command = ("run", "--no-checks", "--config", ONE_EPOCH)
    built = sqlite.run("-m", "tests.commands.in_turn", environments, *command)
    assert built.returncode == 0, built.stderr
    (other.home / "told.err").write_text(built.stderr)
    return sqlite, other


def test_every_table_holds_the_same(homes: Pair, con: Backend) -> None:
    sqlite, other = ({t: rows_of(home, t, con=con) for t in kept_tables()} for home in homes)
    assert sqlite == other
    assert all(sqlite[table] for table in ("impressions", "weighted_labels", "example_features"))


def kept_tables() -> list[str]:
    return [table for table in TABLES if table not in VIEWS and table != TRAINED]


def rows_of(home: Built, table: str, *, con: Backend) -> object:
    """Digests of a table's rows, by day."""
    version = home.lake.snapshot(table)
    files = [file for of_day in version.files.values() for file in of_day] if version else []
    return digest_days(table, files, con=con)


def test_the_ledgers_know_the_same(homes: Pair) -> None:
    """All but the names of files and the time at which they were written."""
    told = []
    for home in homes:
        facts = Ledger(home.ledger_url).facts(kept_tables())
        contents = {
            (table, day): cells
            for table in facts
            for (day, _), cells in facts[table].contents.items()
        }
        builds = {(table, day, of) for table in facts for day, _, of in facts[table].builds}
        told.append((contents, builds))
        open_database(home.ledger_url).close()
    assert told[0] == told[1]
    assert len(told[0][1]) > 50


def test_dagster_has_the_same_runs_and_materialisations(
    homes: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    for home in homes:
        monkeypatch.setenv("DAGSTER_HOME", str(home.home / "dagster"))
        for name, url in home.stores.items():
            monkeypatch.setenv(name, url)
        with dg.DagsterInstance.get() as instance:
            runs = sorted((run.job_name, run.status.value) for run in instance.get_runs())
            days = {
                key.to_user_string(): instance.get_materialized_partitions(key)
                for key in instance.all_asset_keys()
            }
        told.append((runs, days))
    assert told[0] == told[1]
    assert told[0][1]["evaluation_report"] == {"2026-03-15"}
    assert not (homes[1].home / "dagster" / "history").exists()


def test_mlflow_has_the_same_runs(homes: Pair) -> None:
    told = []
    for home in homes:
        client = open_client(home.tracking_uri)
        runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
        told.append(sorted((r.info.run_name, r.info.status, sorted(r.data.metrics)) for r in runs))
    assert told[0] == told[1]
    assert len(told[0]) >= 2
    assert not (homes[1].home / "mlflow.db").exists()


def test_all_partitions_are_up_to_date(homes: Pair) -> None:
    done = homes[1].convcg("status")
    assert "All partitions are up to date" in done.stdout, done.stderr


def test_the_password_is_kept_nowhere(homes: Pair, postgres: Server) -> None:
    _, home = homes
    secrets = [PASSWORD.encode(), quote(PASSWORD, safe="").encode()]
    files = [file for file in home.home.rglob("*") if file.is_file()]
    assert (home.home / "told.txt") in files
    held = [str(file) for file in files if any(one in file.read_bytes() for one in secrets)]
    assert held == []
    databases = [home.stores[name] for name in STORES]
    kept = [postgres.dump(url.rpartition("/")[2]).encode() for url in databases]
    assert all(len(dump) > 1000 for dump in kept)
    assert not any(one in dump for one in secrets for dump in [*kept, postgres.log().encode()])


def test_a_wrong_password_ends_a_command_with_one_line_that_does_not_tell_it(
    homes: Pair, postgres: Server
) -> None:
    secret = "do-not-tell"
    wrong = postgres.url("store_0", password=secret)
    failed = Built(homes[1].home, homes[1].stores | {"CONVCG_LEDGER": wrong}).convcg("status")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ledger postgresql+psycopg://...@127.0.0.1")
    assert "password authentication failed" in failed.stderr
    assert secret not in failed.stdout + failed.stderr
