"""What somebody ought to be told, as of one look at everything.

Whether it was told before, and how it is told, belongs to `defs/alerting.py`. Texts name tables,
days and checks; no value of a row leaves the deployment by them.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from convcg_assets.builds.behind import days_behind, limit_of, newest_day
from convcg_assets.builds.status import Status
from convcg_assets.tables.artifacts import PROMOTION
from convcg_assets.tables.raw import RAW

GIVEN_UP = "days_given_up"
BEHIND = "table_behind"
REFUSED = "check_refused"
NOT_PROMOTED = "promotion_refused"
SHIFTED = "delays_shifted"


@dataclass(frozen=True)
class Kind:
    """One reason to tell somebody: what it is in a few words, and what to do about it."""

    title: str
    remedy: str


KINDS: dict[str, Kind] = {
    GIVEN_UP: Kind(
        "Days were given up after their attempts failed",
        "Open the newest failed run of the table in the UI: it says why. Mend the cause; then land "
        "the day's logs again, or materialize the days by hand. Until then they stay as they were.",
    ),
    BEHIND: Kind(
        "The newest day is older than it may be",
        "`convcg status` says what is missing of the logs and what waits for what. Look whether "
        "yesterday's logs were landed, whether the daemon runs and whether runs are queued.",
    ),
    REFUSED: Kind(
        "A check refused days; what is made of them is not rebuilt",
        "The check's page in the UI shows the rows at fault. Mend the log or the source file; the "
        "days are then read again by themselves.",
    ),
    NOT_PROMOTED: Kind(
        "A model was not promoted; the one in service stays",
        "The day's report says which guard failed. `convcg promote T` asks the guards again; with "
        "`--force --why TEXT` the model serves whatever they say.",
    ),
    SHIFTED: Kind(
        "Advertisers report later or sooner than in the weeks before",
        "The check `delays_as_before` on the page of `conversion_delay` shows both lags. Ask the "
        "advertiser whether it reports otherwise now. Nothing is held up: the curves follow.",
    ),
}


@dataclass(frozen=True)
class Condition:
    """One thing that is not as it ought to be; told once for as long as it lasts."""

    kind: str
    table: str
    said: str
    day: dt.date | None = None
    mark: str = ""
    """Tells it from another of the same day."""
    lasting: dt.timedelta = dt.timedelta()
    """So long it must have lasted before it is told."""

    @property
    def key(self) -> str:
        """The same for the same condition, whoever finds it and however far it has got."""
        text = f"{self.kind}\n{self.table}\n{self.day}\n{self.mark}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_conditions(found: Status) -> list[Condition]:
    """All that a look shows, in the order of the stages."""
    return [*_given_up(found), *_behind(found), *_refused(found), *_not_promoted(found)]


def _given_up(found: Status) -> Iterator[Condition]:
    for table, days in found.plan.given_up.items():
        for day, said in sorted(days.items()):
            # What it was tried from: a day that is given up again, of other logs, is told again.
            yield Condition(GIVEN_UP, table, said, day, found.staleness.stale[table][day].inputs)


def _behind(found: Status) -> Iterator[Condition]:
    for table, behind in days_behind(found).items():
        if behind <= limit_of(found.deployment.recipes.get(table), found):
            continue
        logs = found.staleness.logs
        newest = logs.last if table == RAW and logs else newest_day(found.state, table)
        said = f"{behind} days behind; the newest is {newest or 'none'}"
        hours = found.deployment.settings.alerts.behind_for_hours
        # A history that is being built catches up by itself.
        yield Condition(BEHIND, table, said, lasting=dt.timedelta(hours=hours))


def _refused(found: Status) -> Iterator[Condition]:
    for table in _tables(found):
        for day, said in sorted(found.state[table].failed.items()):
            check = said.partition(":")[0]
            yield Condition(REFUSED, table, check, day, check)


def _tables(found: Status) -> Iterable[str]:
    """Raw tables and all others, each once."""
    return dict.fromkeys([*found.deployment.tables, *found.deployment.recipes])


def _not_promoted(found: Status) -> Iterator[Condition]:
    """The newest decision, if it was a refusal; older ones have been overtaken."""
    newest = max(found.state[PROMOTION.name].keys, default=None)
    if newest is None:
        return
    path = found.deployment.promotions / f"dt={newest}" / PROMOTION.described_in
    decision = json.loads(path.read_text(encoding="utf-8"))
    if not decision["promoted"]:
        said = f"version {decision['version']}: {decision['reason']}"
        day = dt.date.fromisoformat(decision["day"])
        yield Condition(NOT_PROMOTED, "promotion", said, day, decision["model_version"])
