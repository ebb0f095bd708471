"""The canonical columns of the raw streams: the one home of their names, types and meanings.

Types are Ibis type strings; an id's type is chosen by the source (64-bit integer or string) and
stands here as `id:<kind>`. All timestamps are UTC without a zone. Tables that are computed have
their columns in `tables/`; how a log's own columns map onto these belongs to `stream.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import ibis

ID_KINDS = ("impression_id", "engagement_id", "conversion_id", "user_id", "pin_id", "advertiser_id")
"""Ids whose type (int64 or string) the source chooses."""

SURFACES = ("homefeed", "related_pins", "search")
ENGAGEMENT_TYPES = ("click", "repin", "close_up")
CONVERSION_EVENTS = ("checkout", "add_to_cart", "signup", "lead")
"""What each is worth as a label: a field of `tables.settings.LabelSettings`."""
ADJUSTMENTS = "conversion_adjustments"
MERGES = "user_merges"
ADJUSTMENT_TYPES = ("retraction", "restatement")
"""What may be said of a conversion later: that it is taken back, or that its value is another."""
TASKS = ("conversion", "engagement")


@dataclass(frozen=True)
class Column:
    """One column of a table, and what its values may be.

    `required`: never null. `vocabulary`: the only values. `added`: came after the table's first
    release, so that a null in it leaves a row's digest as it was.
    """

    type: str
    meaning: str
    required: bool = False
    vocabulary: tuple[str, ...] | None = None
    added: bool = False


Columns = dict[str, Column]
Kind = Literal["onsite", "offsite", "snapshot", "adjustment", "merge"]
"""Onsite events arrive on their own day or a little later, offsite reports when they are received;
a snapshot holds what is known on its day; an adjustment says what earlier rows have become, and a
merge that two ids are of one person."""
EVENT_KINDS: tuple[Kind, ...] = ("onsite", "offsite")
"""Kinds whose rows are something that a person did."""


@dataclass(frozen=True)
class StreamColumns:
    """The canonical columns of one stream of logs, and the rules that its rows have to keep.

    `key` is unique within a day, `logged` are the columns that a log cannot be without, `derived`
    those that no log has. `time` decides the arrival day; `event` names what happened, and
    `happened` when that was, of what is received later. `added`: came after the first release; a
    log that lacks it has no table of it.
    """

    columns: Columns
    kind: Kind
    key: str
    time: str
    logged: tuple[str, ...]
    event: str | None = None
    happened: str | None = None
    derived: tuple[str, ...] = field(default=("dt",))
    added: bool = False

    @property
    def is_event(self) -> bool:
        """Whether a row is something that a person did."""
        return self.kind in EVENT_KINDS

    @property
    def mappable(self) -> tuple[str, ...]:
        """What the source file's `columns` may map."""
        return tuple(name for name in self.columns if name not in self.derived)


def type_schema(columns: Columns, id_types: Mapping[str, str]) -> ibis.Schema:
    """Ibis schema of columns.

    `id_types` maps an id kind (`ID_KINDS`) to `int64` or `string`; a kind left out is `string`.

    >>> type_schema({"user_id": Column("id:user_id", "who")}, {"user_id": "int64"})["user_id"]
    Int64(nullable=True)
    """
    types = {}
    for name, column in columns.items():
        spec = column.type
        for kind in ID_KINDS:
            spec = spec.replace(f"id:{kind}", id_types.get(kind, "string"))
        types[name] = spec
    return ibis.schema(types)


