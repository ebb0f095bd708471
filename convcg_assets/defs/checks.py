"""Asset checks: each table's suite, and what tables must agree on. A failed ERROR stops downstream.

What columns may hold, and what tables must agree on, stands in the tables' entries and in
`expectations/`; here it becomes checks of the run's days.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import dagster as dg
import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.builds.suites import MAX_OFFENDING, ValidationResult, validate_days
from convcg_assets.days import Days
from convcg_assets.defs.partitions import daily_partitions, run_days
from convcg_assets.defs.raw_events import FAILED_DAYS
from convcg_assets.defs.resources import Warehouse
from convcg_assets.deployment import current_deployment
from convcg_assets.tables.raw import REJECTED
from convcg_assets.tables.table import Check, Inputs, Table

EVERY_DAY_READ = "every_day_read"


def suite_check(table: str) -> dg.AssetChecksDefinition:
    """The blocking check of a table: its Great Expectations suite on the run's days."""
    name = "expectations"

    @_blocking_check(
        table,
        name=name,
        description=f"The suite `expectations/{table}.json`: what each column may hold.",
    )
    def check(context: dg.AssetCheckExecutionContext, warehouse: Warehouse) -> dg.AssetCheckResult:
        def validate(days: Days) -> dg.AssetCheckResult:
            with warehouse.connect() as con:
                result = validate_days(warehouse.rows, table, days, con=con)
            severe = bool(result.failures("critical"))
            return dg.AssetCheckResult(
                passed=result.success,
                severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
                description=result.summary or f"{len(result.outcomes)} expectations hold",
                metadata=_suite_metadata(result),
            )

        return _evaluate(context, warehouse, table, name, validate)

    return check


def cross_check(table: Table, spec: Check) -> dg.AssetChecksDefinition:
    """The blocking check that no rows break what tables agree on."""

    @_blocking_check(table.name, name=spec.name, description=spec.description)
    def check(context: dg.AssetCheckExecutionContext, warehouse: Warehouse) -> dg.AssetCheckResult:
        def compare(days: Days) -> dg.AssetCheckResult:
            result = None
            with warehouse.connect() as con:
                read = partial(warehouse.read, con=con)
                inputs = Inputs(table.name, None, days, warehouse.deployment.scope, read)
                if spec.error is not None:
                    rows = spec.error(inputs)
                    result = _fail(rows, con=con, severity=dg.AssetCheckSeverity.ERROR)
                if result is None and spec.warning is not None:
                    rows = spec.warning(inputs)
                    result = _fail(rows, con=con, severity=dg.AssetCheckSeverity.WARN)
            return result or dg.AssetCheckResult(passed=True, metadata={"offending_rows": 0})

        return _evaluate(context, warehouse, table.name, spec.name, compare)

    return check


def every_day_read_check() -> dg.AssetChecksDefinition:
    """The check that every day of the run could be read; the days that could are not held up."""

    @_blocking_check(
        REJECTED,
        name=EVERY_DAY_READ,
        description="Every day of the run could be read. The tables hold of a day that could not "
        "what they held before; it is read once its files are mended.",
    )
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        event = context.instance.get_latest_materialization_event(dg.AssetKey(REJECTED))
        is_own = event is not None and event.run_id == context.run.run_id
        found = event.asset_materialization if event is not None and is_own else None
        value = found.metadata.get(FAILED_DAYS) if found is not None else None
        failed = cast(dict[str, str], value.value) if value is not None else {}
        listed = "; ".join(f"{day}: {why}" for day, why in failed.items())
        return dg.AssetCheckResult(
            passed=not failed,
            severity=dg.AssetCheckSeverity.ERROR,
            description=listed or "every day could be read",
            metadata={"failed_days": len(failed)},
        )

    return check


def _evaluate(
    context: dg.AssetCheckExecutionContext,
    warehouse: Warehouse,
    asset: str,
    name: str,
    check: Callable[[Days], dg.AssetCheckResult],
) -> dg.AssetCheckResult:
    """The check's result on the run's days; the days that fail it hold up what lies downstream.

    Of a range each day is looked at by itself once the whole has failed.
    """
    days = run_days(context)
    keys = warehouse.rows.keys(asset, days)
    result = check(days)
    if result.passed:
        _pass_each_day(context, asset, name)
    elif result.severity == dg.AssetCheckSeverity.ERROR:
        alone = {day: check(Days(day, day)) for day in days} if len(days) > 1 else {}
        failed = {d: r for d, r in alone.items() if _stops(r)} or dict.fromkeys(days, result)
        said = {day: (keys[day], str(r.description)) for day, r in failed.items()}
        warehouse.deployment.ledger.record_failed_check(asset, name, said)
    return result


def _stops(result: dg.AssetCheckResult) -> bool:
    return not result.passed and result.severity == dg.AssetCheckSeverity.ERROR


def _blocking_check(
    asset: str, *, name: str, description: str
) -> Callable[[Callable[..., dg.AssetCheckResult]], dg.AssetChecksDefinition]:
    def decorate(check: Callable[..., dg.AssetCheckResult]) -> dg.AssetChecksDefinition:
        with warnings.catch_warnings():
            # Partitioned checks are in preview in this pinned release, and are tested here.
            warnings.simplefilter("ignore", category=dg.PreviewWarning)
            return dg.asset_check(
                asset=asset,
                name=name,
                description=description,
                blocking=True,
                partitions_def=daily_partitions,
            )(check)

    return decorate


def _pass_each_day(context: dg.AssetCheckExecutionContext, asset: str, name: str) -> None:
    """Tell each day of a range that its check passed: a range run's own result names no day."""
    days = run_days(context)
    if len(days) == 1:
        return
    for day in days:
        passed = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(asset),
            check_name=name,
            passed=True,
            blocking=True,
            partition=str(day),
        )
        # The method takes check evaluations; its annotation does not say so in this release.
        context.op_execution_context.log_event(cast(Any, passed))


def _fail(
    rows: ibis.Table, *, con: Backend, severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult | None:
    """The failed check of the offending rows; None where there are none."""
    num_rows = con.to_pyarrow(rows.count()).as_py()
    if num_rows == 0:
        return None
    first = rows.order_by(rows.columns[:2]).limit(MAX_OFFENDING)
    shown = con.to_pyarrow(first).to_pylist()
    return dg.AssetCheckResult(
        passed=False,
        severity=severity,
        description=f"{num_rows:,} rows break it, such as {_words(shown[0])}",
        metadata={"offending_rows": num_rows, "offending": _table(shown)},
    )


def _suite_metadata(result: ValidationResult) -> dict[str, dg.MetadataValue]:
    summary = [
        {
            "expectation": o.expectation,
            "holds": "yes" if o.success else f"no: {o.severity}",
            "unexpected_rows": o.num_unexpected,
        }
        for o in result.outcomes
    ]
    return {
        "rows": dg.MetadataValue.int(result.num_rows),
        "expectations": _table(summary),
        **{f"offending: {o.expectation}": _table(o.offending) for o in result.failures()},
    }


def _words(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)


def _table(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    """Rows as a table of the UI, which knows text and numbers."""
    plain = (str, int, float, bool, type(None))
    return dg.MetadataValue.table(
        [
            dg.TableRecord({k: v if isinstance(v, plain) else str(v) for k, v in row.items()})
            for row in rows
        ]
    )


table_checks: list[dg.AssetChecksDefinition] = [
    *(suite_check(table) for table in current_deployment().tables),
    *(
        cross_check(table, spec)
        for table in current_deployment().tables.values()
        for spec in table.checks
    ),
    every_day_read_check(),
]
