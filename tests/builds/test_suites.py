"""Every suite belongs to its table, sound rows pass it, and every expectation of it can fail."""

import json

import pyarrow as pa
import pytest

from convcg_assets.builds.suite_content import id_columns, load_suite, suite_columns
from convcg_assets.builds.suites import load_gx, to_frame, validate_frame
from convcg_assets.sources.columns import ID_KINDS
from convcg_assets.tables.registry import TABLES, table_schema

from .suite_rows import ALSO_SOUND, FAULTS, RARELY, SOUND, UNTOUCHED

INT_IDS: dict[str, str] = dict.fromkeys(ID_KINDS, "int64")


def planted_faults(table: str) -> dict[str, dict]:
    """For each expectation a change of a sound row that breaks it; none for repeated rows."""
    faults = dict(FAULTS[table])
    for expectation in load_suite(table)["expectations"]:
        what, kwargs = expectation["description"], expectation["kwargs"]
        if expectation["type"] == "expect_column_values_to_not_be_null":
            faults.setdefault(what, {kwargs["column"]: None})
        elif expectation["type"] == "expect_column_values_to_be_null":
            values = {"status": "no_touch"} | UNTOUCHED
            values[kwargs["column"]] = SOUND[table].get(kwargs["column"])
            faults.setdefault(what, values)
        elif kwargs.get("column", "").startswith(("num_", "conversion_value")):
            faults.setdefault(what, {kwargs["column"]: -1})
        elif " is one of " in what:
            faults.setdefault(what, {kwargs["column"]: "something else"})
        elif expectation["type"] == "expect_compound_columns_to_be_unique":
            faults[what] = {}
    return faults


def frame_of(table: str, rows: list[dict]):
    schema = table_schema(table, INT_IDS).to_pyarrow()
    return to_frame(pa.Table.from_pylist(rows, schema=schema).select(suite_columns(table)))


@pytest.mark.parametrize("table", TABLES)
def test_every_expectation_can_fail_and_names_the_row(table):
    key = id_columns(table)[-1]
    if key == "evidence_id":
        key = "impression_id"
    if table == "attributed_conversions":
        key = "conversion_id"
    as_id = str if TABLES[table].columns[key].type == "string" else int
    faults = planted_faults(table)
    sound = [SOUND[table] | change for change in ({}, *ALSO_SOUND.get(table, []))]
    # Enough sound rows that what must hold for nearly all rows depends on the planted one alone.
    rows = [row | {key: as_id(1000 + i)} for i, row in enumerate(sound * 10)]
    planted = {}
    for number, (what, change) in enumerate(faults.items(), 1):
        row = SOUND[table] | {key: as_id(number)} | change
        planted[what] = row[key]
        rows += [row] if change else [row, row]
    result = validate_frame(frame_of(table, rows), suite=table, id_columns=["dt", key])
    failed = {o.expectation: {row[key] for row in o.offending} for o in result.failures()}
    assert set(failed) == {o.expectation for o in result.outcomes} - RARELY
    for what, bad in planted.items():
        if what not in RARELY:
            assert bad in failed[what], what
    assert not {i for bad in failed.values() for i in bad if i and int(i) >= 1000}
    passed = validate_frame(frame_of(table, rows[: len(sound) * 10]), suite=table, id_columns=[key])
    assert passed.success, str(passed)


def test_shares():
    rows = [SOUND["conversions"] | {"conversion_id": i, "user_id": None} for i in range(100)]
    nameless = validate_frame(
        frame_of("conversions", rows), suite="conversions", id_columns=["conversion_id"]
    )
    assert [o.expectation for o in nameless.failures("warning")] == list(RARELY)
    assert not nameless.failures("critical")


@pytest.mark.parametrize("table", TABLES)
def test_suite_is_what_gx_writes_of_it(table):
    suite = load_suite(table)
    written = load_gx().ExpectationSuite(**json.loads(json.dumps(suite))).to_json_dict()
    assert written == suite
    assert suite["name"] == table


@pytest.mark.parametrize("table", TABLES)
def test_suite_knows_its_table(table):
    suite = load_suite(table)
    assert set(suite_columns(table)) <= set(TABLES[table].columns)
    assert id_columns(table)[0] == "dt"
    described = [e["description"] for e in suite["expectations"]]
    assert len(set(described)) == len(described)
    for expectation in suite["expectations"]:
        assert expectation["severity"] in ("critical", "warning")
        if expectation["type"] == "expect_compound_columns_to_be_unique":
            # Large days are split by this column: equal rows must stay together.
            assert id_columns(table)[-1] in expectation["kwargs"]["column_list"]


@pytest.mark.parametrize("table", TABLES)
def test_an_empty_table_passes(table):
    assert validate_frame(frame_of(table, []), suite=table, id_columns=["dt"]).success
