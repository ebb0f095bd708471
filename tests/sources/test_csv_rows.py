"""The rows of CSV text, against a machine that reads it character by character."""

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convcg_assets.sources import csv_records, file_rows, text_file
from convcg_assets.sources.csv_records import BACKSLASH, CsvForm
from convcg_assets.sources.csv_text import csv_rows, scan_csv
from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.files import inspect_file
from convcg_assets.sources.stream import Stream

from .oracle_csv import Row, read_lines, read_whole

DAY = dt.date(2026, 1, 2)
SOME = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SIGNS = st.text(st.sampled_from('x,,""\n\n\r\\'), max_size=40)
FIELDS = st.sampled_from(["", "x", '"x"', '""', '"x,y"', '"x""y"', '"x', 'x"', '"x" y', '"x\\"y"'])
LINES = st.lists(FIELDS, min_size=2, max_size=4).map(",".join)
TEXTS = st.one_of(SIGNS, st.lists(LINES, max_size=8).map("\n".join))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of a few bytes: rows lie across their borders."""
    monkeypatch.setattr(text_file, "BLOCK_BYTES", 11)
    monkeypatch.setattr(csv_records, "_SMALL_BYTES", 5)
    monkeypatch.setattr(file_rows, "_SMALL_BYTES", file_rows._SMALL_BYTES)


def write(folder: Path, rows: str) -> Path:
    """A file of a header and rows, without a line of which only a carriage return ends."""
    path = folder / "a.csv"
    path.write_bytes(("a,b,c\n" + rows).encode())
    return path


def read(path: Path, **keys: object) -> list[Row]:
    """The rows as they are read, each its fields or why it has none."""
    form = CsvForm.of(Stream.model_validate(keys))
    scanned = scan_csv(path, form)
    rows: list[Row] = []
    for batch in csv_rows(path, form, scanned.columns):
        for found in batch.to_pylist():
            assert found["_row"] == len(rows) + 1
            assert (found["_line"] is None) == (found["_defect"] is None)
            fields = [found[f"c{i}"] or "" for i in range(len(scanned.columns))]
            rows.append(found["_defect"] or fields)
    assert len(rows) == scanned.num_rows
    return rows


def without_hint(rows: list[Row], lines: list[Row]) -> list[Row]:
    """Rows in which a quote after a backslash is told as any other."""
    assert len(rows) == len(lines)
    return [line if row == BACKSLASH else row for row, line in zip(rows, lines, strict=True)]


@SOME
@given(rows=TEXTS)
def test_a_line_is_a_row_where_values_hold_no_line_breaks(tmp_path, rows):
    lines = read_lines(rows, num_fields=3)
    assert without_hint(read(write(tmp_path, rows), line_breaks=False), lines) == lines


@SOME
@given(rows=TEXTS)
def test_with_line_breaks_a_row_is_read_whole_or_the_file_refused(tmp_path, rows):
    whole = read_whole(rows, num_fields=3)
    path = write(tmp_path, rows)
    if whole is None:
        with pytest.raises(LandingError, match=r"line \d+: a quoted value is not closed"):
            read(path, line_breaks=True)
    else:
        assert without_hint(read(path, line_breaks=True), whole) == whole


@SOME
@given(rows=TEXTS)
def test_of_its_own_accord_nothing_is_taken_for_certain_that_is_not(tmp_path, rows):
    lines, whole = read_lines(rows, num_fields=3), read_whole(rows, num_fields=3)
    try:
        found = read(write(tmp_path, rows))
    except LandingError:
        assert "unclosed quote" in lines
        return
    if "unclosed quote" not in lines:
        assert without_hint(found, lines) == lines
    broken = [row for row in found if isinstance(row, list) and any("\n" in f for f in row)]
    if not broken:
        assert without_hint(found, lines) == lines
    for row in broken:  # Never as many delimiters as the rows of as many lines would have.
        values = [field for field in row if "\n" in field]
        breaks = sum(field.count("\n") for field in values)
        assert sum(field.count(",") for field in values) < 2 * breaks
    assert whole is None or len(found) >= len(whole)


@SOME
@given(rows=TEXTS)
def test_an_escape_that_is_set(tmp_path, rows):
    lines = read_lines(rows, escape="\\", num_fields=3)
    assert read(write(tmp_path, rows), line_breaks=False, escape="\\") == lines


@SOME
@given(rows=SIGNS)
def test_without_quotes_no_sign_means_anything(tmp_path, rows):
    lines = read_lines(rows, quote="\0", escape="\0", num_fields=3)
    assert read(write(tmp_path, rows), quote="") == lines


@settings(parent=SOME, max_examples=30)
@given(
    lines=st.lists(
        st.lists(
            st.sampled_from(["", "x", '"x"', '""', '"x,y"', '"x""y"', "ü", " x ", "\t", "NULL"]),
            min_size=3,
            max_size=3,
        ).map(",".join),
        max_size=6,
    ),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_the_engine_reads_plain_files_as_we_do(tmp_path, con, lines, end):
    path = tmp_path / "a.csv"
    path.write_bytes(end.join(["a,b,c", *lines]).encode())
    options = Stream()
    file = inspect_file(path, day=DAY, options=options)
    assert file.is_plain
    read_by = []
    for small in (-1, 10**9):
        file_rows._SMALL_BYTES = small
        sql = file_rows.rows_sql([file], None, options, con=con)
        read_by.append(con.con.execute(f"SELECT a, b, c, _row FROM ({sql}) ORDER BY _row"))
        read_by[-1] = read_by[-1].fetchall()
    assert read_by[0] == read_by[1]
    assert len(read_by[0]) == file.num_rows
