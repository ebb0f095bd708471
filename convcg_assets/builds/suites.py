"""Runs a table's Great Expectations suite on a frame, or on days of the lake, and says what failed.

What a suite holds belongs to `suite_content.py`. Great Expectations is imported when a suite runs:
it takes seconds. What Dagster makes of the result belongs to `defs/checks.py`.
"""

import datetime as dt
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

import ibis
import pyarrow as pa
from ibis.backends.duckdb import Backend

from convcg_assets.builds.offending import small_table
from convcg_assets.builds.suite_content import (
    columns_if_logged,
    columns_of,
    id_columns,
    load_suite,
    suite_columns,
)
from convcg_assets.days import Days

if TYPE_CHECKING:
    import pandas as pd

MAX_OFFENDING = 20
"""So many offending rows are shown; all are counted."""
MAX_FRAME_ROWS = 2_000_000
"""So many rows are held in memory at a time."""

Severity = Literal["critical", "warning", "info"]


@dataclass(frozen=True)
class Outcome:
    """What one expectation found: `num_unexpected` of `num_rows` rows, the first of them shown."""

    expectation: str
    type: str
    columns: tuple[str, ...]
    severity: Severity
    success: bool
    num_rows: int
    num_unexpected: int
    offending: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class ValidationResult:
    """What a suite found in `num_rows` rows: an outcome per expectation, in the suite's order."""

    suite: str
    num_rows: int
    outcomes: tuple[Outcome, ...]

    @property
    def success(self) -> bool:
        """Whether every expectation held."""
        return all(outcome.success for outcome in self.outcomes)

    def failures(self, severity: Severity | None = None) -> list[Outcome]:
        """The expectations that did not hold, all or those of a severity."""
        failed = (outcome for outcome in self.outcomes if not outcome.success)
        return [outcome for outcome in failed if severity in (None, outcome.severity)]

    def __str__(self) -> str:
        """Per failed expectation a line, and a small table of the first rows that break it."""
        lines = []
        for failed in self.failures():
            lines.append(self._line(failed))
            lines += small_table(
                failed.offending,
                num_rows=failed.num_unexpected,
                elsewhere=f"`offending` of the outcome holds up to {MAX_OFFENDING}",
            )
        return "\n".join(lines)

    @property
    def summary(self) -> str:
        """One line per failed expectation: what, and how many rows."""
        return "\n".join(map(self._line, self.failures()))

    def _line(self, failed: Outcome) -> str:
        return (
            f"{self.suite}: {failed.severity}: {failed.expectation}: "
            f"{failed.num_unexpected:,} of {failed.num_rows:,} rows break it"
        )


def validate_frame(
    frame: "pd.DataFrame", *, suite: str, id_columns: Sequence[str]
) -> ValidationResult:
    """Run a suite on a frame that holds at least the suite's columns.

    Raises ValueError where an expectation could not be evaluated: a missing column, a wrong type.
    """
    gx = load_gx()
    frame = frame.reset_index(drop=True)
    batch = (
        _context()
        .data_sources.add_or_update_pandas("frames")
        .add_dataframe_asset(suite)
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": frame})
    )
    # Row numbers, not named index columns: GX would build a dict per offending row, 60 us each.
    validated = batch.validate(
        gx.ExpectationSuite(**load_suite(suite)), result_format={"result_format": "COMPLETE"}
    )
    outcomes = {
        outcome.expectation: outcome
        for result in validated.results
        for outcome in [_outcome(result, frame, suite=suite, id_columns=id_columns)]
    }
    described = [e["description"] for e in load_suite(suite)["expectations"]]
    return ValidationResult(suite, len(frame), tuple(outcomes[d] for d in described))


class Readable(Protocol):
    """Where days of tables are read from: a lake, or `Rows` with their views."""

    def read(self, table: str, days: Days, *, con: Backend) -> ibis.Table:
        """The rows of those days."""
        ...

    def days(self, table: str) -> list[dt.date]:
        """Days of which the table holds rows, sorted."""
        ...

    def num_rows(self, table: str, days: Days, *, con: Backend) -> dict[dt.date, int]:
        """Rows per day, zero included."""
        ...


