"""An older ledger is brought up to date when it is opened: by one of those who do, and wholly."""

import datetime as dt
import signal

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from convcg_assets.lake import ledger_tables as kept
from convcg_assets.lake.database import open_database
from convcg_assets.lake.ledger import Ledger
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

RELEASE_0_1_0 = [kept.contents, kept.builds, kept.failed_checks, kept.requests]
BEFORE_VERSIONS = [*RELEASE_0_1_0, kept.landed_files]
"""Which tables ledgers had that kept no version: release 0.1.0's, and those of a day before."""
OLD_DIGEST = "old"


def write_old(url: str, tables: list[sa.Table]) -> None:
    """A ledger as a release wrote it that kept no version, with a build and a request."""
    now = dt.datetime(2026, 1, 2)
    this = {"table_name": TABLE, "day": FIRST}
    build = this | {"files_key": "f", "inputs": OLD_DIGEST, "detail": "{}", "built_at": now}
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    kept.metadata.create_all(engine, tables)
    with engine.begin() as connection:
        connection.execute(sa.insert(kept.builds), build | {"times": 7})
        connection.execute(
            sa.insert(kept.contents), this | {"files_key": "f", "cells": '{"":"old"}'}
        )
        connection.execute(
            sa.insert(kept.requests),
            this | {"request_key": "k", "inputs": "i", "num_built": 3, "requested_at": now},
        )


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


def test_migrations_make_the_tables_that_are_written(ledger_url: str) -> None:
    Ledger(ledger_url)
    with open_database(ledger_url).reading.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, kept.metadata) == []


@pytest.mark.parametrize(
    "tables",
    [
        pytest.param(RELEASE_0_1_0, id="0.1.0"),
        pytest.param(BEFORE_VERSIONS, id="before versions"),
    ],
)
def test_an_old_ledger_that_four_open_at_once_keeps_its_facts(
    ledger_url: str, tables: list[sa.Table]
) -> None:
    write_old(ledger_url, tables)
    assert run_at_once(open_at_once, ledger_url) == [0] * NUM_PROCESSES
    assert version(ledger_url) == [NEWEST]
    facts = Ledger(ledger_url).facts([TABLE])[TABLE]
    new = {(FIRST, f"f{number}", "same"): 1 for number in range(NUM_PROCESSES)}
    assert facts.builds == {(FIRST, "f", OLD_DIGEST): 7} | new
    assert facts.contents[FIRST, "f"] == {"": "old"}


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
    assert ledger.facts([TABLE])[TABLE].builds == {(FIRST, "f", OLD_DIGEST): 7}
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
