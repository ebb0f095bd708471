"""What there is of each table, counted: for whoever watches from outside.

Rows and bytes are those that the lake's own log names; no file is opened. How it is told belongs
to `defs/table_metrics.py`.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from convcg_assets.builds.behind import days_behind, newest_day
from convcg_assets.builds.status import Status
from convcg_assets.tables.raw import RAW, RAW_TABLES


@dataclass(frozen=True)
class Measure:
    """One table, or all raw tables together (`raw_events`); None where there is no such figure."""

    table: str
    rows: int | None = None
    bytes: int | None = None
    days: int | None = None
    newest_day: dt.date | None = None
    behind_days: int | None = None
    stale_days: int | None = None
    running_days: int | None = None
    waiting_days: int | None = None
    given_up_days: int | None = None
    refused_days: int | None = None
    """Days that broke a check that stops downstream."""
    built_at: dt.datetime | None = None


def measure(found: Status) -> list[Measure]:
    """Every table that there is, raw ones first.

    Raw tables are read together: what is stale, running or given up is said of `raw_events`.
    """
    built_at = found.deployment.ledger.newest_builds()
    raw = [table for table in RAW_TABLES if table in found.deployment.tables]
    behind = days_behind(found)
    logs = found.staleness.logs
    together = Measure(
        RAW,
        days=None if logs is None else len(logs),
        newest_day=None if logs is None else logs.last,
        behind_days=behind.get(RAW),
        built_at=max((built_at[t] for t in raw if t in built_at), default=None),
        **_to_do(found, RAW),
    )
    return [
        together,
        *(_measure(found, table, built_at=built_at.get(table)) for table in raw),
        *(
            _measure(
                found,
                table,
                built_at=built_at.get(table),
                behind_days=behind.get(table),
                **_to_do(found, table),
            )
            for table in found.deployment.recipes
        ),
    ]


def _measure(
    found: Status,
    table: str,
    *,
    built_at: dt.datetime | None,
    behind_days: int | None = None,
    **to_do: int,
) -> Measure:
    state = found.state[table]
    version = state.version
    return Measure(
        table,
        rows=None if version is None else _sum(version.rows, version.sizes),
        bytes=None if version is None else sum(version.sizes.values()),
        days=len(state.built_days()),
        newest_day=newest_day(found.state, table),
        behind_days=behind_days,
        refused_days=len(state.failed),
        built_at=built_at,
        **to_do,
    )


def _to_do(found: Status, table: str) -> dict[str, int]:
    return {
        "stale_days": len(found.staleness.stale[table]),
        "running_days": len(found.plan.running[table]),
        "waiting_days": len(found.plan.waiting[table]),
        "given_up_days": len(found.plan.given_up[table]),
    }


def _sum(rows: Mapping[str, int], files: Iterable[str]) -> int | None:
    """Rows of files; None where the writer of one did not count them."""
    counted = [rows.get(file) for file in files]
    known = [number for number in counted if number is not None]
    return sum(known) if len(known) == len(counted) else None
