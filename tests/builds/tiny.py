"""A tiny deployment whose logs change, and what its tables ought to hold."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ibis.backends.duckdb import Backend

from convcg_assets.builds.status import Status
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import Lake
from convcg_assets.sources.source import Source
from convcg_assets.tables.raw import RAW, RAW_TABLES
from convcg_assets.tables.registry import make_recipes
from convcg_assets.tables.settings import AttributionSettings, Settings
from convcg_assets.tables.table import DAY, Recipe

from .deployment import make_deployment

FIRST = dt.date(2026, 1, 1)
NUM_DAYS = 2
LAST = FIRST + (NUM_DAYS - 1) * DAY
LEDGER_URL = "ledger.url"
DERIVED = ("attributed_conversions", "conversion_delay", "linked_engagements", "weighted_labels")
SETTINGS = Settings(
    attribution=AttributionSettings(
        click_window_days=1,
        engagement_window_days=1,
        view_window_days=1,
        max_reporting_lag_days=2,
    )
)
Held = dict[tuple[str, dt.date], list[str]]
"""The rows of each day of each table, as sorted texts."""


OLD_VALUE, NEW_VALUE = 20.0, 80.0
"""Of the conversions in the logs as they landed first, and as they are landed again."""


@dataclass(frozen=True)
class Scratch:
    """What the tables hold when they are built once from the old or the new logs."""

    old: Held
    new: Held


class Tiny(Deployment):
    """A deployment with few derived tables."""

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        made = make_recipes(self.scope)
        return {table: made[table] for table in DERIVED}


def open_deployment(home: Path) -> Deployment:
    """The deployment in a folder, the same in every process; a file may say where its ledger is."""
    named = home / LEDGER_URL
    source = Source(
        name="tiny",
        first_day=FIRST,
        last_day=FIRST + (NUM_DAYS - 1) * DAY,
        landing=home / "landing",
        streams={"impressions": {}, "engagements": {}, "conversions": {}},  # type: ignore[arg-type]
    )
    return Tiny(
        source=source,
        source_file=home / "source.yaml",
        settings=SETTINGS,
        home=home,
        lake=Lake(str(home / "lake"), source.id_types),
        tracking_uri="",
        ledger_url=named.read_text() if named.exists() else f"sqlite:///{home / 'ledger.db'}",
    )


def make_whole(home: Path) -> Deployment:
    """The same logs and settings, landed, with all derived tables."""
    land(home, value=OLD_VALUE)
    tiny = open_deployment(home)
    return make_deployment(home, tiny.source, tiny.settings)


def land(home: Path, *, value: float) -> None:
    """Logs of every day; conversions of `value`, the first day's arriving late as well."""
    for offset in range(NUM_DAYS):
        day = FIRST + offset * DAY
        users = [f"u{user}" for user in range(4)]
        write(home, "impressions", day, "impression_id,user_id,pin_id,impression_ts,surface")(
            f"i{offset}{u},{u},p1,{day} 10:00:00,homefeed" for u in users
        )
        write(
            home,
            "engagements",
            day,
            "engagement_id,impression_id,user_id,pin_id,engagement_ts,engagement_type,duration_s",
        )(f"e{offset}{u},i{offset}{u},{u},p1,{day} 10:01:00,click,20" for u in users[:2])
        land_conversions(home, day, value=value)


def land_conversions(home: Path, day: dt.date, *, value: float) -> None:
    """One day's conversions: one of that day, one of the day before, of that value."""
    write(home, "conversions", day, "conversion_id,user_id,pin_id,event_ts,event_name,value")(
        f"c{day}{number},u{number},p1,{day - number * DAY} 11:00:00,checkout,{value}"
        for number in range(2)
        if day - number * DAY >= FIRST
    )


def write(home: Path, stream: str, day: dt.date, header: str):
    """Writes the rows of a stream's day: a new file is put in the place of the old one."""

    def rows(lines: Iterable[str]) -> None:
        folder = home / "landing" / stream / f"dt={day}"
        folder.mkdir(parents=True, exist_ok=True)
        new = home / f"{stream}.new"
        new.write_text("\n".join([header, *lines, ""]))
        new.replace(folder / "a.csv")

    return rows


def hold(deployment: Deployment, *, con: Backend) -> Held:
    """All rows there are."""
    held: Held = {}
    everything = Days(FIRST - 9 * DAY, FIRST + 99 * DAY)
    for table in (*RAW_TABLES, *deployment.recipes):
        if not deployment.lake.exists(table):
            continue
        rows: list[dict[str, Any]] = con.to_pyarrow(
            deployment.lake.read(table, everything, con=con)
        ).to_pylist()
        for row in rows:
            held.setdefault((table, row["dt"]), []).append(repr(row))
    return {place: sorted(texts) for place, texts in held.items()}


def unnoticed(found: Status, held: Held, wanted: Held) -> set[tuple[str, dt.date]]:
    """Days with other rows than wanted although neither they nor what they rest on is stale."""
    suspect: dict[str, set[dt.date]] = {t: set(found.staleness.stale[RAW]) for t in RAW_TABLES}
    for table, recipe in found.deployment.recipes.items():
        suspect[table] = set(found.staleness.stale[table])
        for source in recipe.inputs:
            for day in suspect[source.table]:
                suspect[table] |= set(Days(day - source.after * DAY, day + source.before * DAY))
    different = {p for p in held.keys() | wanted.keys() if held.get(p) != wanted.get(p)}
    logs = found.staleness.logs
    if logs is None:  # Nothing is complete yet: everything is still to be built.
        return set()
    return {(table, day) for table, day in different if day not in suspect[table]}
