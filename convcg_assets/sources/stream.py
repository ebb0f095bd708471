"""One stream of a source: where its files lie, how columns and values map onto the canonical ones.

The source as a whole, and reading it from YAML, belong to `source.py`.
"""

import datetime as dt
import difflib
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from convcg_assets.config import Frozen, added
from convcg_assets.sources.columns import ADJUSTMENT_TYPES, ADJUSTMENTS, STREAMS, SURFACES
from convcg_assets.sources.layout import UNFINISHED, parse_layout
from convcg_assets.sources.log_table import LogTable

TimeUnit = Literal["iso", "s", "ms", "us"]


class ColumnMapping(Frozen):
    """Where one canonical column comes from: exactly one of column, join, constant, absent."""

    column: str | None = Field(
        default=None, description="a column of the files; `x: name` for short"
    )
    join: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="columns joined by ':' into one id (type string); `x: [a, b]` for short",
    )
    constant: str | None = Field(default=None, description="the same value in every row")
    absent: bool = Field(default=False, description="the log does not have it; `x: null` for short")
    time_unit: TimeUnit | None = Field(
        default=None, description="unit of this time column, where it differs from the stream's"
    )

    optional: bool = added(False, description="files may lack the column, and it is null in them")
    since: dt.date | None = added(
        None,
        description="first day whose files must have the column, or of which the constant is"
        " true; null in earlier ones",
    )

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if value is None:
            return {"absent": True}
        if isinstance(value, list):
            return {"join": value}
        if isinstance(value, str):
            return {"column": value}
        if isinstance(value, dict) and isinstance(value.get("constant"), bool | int | float):
            return value | {"constant": _log_value(value["constant"])}
        if not isinstance(value, dict):
            raise ValueError(
                f"{value!r} is no mapping: write a column's name, [a, b] or {{constant: x}}"
            )
        return value

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (
            sum([self.column is not None, bool(self.join), self.constant is not None, self.absent])
            != 1
        ):
            raise ValueError("give exactly one of column, join, constant, absent")
        if self.optional and not self.sources:
            raise ValueError("optional is for columns of the files")
        if self.since and self.absent:
            raise ValueError("since is for a column of the files, or a constant")
        if self.optional and self.since:
            raise ValueError("give optional or since: from its day on a column is required")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns of the files that it is made of."""
        return (self.column,) if self.column is not None else self.join or ()

    def is_required(self, day: dt.date) -> bool:
        """Whether the files of a day must have its columns."""
        return not self.optional and (self.since is None or day >= self.since)


class Stream(Frozen):
    """One stream of a source: where its files lie and how their columns and values map."""

    path: str | None = Field(
        default=None,
        description="folder of the dt= folders below the landing folder, or a template such as "
        "events/{year}/{month}/{day}/{hour}/; default: the stream's name. Several streams may "
        "read the same files",
    )
    table: LogTable | None = added(
        None,
        description="a table of a lake or a database, in place of files: its rows, by day of a "
        "column",
    )
    unfinished: tuple[str, ...] = added(
        UNFINISHED,
        description="names of files and folders that are not read: * stands for any characters",
    )
    format: Literal["parquet", "csv", "jsonl", "avro"] | None = Field(
        default=None,
        description="format of the files; default: by suffix (.parquet, .csv, .jsonl, .avro; text "
        "also with .gz, .zst, .bz2)",
    )
    delimiter: str = Field(
        default=",", min_length=1, max_length=1, description="CSV: field delimiter"
    )
    quote: str = Field(default='"', max_length=1, description="CSV: quote character; '' for none")
    escape: str = added(
        "",
        max_length=1,
        description="CSV: what stands before a quote that is text; default: the quote, twice",
    )
    line_breaks: bool | None = added(
        None,
        description="CSV: whether quoted values may hold line breaks; default: where it is certain",
    )
    encoding: Literal["utf-8", "latin-1"] = Field(
        default="utf-8", description="CSV: encoding of the text"
    )
    null_values: tuple[str, ...] = added(
        (), description="texts that stand for nothing in this stream, besides the source's"
    )
    where: dict[str, tuple[str | None, ...]] = Field(
        default_factory=dict,
        description="rows that are this stream's, by column of the files: {column: [values]}; "
        "other rows are neither read nor counted",
    )
    columns: dict[str, ColumnMapping] = Field(
        default_factory=dict,
        description="canonical column: where it comes from; unmapped columns are taken by their "
        "own name",
    )
    time_unit: TimeUnit = Field(
        default="iso", description="unit of the time columns; iso: text or timestamps"
    )
    duration_unit: Literal["s", "ms"] = Field(
        default="s", description="engagements: unit of duration_s"
    )
    surfaces: dict[str, str] | None = Field(
        default=None,
        description="impressions: {value in the log: homefeed, related_pins or search}",
    )
    events: dict[str, str | None] | None = Field(
        default=None,
        description="engagements, conversions, conversion_adjustments: {value in the log: "
        "canonical event}; of conversions also retraction, restatement; null: rows "
        "of that event are left out on purpose, not rejected",
    )
    repeats: Literal["keep", "drop"] | None = added(
        None,
        description="a log without an id: whether rows that are equal are events of their own "
        "(keep) or were written again (drop); default: few are rejected, many are an error",
    )
    on_missing_day: Literal["fail", "empty"] | None = Field(
        default=None, description="this stream's own answer to a missing day; default: the source's"
    )

    @field_validator("path")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        if value is not None:
            parse_layout(value)
        return value

    @field_validator("null_values", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        return log_values(value)

    @field_validator("where", mode="before")
    @classmethod
    def _values(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        lists = {k: v if isinstance(v, list) else [v] for k, v in value.items()}
        return {k: [None if x is None else _log_value(x) for x in v] for k, v in lists.items()}

    @field_validator("surfaces", "events", mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        return {_log_value(k): v for k, v in value.items()} if isinstance(value, dict) else value

    @field_validator("surfaces")
    @classmethod
    def _surfaces(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        for surface in (value or {}).values():
            check_known(surface, SURFACES, "surface")
        return value

    @model_validator(mode="after")
    def _signs(self) -> Self:
        if self.escape and not self.quote:
            raise ValueError("escape: stands before quotes, and quote is ''; leave one of them out")
        if self.delimiter in (self.quote, self.escape):
            raise ValueError(f"delimiter: {self.delimiter!r} is the quote or the escape too")
        if "\n" in (signs := self.delimiter + self.quote + self.escape) or "\r" in signs:
            raise ValueError("delimiter, quote and escape: a line break ends a row")
        return self


class Streams(Frozen):
    """The streams that the log has."""

    impressions: Stream | None = Field(default=None, description="what was shown to whom")
    engagements: Stream | None = Field(
        default=None, description="onsite actions: click, repin, close_up"
    )
    conversions: Stream | None = Field(
        default=None, description="checkout, add_to_cart, signup, lead"
    )
    pins: Stream | None = Field(default=None, description="daily snapshots of the catalogue")
    users: Stream | None = Field(default=None, description="daily snapshots of the users")
    conversion_adjustments: Stream | None = added(
        None,
        description="retractions and restatements of conversions; also by `events` of conversions",
    )
    user_merges: Stream | None = added(
        None, description="which ids are of one person, from when on: a login, an account joined"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.impressions is None and self.engagements is None:
            raise ValueError(
                "a source needs impressions or engagements (or both): add `impressions:` or "
                "`engagements:`"
            )
        for name in STREAMS:
            stream = getattr(self, name)
            if stream is not None:
                _check_stream(name, stream)
        self._split_conversions()
        return self

    def _split_conversions(self) -> None:
        """Rows of the conversions' files that adjust one become a stream of their own."""
        if self.conversions is None:
            if self.conversion_adjustments is not None:
                raise ValueError(f"{ADJUSTMENTS} adjust conversions: add `conversions:`")
            return
        events = self.conversions.events or {}
        adjusting: dict[str, str | None] = {
            logged: event for logged, event in events.items() if event in ADJUSTMENT_TYPES
        }
        if not adjusting:
            return
        if self.conversion_adjustments is not None:
            raise ValueError(
                f"conversions.events maps {', '.join(adjusting)} to adjustments, and there is a "
                f"stream {ADJUSTMENTS} too: give one of both"
            )
        others = {logged: None if e in ADJUSTMENT_TYPES else e for logged, e in events.items()}
        conversions = self.conversions.model_copy(update={"events": others})
        object.__setattr__(self, "conversion_adjustments", _adjusting(self.conversions, adjusting))
        object.__setattr__(self, "conversions", conversions)


