"""The steps from landed logs to a report, as the registry of tables has them, and their days."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.sources.landed import days_with_folders
from convcg_assets.sources.stream import nearest
from convcg_assets.tables.raw import RAW, RAW_TABLES
from convcg_assets.tables.registry import ARTIFACTS, DERIVED
from convcg_assets.tables.settings import Settings
from convcg_assets.tables.table import DAY, Domain


@dataclass(frozen=True)
class Step:
    """What is built in one go: all raw tables, or one table or artifact."""

    name: str
    assets: tuple[str, ...]
    domain: Domain

    def days(self, logs: Days) -> Days:
        """What is built from the logs of some days: days of the logs, days T, or the last day T."""
        model_day = logs.last + DAY
        if self.domain == "logs":
            return logs
        if self.domain == "knowledge":
            return Days(logs.first + DAY, model_day)
        return Days(model_day, model_day)


STEPS = (
    Step(RAW, tuple(RAW_TABLES), "logs"),
    *(Step(name, (name,), table.domain) for name, table in DERIVED.items()),
    *(Step(name, (name,), "models") for name in ARTIFACTS),
)
"""Each after those that it reads."""


def there(steps: Sequence[Step], deployment: Deployment) -> list[Step]:
    """The steps of tables that the deployment has: not every log has what all of them are of."""
    tables = (*deployment.tables, *ARTIFACTS)
    of_tables = [(step, tuple(a for a in step.assets if a in tables)) for step in steps]
    return [replace(step, assets=assets) for step, assets in of_tables if assets]


def raw_assets(deployment: Deployment) -> tuple[str, ...]:
    """The raw tables that the deployment has: they are read together."""
    return there(STEPS[:1], deployment)[0].assets


def choose_steps(names: Collection[str] = ()) -> list[Step]:
    """The steps of those names in their order, all without any; ValueError where none is so."""
    for name in names:
        check_name(name)
    return [step for step in STEPS if not names or step.name in names]


def check_name(name: str) -> None:
    """ValueError, with what is right, where a step is not called so."""
    known = [step.name for step in STEPS]
    if name in known:
        return
    guess = nearest(name, (*known, *RAW_TABLES), cutoff=0.5)
    if guess in RAW_TABLES:
        raise ValueError(f"{guess} is read together with the other raw tables: say {RAW}")
    hint = f"did you mean {guess}?" if guess else f"there are {', '.join(known)}"
    raise ValueError(f"no table or artifact {name!r}; {hint}")


def log_days(deployment: Deployment, *, first: dt.date | None, last: dt.date | None) -> Days:
    """The days of logs to build from; by default from the source's first to the newest landed.

    ValueError where nothing has landed.
    """
    source = deployment.source
    first = first or source.first_day
    last = last or source.last_day or max(days_with_folders(source), default=None)
    if last is None:
        raise ValueError(
            f"nothing has landed below {source.landing} for {deployment.source_file}: land logs "
            "there, name another source file in CONVCG_SOURCE, or run `convcg demo`"
        )
    if last < first:
        raise ValueError(f"the last day of the logs, {last}, lies before the first, {first}")
    return Days(first, last)


def check_length(settings: Settings, logs: Days) -> None:
    """ValueError where the holdout leaves no day to learn from."""
    holdout = settings.examples.holdout_days
    if len(logs) <= holdout:
        raise ValueError(
            f"logs of {logs} are {len(logs)} days, and the last {holdout} of them are the holdout "
            "(examples.holdout_days): nothing is left to learn from. Land more days, or lower it "
            "in the file that CONVCG_SETTINGS names"
        )