def validate_days(
    lake: Readable, table: str, days: Days, *, con: Backend, max_rows: int = MAX_FRAME_ROWS
) -> ValidationResult:
    """Run a table's suite on days of the lake, about `max_rows` rows at a time."""
    result = None
    for rows in _parts(lake, table, days, con=con, max_rows=max_rows):
        frame = to_frame(con.to_pyarrow(rows.select(suite_columns(table))))
        part = validate_frame(frame, suite=table, id_columns=id_columns(table))
        result = part if result is None else merge(result, part)
    assert result is not None
    never_logged = _never_logged(result, lake, con=con)
    return replace(
        result,
        outcomes=tuple(
            replace(o, success=True, num_unexpected=0, offending=())
            if o.expectation in never_logged
            else o
            for o in result.outcomes
        ),
    )


def _never_logged(result: ValidationResult, lake: Readable, *, con: Backend) -> set[str]:
    """Failed expectations of a column, marked `if_logged`, that no day of the table has a value in.

    A log that never had it is not told so at every build; one that has lost it is.
    """
    marked = columns_if_logged(result.suite)
    failed = [o.expectation for o in result.failures() if o.expectation in marked]
    if not failed:
        return set()
    days = lake.days(result.suite)
    rows = lake.read(result.suite, Days(min(days), max(days)), con=con)
    return {
        expectation
        for expectation in failed
        if con.to_pyarrow(rows[marked[expectation]].count()).as_py() == 0
    }


def merge(one: ValidationResult, other: ValidationResult) -> ValidationResult:
    """The result of two parts of a table together."""
    outcomes = tuple(
        replace(
            a,
            success=a.success and b.success,
            num_rows=a.num_rows + b.num_rows,
            num_unexpected=a.num_unexpected + b.num_unexpected,
            offending=(a.offending + b.offending)[:MAX_OFFENDING],
        )
        for a, b in zip(one.outcomes, other.outcomes, strict=True)
    )
    return ValidationResult(one.suite, one.num_rows + other.num_rows, outcomes)


def _parts(
    lake: Readable, table: str, days: Days, *, con: Backend, max_rows: int
) -> Iterator[ibis.Table]:
    """Whole days together while they fit; a day that does not is split by its rows' id.

    Rows of one id stay together, so that what must be unique within a day is seen together.
    """
    groups: list[Days] = []
    held = 0
    counts = lake.num_rows(table, days, con=con)
    for day, num_rows in counts.items():
        if groups and held + num_rows <= max_rows:
            groups[-1] = Days(groups[-1].first, day)
            held += num_rows
        else:
            groups.append(Days(day, day))
            held = num_rows
    for group in groups:
        rows = lake.read(table, group, con=con)
        num_parts = -(-sum(counts[day] for day in group) // max_rows)
        if num_parts <= 1:
            yield rows
            continue
        number = rows[id_columns(table)[-1]].hash().abs() % num_parts
        for part in range(num_parts):
            yield rows.filter(number == part)


def to_frame(rows: pa.Table) -> "pd.DataFrame":
    """A frame whose integers stay integers beside nulls: large ids are no floats."""
    import pandas as pd

    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return rows.to_pandas(types_mapper=kinds.get, date_as_object=False)


@cache
def load_gx() -> Any:
    """Great Expectations, imported when first needed, without the warnings of its own imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=DeprecationWarning)
        import great_expectations
    return great_expectations


@cache
def _context() -> Any:
    """A context in memory that draws no progress bars and reports nothing to anyone."""
    context = load_gx().get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    return context


def _outcome(
    result: Any, frame: "pd.DataFrame", *, suite: str, id_columns: Sequence[str]
) -> Outcome:
    config, found = result.expectation_config, result.result
    if "unexpected_count" not in found:
        raise ValueError(
            f"{suite}: {config.description!r} could not be evaluated: {result.exception_info}"
        )
    columns = tuple(sorted(columns_of(config.kwargs)))
    shown = [*id_columns, *(c for c in columns if c not in id_columns)]
    rows = frame.loc[found["unexpected_index_list"] or [], shown].sort_values(list(id_columns))
    return Outcome(
        expectation=config.description,
        type=config.type,
        columns=columns,
        severity=config.severity.value,
        success=bool(result.success),
        num_rows=found["element_count"],
        num_unexpected=found["unexpected_count"],
        offending=tuple(_plain(row) for row in rows.head(MAX_OFFENDING).to_dict("records")),
    )


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Values that JSON knows; days as days, nothing as None."""
    import pandas as pd

    plain: dict[str, Any] = {}
    for name, value in row.items():
        if pd.isna(value):
            plain[str(name)] = None
        elif isinstance(value, pd.Timestamp):
            text = value.isoformat(sep=" ")
            plain[str(name)] = text.removesuffix(" 00:00:00")
        else:
            plain[str(name)] = value.item() if hasattr(value, "item") else value
    return plain