def _adjusting(conversions: Stream, events: dict[str, str | None]) -> Stream:
    """The stream of those rows of the conversions' files whose event adjusts a conversion."""
    given = conversions.columns
    event = given.get("event_name", ColumnMapping(column="event_name"))
    if event.column is None:
        raise ValueError(
            f"conversions.events maps {', '.join(events)} to adjustments, which are told apart by "
            "one column of the files: map columns.event_name to a column"
        )
    columns = {
        "adjustment_type": event,
        "event_name": ColumnMapping(absent=True),
        "adjustment_ts": given.get("event_ts", ColumnMapping(column="event_ts")),
    }
    same = ("advertiser_id", "event_id", "received_ts", "value")
    columns |= {name: given[name] for name in same if name in given}
    if "conversion_id" in given:
        columns["adjustment_id"] = given["conversion_id"]
    chosen = conversions.where.get(event.column, tuple(events))
    told_apart = {event.column: tuple(value for value in chosen if value in events)}
    return conversions.model_copy(
        update={
            "path": conversions.path or (None if conversions.table else "conversions"),
            "where": {**conversions.where, **told_apart},
            "columns": columns,
            "events": events,
        }
    )


def _check_stream(name: str, stream: Stream) -> None:
    known = STREAMS[name]
    for column, mapping in stream.columns.items():
        check_known(column, known.mappable, f"canonical column of {name}")
        spec = known.columns[column].type
        if mapping.absent and column in known.logged:
            raise ValueError(
                f"{name}.columns.{column}: {name} cannot be without it; map a column or a constant"
            )
        if (mapping.optional or mapping.since) and column in known.logged:
            raise ValueError(
                f"{name}.columns.{column}: {name} cannot be without it, so that it is neither "
                "optional nor there since a day"
            )
        if mapping.time_unit and not spec.startswith("timestamp"):
            raise ValueError(f"{name}.columns.{column}: time_unit is for times, and this is {spec}")
        if mapping.join and not spec.startswith(("id:", "string")):
            raise ValueError(
                f"{name}.columns.{column}: only ids and text can be joined, and this is {spec}"
            )
    if stream.table is not None and (stream.path is not None or stream.format is not None):
        raise ValueError(
            f"{name}: it lies in a table or in files: leave out table, or path and format"
        )
    if stream.repeats is not None and known.key in known.logged:
        raise ValueError(
            f"{name}.repeats: {name} cannot be without {known.key}, which tells rows apart"
        )
    mapped = stream.columns.get(known.key)
    if stream.repeats is not None and mapped is not None and not mapped.absent:
        raise ValueError(
            f"{name}.repeats: rows with the same {known.key} are duplicates; leave repeats out, or "
            f"set {name}.columns.{known.key} to null if it is no id"
        )
    if stream.surfaces is not None and name != "impressions":
        raise ValueError(f"{name}.surfaces: only impressions have surfaces")
    if stream.events is not None:
        if known.event is None:
            named = [stream for stream, columns in STREAMS.items() if columns.event]
            raise ValueError(f"{name}.events: only {' and '.join(named)} have events")
        vocabulary = known.columns[known.event].vocabulary or ()
        if name == "conversions":
            vocabulary += ADJUSTMENT_TYPES
        for event in stream.events.values():
            if event is not None:
                check_known(event, vocabulary, f"event of {name}")


def _log_value(value: Any) -> str:
    """A YAML value as it stands in a log: YAML reads `yes` and `1` as no text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def log_values(value: Any) -> Any:
    """A list of values, or one, as they stand in a log."""
    values = value if isinstance(value, list | tuple) else [value]
    if None in values:
        raise ValueError("quote what stands for nothing: 'null', '', '\\N'")
    return tuple(_log_value(v) for v in values)


def check_known(value: str, known: tuple[str, ...], what: str) -> None:
    """Raise ValueError, with a guess, where `value` is none of the `known`."""
    if value not in known:
        guess = nearest(value, known)
        hint = f"; did you mean {guess!r}?" if guess else "."
        raise ValueError(f"unknown {what} {value!r}{hint} Known: {', '.join(known)}")


def nearest(
    name: str, candidates: tuple[str, ...] | list[str], *, cutoff: float = 0.6
) -> str | None:
    """The candidate most like `name`, case aside; None where none is like it."""
    by_lower = {c.lower(): c for c in candidates}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None
