"""What labels are made of: the impression, its evidence, and the touches that it was credited by.

Everything is a row of a table, and nothing is computed again. Which landed files the rows came from
belongs to `raw_files.py`, what a model knows of them to `learned.py`.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import ibis
from ibis import _
from ibis.backends.duckdb import Backend

from convcg_assets.builds.rows import read_days
from convcg_assets.builds.staleness import detail_of, digest_of, explain
from convcg_assets.builds.state import State
from convcg_assets.builds.views import load_whole_state
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.sources.columns import ADJUSTMENTS, MERGES
from convcg_assets.tables.raw import RAW_TABLES
from convcg_assets.tables.standing import ADJUSTED
from convcg_assets.tables.table import DAY
from convcg_assets.tables.touches import first_impressions
from convcg_assets.tables.user_persons import PERSONS

LABELS, NEGATIVES, ATTRIBUTED = "weighted_labels", "hard_negatives", "attributed_conversions"
ADJUSTMENT = ("dt", "adjustment_id", "adjustment_type", "adjustment_ts", "adjustment_dt", "value")
"""What an adjustment says of a conversion, once for all its touches."""
Row = dict[str, Any]
Id = int | str
Place = tuple[str, dt.date]
"""A day of a raw table."""


@dataclass(frozen=True)
class Label:
    """A row of `weighted_labels`, and the rows that it is made of.

    Of a conversion `touches` have the credit, with the engagement that each was, and `adjustments`
    began or ended the row. `reported` is what the evidence says of itself: the `value` and the
    `user_id` of a conversion, the `duration_s` of an engagement. `places` are the raw days that all
    this arrived on, the impression's left out.
    """

    row: Row
    reported: Row
    touches: list[Row] = field(default_factory=list)
    adjustments: list[Row] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)


@dataclass(frozen=True)
class Explained:
    """An impression, its labels, and its row of `hard_negatives` if it is one.

    `others` are labels of it that were not asked about. `is_label_day` is whether labels are made
    of its day at all; `stale` says why they are not what the tables give that they are made of.
    """

    impression: Row
    labels: list[Label]
    others: list[Row]
    negative: Row | None
    is_label_day: bool
    stale: str | None

    @property
    def places(self) -> list[Place]:
        """The days of raw tables that the impression and its labels arrived on, in order."""
        found = {("impressions", self.impression["dt"])}
        found |= {place for label in self.labels for place in label.places}
        order = list(RAW_TABLES)
        return sorted(found, key=lambda place: (order.index(place[0]), place[1]))


@dataclass(frozen=True)
class Report:
    """A conversion as it arrived on a day: its rows of `attributed_conversions`, one per touch.

    `adjustments` are those that changed how it stands, in their order.
    """

    rows: list[Row]
    adjustments: list[Row]

    @property
    def impressions(self) -> list[tuple[Id, dt.date]]:
        """The impressions that it is credited to, with their days; the most credited first."""
        credited = [row for row in self.rows if row["impression_id"] is not None]
        credited.sort(key=lambda row: -row["credit"])
        return list(
            dict.fromkeys((row["impression_id"], row["impression_day"]) for row in credited)
        )


@dataclass(frozen=True)
class Look:
    """The tables that explain a label, as of one version each."""

    deployment: Deployment
    state: State
    con: Backend

    def days(self, table: str) -> list[dt.date]:
        """The days of which a table holds rows, in order."""
        return sorted(self.state[table].keys)

    def rows(self, table: str, days: Iterable[dt.date]) -> ibis.Table:
        """The rows of those days."""
        return read_days(self.deployment, table, days, state=self.state, con=self.con)

    def fetch(self, rows: ibis.Table) -> list[Row]:
        """Rows by column."""
        return self.con.to_pyarrow(rows).to_pylist()


def open_look(deployment: Deployment, *, con: Backend) -> Look:
    """The current versions of the tables that explain a label."""
    read = (source.table for source in deployment.recipes[LABELS].inputs)
    tables = dict.fromkeys([*RAW_TABLES, LABELS, NEGATIVES, PERSONS, *read])
    there = [table for table in tables if table in deployment.tables]
    return Look(deployment, load_whole_state(deployment, there), con)


def days_of_impression(look: Look, day: dt.date | None) -> list[dt.date]:
    """The arrival days on which an impression of a day, or of any, can lie."""
    if day is None:
        return look.days("impressions")
    return [*look.deployment.recipes[LABELS].input("impressions").days(Days(day, day))]


def find_impressions(look: Look, impression_id: Id, *, day: dt.date | None = None) -> list[Row]:
    """The impressions of that id, shown on a day or on any, each as it first arrived."""
    rows = look.rows("impressions", days_of_impression(look, day))
    found = look.fetch(first_impressions(rows.filter(_is(rows, "impression_id", impression_id))))
    of_day = [row for row in found if day in (None, row["impression_day"])]
    return sorted(of_day, key=lambda row: (row["impression_day"], row["impression_ts"]))


def find_reports(look: Look, conversion_id: Id, *, day: dt.date | None = None) -> list[Report]:
    """The conversion of that id as it arrived on a day, or on each on which it did."""
    days = look.days(ATTRIBUTED) if day is None else [day]
    rows = look.rows(ATTRIBUTED, days)
    found = look.fetch(rows.filter(_is(rows, "conversion_id", conversion_id)))
    arrived = sorted({row["dt"] for row in found})
    return [
        Report(
            [row for row in found if row["dt"] == day],
            _adjustments_of(look, str(conversion_id), day),
        )
        for day in arrived
    ]


def days_landed(look: Look, conversion_id: Id) -> list[dt.date]:
    """The arrival days whose logs hold a conversion, attributed or not."""
    rows = look.rows("conversions", look.days("conversions"))
    found = look.fetch(rows.filter(_is(rows, "conversion_id", conversion_id)).select("dt"))
    return sorted({row["dt"] for row in found})


def explain_impression(look: Look, impression: Row, *, of: Report | None = None) -> Explained:
    """An impression and its labels, or those alone that a report of a conversion is evidence of."""
    day, logs = impression["impression_day"], look.state.log_days()
    is_label_day = bool(logs) and logs[0] <= day <= logs[1]
    found = _rows_of(look, LABELS, impression)
    found.sort(
        key=lambda row: (
            row["task"],
            row["evidence_ts"],
            row["evidence_id"],
            row["evidence_dt"],
            row["since_dt"] or dt.date.min,
        )
    )
    negatives = _rows_of(look, NEGATIVES, impression)
    return Explained(
        impression,
        [_explain_label(look, row, impression) for row in found if _is_of(row, of)],
        [row for row in found if not _is_of(row, of)],
        negatives[0] if negatives else None,
        is_label_day,
        _why_stale(look, day) if is_label_day else None,
    )


def known_since(label: Row) -> dt.date:
    """The day on which a label was known first: its impression, its evidence and its value were."""
    days = (label["impression_dt"], label["evidence_dt"], label["since_dt"])
    return max(day for day in days if day is not None)


def _rows_of(look: Look, table: str, impression: Row) -> list[Row]:
    """The rows of an impression in a table by impression day."""
    rows = look.rows(table, [impression["impression_day"]])
    found = look.fetch(rows.filter(_is(rows, "impression_id", impression["impression_id"])))
    return [row for row in found if row["impression_ts"] == impression["impression_ts"]]


def _is_of(label: Row, report: Report | None) -> bool:
    if report is None:
        return True
    first = report.rows[0]
    wanted = ("conversion", str(first["conversion_id"]), first["dt"])
    return (label["task"], label["evidence_id"], label["evidence_dt"]) == wanted


def _explain_label(look: Look, row: Row, impression: Row) -> Label:
    if row["task"] == "conversion":
        return _explain_conversion(look, row, impression)
    acted = look.rows("engagements", [row["evidence_dt"]])
    is_it = acted.engagement_id.cast("string") == row["evidence_id"]
    (found,) = look.fetch(acted.filter(is_it).select("duration_s")) or [{"duration_s": None}]
    return Label(row, found, places=[("engagements", row["evidence_dt"])])


def _explain_conversion(look: Look, row: Row, impression: Row) -> Label:
    arrived = row["evidence_dt"]
    credited = look.rows(ATTRIBUTED, [arrived])
    touches = look.fetch(
        credited.filter(
            credited.conversion_id.cast("string") == row["evidence_id"],
            _is(credited, "impression_id", impression["impression_id"]),
        )
    )
    touches.sort(key=lambda touch: (-touch["credit"], touch["touch_type"], touch["touch_ts"]))
    touches = [touch | _engagement_of(look, touch, impression) for touch in touches]
    adjustments = [
        adjustment
        for adjustment in _adjustments_of(look, row["evidence_id"], arrived)
        if adjustment["dt"] in (row["since_dt"], row["until_dt"])
    ]
    values = {adjustment["dt"]: adjustment["value"] for adjustment in adjustments}
    reported = {name: touches[0][name] if touches else None for name in ("value", "user_id")}
    merges = _merges_between(look, touches, impression)
    return Label(
        row,
        reported | {"value": values.get(row["since_dt"], reported["value"])},
        touches,
        adjustments,
        places=[
            ("conversions", arrived),
            *(
                ("engagements", touch["engagement_dt"])
                for touch in touches
                if touch["engagement_dt"] is not None
            ),
            *((ADJUSTMENTS, adjustment["adjustment_dt"]) for adjustment in adjustments),
            *((MERGES, merged) for merged in merges),
        ],
    )


def _engagement_of(look: Look, touch: Row, impression: Row) -> Row:
    """The engagement that a touch is, and its arrival day; of a view none."""
    nothing: Row = {"engagement_id": None, "engagement_type": None, "engagement_dt": None}
    if touch["touch_type"] == "view":
        return nothing
    window = Days(impression["impression_day"] - DAY, max(touch["dt"], impression["dt"]))
    rows = look.rows("engagements", window)
    theirs = rows.filter(
        _is(rows, "user_id", impression["user_id"]), _is(rows, "pin_id", impression["pin_id"])
    )
    found = [
        row
        for row in look.fetch(theirs)
        if row["engagement_ts"] == touch["touch_ts"]
        and row["impression_id"] in (None, impression["impression_id"])
        and (row["engagement_type"] == "click") == (touch["touch_type"] == "click")
    ]
    if not found:
        return nothing
    # It may have been delivered on two days: the first counts.
    first = min(found, key=lambda row: (row["dt"], row["engagement_id"]))
    return {
        "engagement_id": first["engagement_id"],
        "engagement_type": first["engagement_type"],
        "engagement_dt": first["dt"],
    }


def _adjustments_of(look: Look, conversion_id: str, arrived: dt.date) -> list[Row]:
    """The adjustments that changed how a conversion of an arrival day stands, in their order."""
    if not look.deployment.scope.has_adjustments:
        return []
    reach = look.deployment.settings.adjustments.max_days
    rows = look.rows(ADJUSTED, Days(arrived, arrived + reach * DAY))
    applied = rows.filter(
        rows.status == "applied",
        rows.conversion_id.cast("string") == conversion_id,
        rows.conversion_dt == ibis.literal(arrived, "date"),
    )
    return sorted(look.fetch(applied.select(*ADJUSTMENT).distinct()), key=lambda row: row["dt"])


def _merges_between(look: Look, touches: list[Row], impression: Row) -> list[dt.date]:
    """The arrival days of the merges by which a conversion's user is the impression's; or none."""
    others = [touch for touch in touches if touch["user_id"] != impression["user_id"]]
    if not others or not look.deployment.scope.has_merges:
        return []
    arrived = others[0]["dt"]
    persons = look.rows(PERSONS, [arrived + DAY])
    theirs = persons.filter(_is(persons, "user_id", impression["user_id"])).select("person_id")
    ids = persons.semi_join(theirs, "person_id").select("user_id")
    known = [day for day in look.days(MERGES) if day <= arrived]
    merges = look.rows(MERGES, known).semi_join(ids, [("from_user_id", "user_id")])
    return sorted({row["dt"] for row in look.fetch(merges.select(_.dt))})


def _why_stale(look: Look, day: dt.date) -> str | None:
    """Why a label day is not what the tables give that it is made of; None where it is."""
    recipe, labels = look.deployment.recipes[LABELS], look.state[LABELS]
    now = detail_of(recipe, day, look.state, newest=day)
    if labels.is_built_from(day, digest_of(now)):
        return None
    return explain(look.deployment.ledger.build_detail(LABELS, day, labels.key(day)), now)


def _is(rows: ibis.Table, column: str, value: Id) -> Any:
    """Whether a column of ids holds that one."""
    return rows[column] == ibis.literal(value, rows[column].type())
