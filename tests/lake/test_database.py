"""Where the ledger is: what cannot be used is told without a password, and a server may restart."""

import traceback
from collections.abc import Iterator
from threading import Timer

import pytest
import sqlalchemy as sa

from convcg_assets.lake import database
from convcg_assets.lake.database import open_database
from convcg_assets.lake.ledger import Ledger

from ..postgres import PASSWORD, Server
from .processes import DAYS, FIRST, TABLE, built

SECRET = "do-not-tell"


def told(url: str) -> str:
    """All that is printed of the error that opening a ledger raises."""
    with pytest.raises((ValueError, ConnectionError)) as caught:
        Ledger(url)
    return "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://me:{}@db/shop", "ledger mysql://...@db/shop: a URL of sqlite:///FILE or"),
        ("postgresql+psycopg://me:{}@db:port/x", "a URL of postgres"),
        ("postgresql+psycopg://me:a/{}@db/shop", "%40 for @"),
        ("postgresql+psycopg://me:{}@b@db/shop", "%40 for @"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_its_password(url: str, said: str) -> None:
    error = told(url.format(SECRET))
    assert said in error
    assert SECRET not in error


@pytest.mark.postgres
def test_a_wrong_password_is_not_told(postgres: Server) -> None:
    postgres.create_database()
    error = told(postgres.url("store_0", password=SECRET))
    assert "password authentication failed" in error
    assert f"@127.0.0.1:{postgres.port}/store_0" in error
    assert SECRET not in error
    assert SECRET not in repr(open_database)


@pytest.mark.postgres
def test_a_database_or_server_that_is_not_there_is_told(postgres: Server) -> None:
    postgres.create_database()
    error = told(postgres.url("nowhere"))
    assert 'database "nowhere" does not exist' in error
    nobody = told(f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/x?password={SECRET}")
    assert "onnection refused" in nobody
    assert SECRET not in nobody


@pytest.fixture
def ledger(postgres: Server) -> Iterator[Ledger]:
    url = postgres.create_database()
    yield Ledger(url)
    open_database(url).close()


@pytest.mark.postgres
def test_a_server_that_restarts_is_waited_for(postgres: Server, ledger: Ledger) -> None:
    ledger.record(TABLE, [built(FIRST, "before", "i")])
    postgres.stop()
    restart = Timer(1.0, postgres.start)
    restart.start()
    ledger.record(TABLE, [built(FIRST, "meanwhile", "i")])
    restart.join()
    known = ledger.facts([TABLE])[TABLE].contents
    assert known.keys() == {(FIRST, "before"), (FIRST, "meanwhile")}


@pytest.mark.postgres
def test_a_server_that_stays_away_is_told(
    postgres: Server, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "RESTART_S", 0.1)
    ledger.record(TABLE, [built(FIRST, "before", "i")])
    postgres.stop()
    with pytest.raises(ConnectionError, match="refused") as caught:
        ledger.record(TABLE, [built(FIRST, "lost", "i")])
    postgres.start()
    ledger.record(TABLE, [built(FIRST, "after", "i")])
    assert PASSWORD not in str(caught.value)
    assert ledger.facts([TABLE])[TABLE].contents.keys() == {(FIRST, "before"), (FIRST, "after")}


@pytest.mark.postgres
def test_a_connection_that_breaks_while_it_writes_leaves_nothing(
    postgres: Server, ledger: Ledger
) -> None:
    engine = ledger._database.writing

    left = [1]

    def end(connection: sa.Connection, *_rest: object) -> None:
        if left and left.pop():
            process = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            postgres.sql(f"SELECT pg_terminate_backend({process}, 5000)")

    sa.event.listen(engine, "begin", end)
    with pytest.raises(ConnectionError, match="terminat"):
        ledger.record(TABLE, [built(day, "f", "i") for day in DAYS])
    assert ledger.facts([TABLE])[TABLE].contents == {}
    ledger.record(TABLE, [built(day, "f", "i") for day in DAYS])
    assert len(ledger.facts([TABLE])[TABLE].contents) == len(DAYS)