IMPRESSIONS = StreamColumns(
    kind="onsite",
    key="impression_id",
    time="impression_ts",
    logged=("user_id", "pin_id", "impression_ts", "surface"),
    derived=("dt", "impression_day"),
    columns={
        "dt": Column("date", "arrival day: the day's log that held the row"),
        "impression_id": Column(
            "id:impression_id", "one showing of one Pin to one user", required=True
        ),
        "user_id": Column("id:user_id", "who saw it", required=True),
        "pin_id": Column("id:pin_id", "what was shown", required=True),
        "advertiser_id": Column(
            "id:advertiser_id", "whose Pin it is, as logged; null where the log is silent"
        ),
        "impression_ts": Column("timestamp(6)", "when it was shown", required=True),
        "impression_day": Column(
            "date", "day of impression_ts, but never after the arrival day", required=True
        ),
        "surface": Column("string", "where it was shown", required=True, vocabulary=SURFACES),
        "subject_pin_id": Column("id:pin_id", "Related Pins: the Pin that was looked at"),
        "query": Column("string", "Search: what was searched for"),
        "position": Column("int64", "rank in the list shown, from 0"),
    },
)
ENGAGEMENTS = StreamColumns(
    kind="onsite",
    key="engagement_id",
    time="engagement_ts",
    event="engagement_type",
    logged=("user_id", "pin_id", "engagement_ts", "engagement_type"),
    columns={
        "dt": Column("date", "arrival day"),
        "engagement_id": Column("id:engagement_id", "one onsite action on an ad", required=True),
        "impression_id": Column(
            "id:impression_id", "the impression acted on; null where the log is silent"
        ),
        "user_id": Column("id:user_id", "who acted", required=True),
        "pin_id": Column("id:pin_id", "on which Pin", required=True),
        "engagement_ts": Column("timestamp(6)", "when", required=True),
        "engagement_type": Column(
            "string", "what was done", required=True, vocabulary=ENGAGEMENT_TYPES
        ),
        "duration_s": Column(
            "float64", "click: seconds until the person came back; null where not logged"
        ),
    },
)
CONVERSIONS = StreamColumns(
    kind="offsite",
    key="conversion_id",
    time="received_ts",
    event="event_name",
    happened="event_ts",
    logged=("event_name", "event_ts"),
    columns={
        "dt": Column("date", "arrival day"),
        "conversion_id": Column("id:conversion_id", "one report of one conversion", required=True),
        "user_id": Column("id:user_id", "who bought; null where the advertiser could not say"),
        "advertiser_id": Column(
            "id:advertiser_id", "who reported it; null where the log has no advertisers"
        ),
        "pin_id": Column("id:pin_id", "the Pin that was bought, if the report names one"),
        "event_name": Column(
            "string", "what was done", required=True, vocabulary=CONVERSION_EVENTS
        ),
        "event_id": Column(
            "string", "the advertiser's id of the event, the same from every channel"
        ),
        "event_ts": Column("timestamp(6)", "when it happened", required=True),
        "received_ts": Column("timestamp(6)", "when the report was received", required=True),
        "value": Column("float64", "in one currency; null where not reported"),
    },
)
CONVERSION_ADJUSTMENTS = StreamColumns(
    kind="adjustment",
    key="adjustment_id",
    time="received_ts",
    event="adjustment_type",
    happened="adjustment_ts",
    logged=("adjustment_type", "event_id", "adjustment_ts"),
    added=True,
    columns={
        "dt": Column("date", "arrival day"),
        "adjustment_id": Column("string", "one report of one adjustment", required=True),
        "adjustment_type": Column(
            "string",
            "whether the conversion is taken back, or its value is another",
            required=True,
            vocabulary=ADJUSTMENT_TYPES,
        ),
        "advertiser_id": Column(
            "id:advertiser_id", "whose conversion; null: the event id alone says which"
        ),
        "event_name": Column(
            "string",
            "what had been done; null: every conversion of that event id",
            vocabulary=CONVERSION_EVENTS,
        ),
        "event_id": Column("string", "the conversion's event id", required=True),
        "adjustment_ts": Column("timestamp(6)", "when it was adjusted", required=True),
        "received_ts": Column("timestamp(6)", "when that was received", required=True),
        "value": Column(
            "float64", "restatement: the value of the whole conversion; retraction: null"
        ),
    },
)
USER_MERGES = StreamColumns(
    kind="merge",
    key="merge_id",
    time="received_ts",
    happened="merged_ts",
    logged=("from_user_id", "to_user_id", "merged_ts"),
    added=True,
    columns={
        "dt": Column("date", "arrival day"),
        "merge_id": Column("string", "one report of one merge", required=True),
        "from_user_id": Column("id:user_id", "an id of the person", required=True),
        "to_user_id": Column("id:user_id", "another id of the same person", required=True),
        "merged_ts": Column("timestamp(6)", "when they were found to be one", required=True),
        "received_ts": Column("timestamp(6)", "when that was received", required=True),
    },
)
PINS = StreamColumns(
    kind="snapshot",
    key="pin_id",
    time="created_ts",
    logged=("pin_id",),
    columns={
        "dt": Column("date", "snapshot day"),
        "pin_id": Column("id:pin_id", "one Pin as known that day", required=True),
        "advertiser_id": Column("id:advertiser_id", "whose Pin it is"),
        "category": Column("string", "product category"),
        "price": Column("float64", "in the currency of the conversions' values"),
        "created_ts": Column("timestamp(6)", "when the Pin was created"),
        "title": Column("string", "for people to read"),
        "content": Column(
            "array<float64>", "content embedding, one length for all Pins of an encoder"
        ),
        "content_version": Column("string", "which encoder made the content", added=True),
    },
)
USERS = StreamColumns(
    kind="snapshot",
    key="user_id",
    time="created_ts",
    logged=("user_id",),
    columns={
        "dt": Column("date", "snapshot day"),
        "user_id": Column("id:user_id", "one user as known that day", required=True),
        "country": Column("string", "country code"),
        "age_bucket": Column("string", "age range"),
        "gender": Column("string", "as stated"),
        "created_ts": Column("timestamp(6)", "when the account was created"),
    },
)
STREAMS: dict[str, StreamColumns] = {
    "impressions": IMPRESSIONS,
    "engagements": ENGAGEMENTS,
    "conversions": CONVERSIONS,
    "pins": PINS,
    "users": USERS,
    ADJUSTMENTS: CONVERSION_ADJUSTMENTS,
    MERGES: USER_MERGES,
}
"""The streams that a source may have."""
REJECTED_EVENTS: Columns = {
    "dt": Column("date", "arrival day"),
    "stream": Column("string", "of which stream", required=True, vocabulary=tuple(STREAMS)),
    "file": Column("string", "file name within the day's folder", required=True),
    "row": Column("int64", "row of the file, from 1, a header not counted", required=True),
    "reason": Column("string", "the first rule of the contract that the row breaks", required=True),
    "raw": Column("string", "the row as JSON"),
}
"""Rows of any stream that break the contract."""
