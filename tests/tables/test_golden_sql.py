"""Code that changes rows shows: the SQL of each version of a table is known."""

import json

import pytest

from convcg_assets.tables.raw import REJECTED
from convcg_assets.tables.registry import TABLES

from .golden_sql import FILE, golden

REMEDY = (
    "its days that were built before would stay as they are: raise `version` in its entry "
    "(in tables/raw.py for raw tables), then run `python -m tests.tables.golden_sql`"
)


@pytest.fixture(scope="module")
def now() -> dict:
    return golden()


@pytest.fixture(scope="module")
def known() -> dict:
    return json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("table", [name for name in TABLES if name != REJECTED])
def test_rows_change_with_the_version_alone(table: str, now: dict, known: dict) -> None:
    assert table in known, f"{table} is new: run `python -m tests.tables.golden_sql`"
    if now[table]["version"] == known[table]["version"]:
        assert now[table]["sql"] == known[table]["sql"], f"{table} has other SQL, and {REMEDY}"
    else:
        assert now[table] == known[table], f"{table}: run `python -m tests.tables.golden_sql`"


def test_no_version_goes_down(now: dict, known: dict) -> None:
    assert all(now[table]["version"] >= known[table]["version"] for table in known)
