"""Checks that look at a whole table: is the newest day there, was a day given up.

Checks of what a run wrote belong to `checks.py`.
"""

import dagster as dg

from convcg_assets.builds.behind import expected_day
from convcg_assets.builds.state import load_state
from convcg_assets.builds.status import Status, read_status
from convcg_assets.defs.jobs import GIVEN_UP_CHECK, NEWEST_DAY_CHECK, WATCHED
from convcg_assets.defs.resources import Warehouse
from convcg_assets.defs.runs import InstanceRuns
from convcg_assets.deployment import Deployment
from convcg_assets.sources.clock import today
from convcg_assets.tables.raw import RAW, RAW_TABLES


def given_up_evaluation(found: Status, table: str) -> dg.AssetCheckEvaluation:
    """Whether every day of a table was repaired that could be; the same for sensors and people."""
    days = found.plan.given_up[RAW if table in RAW_TABLES else table]
    listed = "; ".join(f"{day}: {said}" for day, said in sorted(days.items())[:20])
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(table),
        check_name=GIVEN_UP_CHECK,
        passed=not days,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"given_up_days": len(days)},
        description=listed or "no day was given up",
    )


def _given_up_check(table: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table,
        name=GIVEN_UP_CHECK,
        description="No day failed so often on the same input that it was given up.",
    )
    def check(context: dg.AssetCheckExecutionContext, warehouse: Warehouse) -> dg.AssetCheckResult:
        runs = InstanceRuns(
            context.instance, home=warehouse.deployment.home, own_run_id=context.run.run_id
        )
        found = given_up_evaluation(read_status(warehouse.deployment, runs=runs), table)
        return dg.AssetCheckResult(
            passed=found.passed,
            severity=found.severity,
            metadata=found.metadata,
            description=found.description,
        )

    return check


@dg.asset_check(
    asset="conversions",
    name=NEWEST_DAY_CHECK,
    description="The newest day of the logs is yesterday: a repair of an old day says nothing of "
    "the newest.",
)
def newest_day_check(warehouse: Warehouse) -> dg.AssetCheckResult:
    """Whether the newest day of the logs is yesterday."""
    return newest_day_result(warehouse.deployment)


def newest_day_result(deployment: Deployment) -> dg.AssetCheckResult:
    """Whether the newest day that the lake has read is yesterday, or the last of a log that ended.

    A day without rows has been read as well.
    """
    expected = expected_day(deployment.source, today=today(deployment.source))
    state = load_state(
        RAW_TABLES, lake=deployment.lake, ledger=deployment.ledger, home=deployment.home
    )
    newest = max(state.log_days(), default=None)
    return dg.AssetCheckResult(
        passed=newest is not None and newest >= expected,
        description=f"newest day {newest}, expected {expected}",
        metadata={"newest_day": str(newest), "expected": str(expected)},
    )


watch_checks: list[dg.AssetChecksDefinition] = [
    *(_given_up_check(table) for check, table in sorted(WATCHED) if check == GIVEN_UP_CHECK),
    newest_day_check,
]
