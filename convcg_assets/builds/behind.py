"""How far the newest day of each table is behind what it ought to be.

Logs are held against yesterday, tables against the logs: where a landing stops, one table is
behind, and not all that are made of it.
"""

import datetime as dt

from convcg_assets.builds.state import State
from convcg_assets.builds.status import Status
from convcg_assets.sources.source import Source
from convcg_assets.tables.raw import RAW
from convcg_assets.tables.table import DAY, Recipe


def expected_day(source: Source, *, today: dt.date) -> dt.date:
    """The newest day that the logs ought to have: yesterday, or the last of a log that ended."""
    yesterday = today - DAY
    return yesterday if source.last_day is None else min(yesterday, source.last_day)


def days_behind(found: Status) -> dict[str, int]:
    """Of the raw logs and each derived table the days that it lacks at its end.

    A table that is not wanted is left out: all before the first logs, models before the first one.
    """
    logs = found.staleness.logs
    if logs is None:
        return {}
    expected = expected_day(found.deployment.source, today=found.today)
    behind = {RAW: _whole_days(expected - logs.last)}
    for table, recipe in found.deployment.recipes.items():
        newest = newest_day(found.state, table)
        if newest is None and recipe.domain == "models":
            continue
        wanted_first = logs.first if recipe.domain == "logs" else logs.first + DAY
        wanted_last = logs.last if recipe.domain == "logs" else logs.last + DAY
        behind[table] = _whole_days(wanted_last - (newest or wanted_first - DAY))
    return behind


def limit_of(recipe: Recipe | None, found: Status) -> int:
    """How many days a table may be behind before somebody is told; None are the raw logs."""
    limits = found.deployment.settings.alerts
    is_model = recipe is not None and recipe.domain == "models"
    return limits.max_model_days_behind if is_model else limits.max_days_behind


def newest_day(state: State, table: str) -> dt.date | None:
    """The newest day that was built, with or without rows."""
    return max(state[table].built_days(), default=None)


def _whole_days(late: dt.timedelta) -> int:
    return max(late.days, 0)
