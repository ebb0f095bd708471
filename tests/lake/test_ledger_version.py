"""An older ledger is brought up to date when it is opened: by one of those who do, and wholly."""

import signal

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from convcg_assets.days import Days
from convcg_assets.lake import ledger_tables as kept
from convcg_assets.lake.database import open_database
from convcg_assets.lake.ledger import Asked, LandedFile, Ledger
from convcg_assets.lake.ledger_version import MIGRATIONS, NEWEST, VERSION_TABLE

from .processes import (
    FIRST,
    NUM_PROCESSES,
    TABLE,
    exit_codes,
    open_at_once,
    open_until_killed,
    run_at_once,
    start,
)

RELEASE_0_1_0 = [
    """CREATE TABLE builds (
        table_name VARCHAR(64) NOT NULL, day DATE NOT NULL, files_key VARCHAR(64) NOT NULL,
        inputs VARCHAR(64) NOT NULL, detail TEXT NOT NULL, run_id VARCHAR(64),
        built_at TIMESTAMP NOT NULL, times INTEGER NOT NULL,
        PRIMARY KEY (table_name, day, files_key, inputs))""",
    """CREATE TABLE contents (
        table_name VARCHAR(64) NOT NULL, day DATE NOT NULL, files_key VARCHAR(64) NOT NULL,
        cells TEXT NOT NULL, PRIMARY KEY (table_name, day, files_key))""",
    """CREATE TABLE failed_checks (
        table_name VARCHAR(64) NOT NULL, day DATE NOT NULL, files_key VARCHAR(64) NOT NULL,
        check_name VARCHAR(128) NOT NULL, said TEXT NOT NULL,
        PRIMARY KEY (table_name, day, files_key, check_name))""",
    """CREATE TABLE requests (
        request_key VARCHAR(64) NOT NULL, table_name VARCHAR(64) NOT NULL, day DATE NOT NULL,
        inputs VARCHAR(64) NOT NULL, num_built INTEGER NOT NULL, requested_at TIMESTAMP NOT NULL,
        PRIMARY KEY (request_key, table_name, day))""",
    "CREATE INDEX requests_by_inputs ON requests (table_name, day, inputs)",
    f"INSERT INTO contents VALUES ('{TABLE}', '2026-01-01', 'f', '{{\"\":\"old\"}}')",
    f"""INSERT INTO builds VALUES
        ('{TABLE}', '2026-01-01', 'f', 'old', '{{}}', NULL, '2026-01-02 00:00:00.000000', 7)""",
    f"""INSERT INTO requests VALUES
        ('key', '{TABLE}', '2026-01-01', 'old', 3, '2026-01-02 00:00:00.000000')""",
]
"""A ledger as release 0.1.0 wrote it, with a build and a request."""
BEFORE_VERSIONS = [
    *RELEASE_0_1_0,
    """CREATE TABLE landed_files (
        day DATE NOT NULL, file VARCHAR(1024) NOT NULL, stamp VARCHAR(64) NOT NULL,
        digest VARCHAR(64) NOT NULL, seen_at TIMESTAMP NOT NULL,
        PRIMARY KEY (day, file, stamp))""",
    """INSERT INTO landed_files VALUES
        ('2026-01-01', 'a', '1.2', 'd', '2026-01-02 00:00:00.000000')""",
]
"""The same as it was last written without a version."""


def write_old(url: str, statements: list[str]) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            if url.startswith("sqlite"):
                statement = statement.replace("TIMESTAMP", "DATETIME")
            connection.exec_driver_sql(statement)


def version(url: str) -> list[str]:
    with open_database(url).reading.connect() as connection:
        rows = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))
        return [row.version_num for row in rows]


def table_names(url: str) -> set[str]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    return set(sa.inspect(engine).get_table_names())


def test_this_release_knows_the_newest_version() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    assert script.get_heads() == [NEWEST]
    versions = [one.revision for one in script.walk_revisions()]
    assert versions == sorted(versions, reverse=True)


def differences(url: str) -> list[object]:
    """What of a ledger's tables is not as this release writes them."""
    with open_database(url).reading.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, kept.metadata)


def test_migrations_make_the_tables_that_are_written(ledger_url: str) -> None:
    Ledger(ledger_url)
    assert differences(ledger_url) == []


@pytest.mark.parametrize(
    ("written", "files"),
    [
        pytest.param(RELEASE_0_1_0, [], id="0.1.0"),
        pytest.param(BEFORE_VERSIONS, [LandedFile(FIRST, "a", "1.2", "d")], id="before versions"),
    ],
)
def test_an_old_ledger_that_four_open_at_once_keeps_its_facts(
    ledger_url: str, written: list[str], files: list[LandedFile]
) -> None:
    write_old(ledger_url, written)
    assert run_at_once(open_at_once, ledger_url) == [0] * NUM_PROCESSES
    assert version(ledger_url) == [NEWEST]
    assert differences(ledger_url) == []
    ledger = Ledger(ledger_url)
    facts = ledger.facts([TABLE])[TABLE]
    new = {(FIRST, f"f{number}", "same"): 1 for number in range(NUM_PROCESSES)}
    assert facts.builds == {(FIRST, "f", "old"): 7} | new
    assert facts.contents[FIRST, "f"] == {"": "old"}
    asked = ledger.requests(TABLE, Days(FIRST, FIRST))
    assert asked == {(FIRST, "old"): [Asked("key", 3)]}
    assert ledger.landed_files([FIRST]) == files


@pytest.mark.parametrize("num_statements", [1, 2])
def test_one_that_is_killed_while_it_migrates_has_done_nothing(
    ledger_url: str, num_statements: int
) -> None:
    write_old(ledger_url, RELEASE_0_1_0)
    before = table_names(ledger_url)
    killed = start(open_until_killed, ledger_url, num_statements)
    assert exit_codes([killed]) == [-signal.SIGKILL]
    assert table_names(ledger_url) == before
    ledger = Ledger(ledger_url)
    assert version(ledger_url) == [NEWEST]
    assert ledger.facts([TABLE])[TABLE].builds == {(FIRST, "f", "old"): 7}
    assert ledger.landed_files([FIRST]) == []


def test_a_ledger_of_a_newer_release_is_left_as_it_is(ledger_url: str) -> None:
    Ledger(ledger_url)
    with open_database(ledger_url).writing.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '0999'"))
    before = table_names(ledger_url)
    open_database(ledger_url).close()
    open_database.cache_clear()
    with pytest.raises(ValueError, match=r"a newer release .* \(version 0999, .*CONVCG_LEDGER"):
        Ledger(ledger_url)
    assert table_names(ledger_url) == before
    engine = sa.create_engine(ledger_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '{NEWEST}'"))
    Ledger(ledger_url)
