"""A deployment in a folder whose windows are short, and what its lake holds."""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.builds.rows import Rows, ranges
from convcg_assets.builds.status import Status, read_status
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import Lake
from convcg_assets.lake.engine import select_files
from convcg_assets.sources.source import Source
from convcg_assets.tables.raw import RAW
from convcg_assets.tables.registry import TABLES, VIEWS
from convcg_assets.tables.settings import Settings
from convcg_assets.tables.table import DAY

SETTINGS = Settings.model_validate(
    {
        "attribution": {
            "click_window_days": 1,
            "engagement_window_days": 1,
            "view_window_days": 1,
            "dedup_window_hours": 24,
            "max_reporting_lag_days": 2,
        },
        "adjustments": {"max_days": 2},
        "delay": {"estimation_days": 2, "cadence_days": 14, "min_weekly": 2, "maturity_days": 2}
        | {"shift_days": 2, "advertiser_kappa": 1, "segment_kappa": 1},
        "negatives": {"sample_rate": 0.7, "max_per_user_day": 2},
        "features": {"max_recent_actions": 3, "active_days": 2},
        "examples": {"training_days": 2, "holdout_days": 1},
    }
)
DERIVED = (
    "attributed_conversions",
    "conversion_delay",
    "label_maturity",
    "linked_engagements",
    "weighted_labels",
    "hard_negatives",
    "daily_user_counts",
    "daily_pin_counts",
    "daily_actions",
    "user_features",
    "pin_features",
    "example_features",
)
"""Tables that have all days, each after those that it reads; of logs that adjust
nothing and merge nobody."""
MAX_ROUNDS = 12


def derived_of(deployment: Deployment) -> list[str]:
    """The tables of a deployment that have all days, each after those that it reads."""
    every = (*DERIVED, "adjusted_conversions", "user_persons")
    return [table for table in deployment.recipes if table in every]


class Idle:
    """Runs of an orchestrator in which nothing is under way and nothing has failed."""

    def is_active(self, table: str, day: dt.date) -> bool:
        return False

    def attempts(self, request_keys: Iterable[str]) -> int:
        return 0


def make_deployment(home: Path, source: Source, settings: Settings = SETTINGS) -> Deployment:
    home.mkdir(parents=True, exist_ok=True)
    return Deployment(
        source=source,
        source_file=home / "source.yaml",
        settings=settings,
        home=home,
        lake=Lake(str(home / "lake"), source.id_types),
        tracking_uri=f"sqlite:///{home / 'mlflow.db'}",
        ledger_url=f"sqlite:///{home / 'ledger.db'}",
    )


def look(deployment: Deployment) -> Status:
    return read_status(deployment, runs=Idle())


def converge(
    deployment: Deployment, *, con: Backend, max_rounds: int = MAX_ROUNDS
) -> dict[str, list[dt.date]]:
    """Answer all requests until there are none; the days that were built, by table."""
    built: dict[str, list[dt.date]] = {}
    for _ in range(max_rounds):
        found = look(deployment)
        if not found.plan.requests:
            assert not any(found.staleness.stale.values()), found.staleness.stale
            return built
        for request in found.plan.requests:
            built.setdefault(request.table, []).extend(request.days)
            build_table(deployment, request.table, request.days, con=con)
    raise AssertionError(f"no end after {max_rounds} rounds: {found.plan.requests}")


def build_once(
    deployment: Deployment, landed: list[dt.date], *, con: Backend, models: Iterable[dt.date] = ()
) -> None:
    """From scratch: all logs, then each table over all its days, in the order of the recipes."""
    for days in ranges(landed):
        build_table(deployment, RAW, days, con=con)
    logs = Days(landed[0], landed[-1])
    known = Days(logs.first + DAY, logs.last + DAY)
    for table in derived_of(deployment):
        domain = deployment.recipes[table].domain
        build_table(deployment, table, logs if domain == "logs" else known, con=con)
    for days in ranges(sorted(models)):
        build_table(deployment, "training_examples", days, con=con)


def contents(
    deployment: Deployment, *, con: Backend, tables: Iterable[str] = TABLES
) -> dict[str, list[str]]:
    """All rows of tables, in an order that depends on nothing but them."""
    return {table: _rows(deployment, table, con=con) for table in tables}


def _rows(deployment: Deployment, table: str, *, con: Backend) -> list[str]:
    rows = Rows(deployment)
    days = rows.days(table) if table in deployment.tables else []
    if not days:
        return []
    if table in VIEWS:
        return sorted(
            row
            for part in ranges(days)
            for row in sorted_rows(table, rows.read(table, part, con=con).get_name(), con=con)
        )
    held = deployment.lake.held(table, days, version=deployment.lake.snapshot(table))
    return sorted_rows(table, f"({select_files(held)})", con=con)


def sorted_rows(table: str, relation: str, *, con: Backend) -> list[str]:
    """The rows of a relation that has a table's columns, in an order that depends on them alone."""
    columns = ", ".join(TABLES[table].columns)
    found = con.con.execute(f"SELECT {columns} FROM {relation}").fetchall()
    return sorted(map(repr, found))


def tables_of_day(day: dt.date, rows: list[str]) -> list[str]:
    """Of rows whose first column is `dt` those of a day."""
    return [row for row in rows if row.startswith(f"({day!r},")]
