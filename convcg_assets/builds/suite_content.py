"""What a table's suite holds: rules that follow from its columns, and what a person has judged.

Of a column that is required no value is null, of one with a vocabulary every value is in it, and a
table's key is unique: these are made from its entry in `tables/`. Ranges, shares and what holds for
some rows alone stand in `expectations/<table>.json`. Running a suite belongs to `suites.py`.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from convcg_assets.tables.registry import TABLES
from convcg_assets.tables.table import Table


@cache
def load_suite(table: str) -> dict[str, Any]:
    """A table's whole suite, as Great Expectations reads it. ValueError where there is none."""
    file = files("expectations") / f"{table}.json"
    if table not in TABLES or not file.is_file():
        raise ValueError(f"no suite {table!r} in expectations/; known: {', '.join(TABLES)}")
    judged = json.loads(file.read_text(encoding="utf-8"))
    return {**judged, "expectations": [*_follow(TABLES[table]), *judged["expectations"]]}


def suite_columns(table: str) -> list[str]:
    """The columns that a suite needs, in the table's order: those it speaks of and the ids."""
    named = {*id_columns(table)}
    for expectation in load_suite(table)["expectations"]:
        named |= columns_of(expectation["kwargs"])
    return [column for column in TABLES[table].columns if column in named]


def id_columns(table: str) -> list[str]:
    """The columns by which a failing check names a row."""
    return load_suite(table)["meta"]["id_columns"]


def columns_if_logged(table: str) -> dict[str, str]:
    """By expectation the column of those that hold only for logs which have it at all."""
    return {
        expectation["description"]: expectation["kwargs"]["column"]
        for expectation in load_suite(table)["expectations"]
        if expectation.get("meta", {}).get("if_logged")
    }


def columns_of(kwargs: Mapping[str, Any]) -> set[str]:
    """The columns that an expectation reads, those of its row condition included."""
    named = {kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs}
    named |= set(kwargs.get("column_list", ()))
    condition = kwargs.get("row_condition")
    if condition:
        named.add(condition["column"]["name"])
    return named


def _follow(table: Table) -> list[dict[str, Any]]:
    rules = [
        _rule("expect_column_values_to_not_be_null", f"{name} is never null", column=name)
        for name, column in table.columns.items()
        if column.required
    ]
    rules += [
        _rule(
            "expect_column_values_to_be_in_set",
            f"{name} is one of {', '.join(column.vocabulary)}",
            column=name,
            value_set=list(column.vocabulary),
        )
        for name, column in table.columns.items()
        if column.vocabulary
    ]
    unique = f"no two rows have the same {', '.join(table.key)}"
    rules.append(_rule("expect_compound_columns_to_be_unique", unique, column_list=list(table.key)))
    return rules


def _rule(kind: str, description: str, **kwargs: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "kwargs": kwargs,
        "meta": {},
        "description": description,
        "severity": "critical",
    }
