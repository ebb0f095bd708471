"""How the landed files of a stream will be read: nothing is built, nothing is written.

The same steps as a landing (`reading.py`, `contract.py`), on an engine in memory, with what a
person asks who describes a new log. What to do about a rejected row belongs to `hints.py`.
"""

import datetime as dt
import json
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ibis
from ibis import _
from ibis.backends.duckdb import Backend

from convcg_assets.sources.casting import Expr
from convcg_assets.sources.columns import STREAMS, type_schema
from convcg_assets.sources.contract import check_rows, count_rows, has_column
from convcg_assets.sources.file_rows import DEFECT_COLUMN, LINE_COLUMN
from convcg_assets.sources.files import LandingError, LogFile
from convcg_assets.sources.finding import describe_place, find_left_out, find_names
from convcg_assets.sources.hints import SHOWN_VALUES, advise
from convcg_assets.sources.landed import days_with_folders
from convcg_assets.sources.origin import describe_origin, unused_columns
from convcg_assets.sources.reading import (
    absent_columns,
    check_counts,
    check_files,
    read_any_text,
    read_files,
    reading,
)
from convcg_assets.sources.repeats import Repeats
from convcg_assets.sources.row_text import inner_name, logged_name, row_as_json
from convcg_assets.sources.selection import stream_options, stream_rows
from convcg_assets.sources.source import Source

SAMPLED_ROWS = 200
"""Of each reason so many rows are looked at for what may be done about it."""
_PLACE = ("_dt", "_file", "_row")


@dataclass(frozen=True)
class Reason:
    """Why rows are rejected: how many, the first of them as logged, and what may be done."""

    reason: str
    num_rows: int
    day: dt.date
    file: str
    row: int
    raw: str
    hint: str | None


@dataclass(frozen=True)
class CanonicalColumn:
    """Where a canonical column comes from, and its values in the first valid rows."""

    name: str
    type: str
    origin: str
    values: tuple[Any, ...] = ()


@dataclass
class Rows:
    """What becomes of the rows of a stream's files."""

    num_rows: int
    num_valid: int
    num_rejected: int
    num_ignored: int
    reasons: list[Reason]
    columns: list[CanonicalColumn]
    times: dict[str, tuple[dt.datetime, dt.datetime]]
    """Of each time column the first and the last."""
    valid: ibis.Table
    rejected: ibis.Table
    num_elsewhere: int
    """Rows that `where` does not select."""
    repeats: dict[dt.date, Repeats]
    """Of a stream whose ids are made of the rows: by day how many are equal to one before them."""
    proposal: str
    """What `repeats` of the source file should rather be: keep or drop."""


@dataclass
class Preview:
    """One stream: the files of some days, and their rows; `fault` is why they cannot be read."""

    stream: str
    folder: str
    files: dict[dt.date, list[str]] = field(default_factory=dict)
    """Their names within the day."""
    left_out: dict[dt.date, list[str]] = field(default_factory=dict)
    """Names of files that are not read, such as unfinished ones."""
    missing: dict[dt.date, str] = field(default_factory=dict)
    newest: dt.date | None = None
    """The newest day that the stream has a folder for."""
    format: str | None = None
    file_columns: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    absent: dict[dt.date, dict[str, int]] = field(default_factory=dict)
    """Columns that are null because files lack them, and of how many rows."""
    rows: Rows | None = None
    not_selected: dict[str, list[str]] = field(default_factory=dict)
    """The columns of `where` with the commonest values of the files, where it selects no row."""
    fault: str | None = None


def preview_stream(
    source: Source, stream: str, days: Sequence[dt.date], *, num_rows: int, con: Backend
) -> Preview:
    """Read the stream's files of those days as a landing would, with its first `num_rows` rows."""
    options = stream_options(source, stream)
    found = Preview(stream, describe_place(source, stream))
    found.newest = max(days_with_folders(source, stream), default=None)
    for day in days:
        if left_out := find_left_out(source, stream, day):
            found.left_out[day] = left_out
        try:
            found.files[day] = find_names(source, stream, day)
        except LandingError as error:
            found.missing[day] = str(error).splitlines()[1].strip()
    try:
        files = check_files(source, stream, list(found.files))
        found.format = files[0].format if files else None
        columns = dict.fromkeys(c for file in files for c in file.columns)
        found.file_columns = tuple(c for c in columns if c not in (DEFECT_COLUMN, LINE_COLUMN))
        found.unused = unused_columns(found.file_columns, stream=stream, options=options)
        found.absent = absent_columns(stream, files, options)

        def look(files: list[LogFile]) -> tuple[dict[str, list[str]], Rows]:
            with reading(stream, files, options=options):
                elsewhere = _look_at_where(source, stream, files, con=con)
                rows = _preview_rows(source, stream, files, num_rows=num_rows, con=con)
                return elsewhere, rows

        found.not_selected, found.rows = read_any_text(files, look)
    except ValueError as error:  # A landing of these days would end with the same words.
        found.fault = str(error)
    return found


def _look_at_where(
    source: Source, stream: str, files: list[LogFile], *, con: Backend
) -> dict[str, list[str]]:
    """What the files hold in the columns of `where`, if none of their rows is selected."""
    where = stream_options(source, stream).where
    raws = read_files(source, stream, files, con=con) if where and files else []
    if any(
        con.to_pyarrow(stream_rows(raw, stream=stream, source=source).count()).as_py()
        for raw in raws
    ):
        return {}
    values: dict[str, Counter[str]] = {}
    for raw in raws:
        for column in where:
            text: Expr = raw[inner_name(column)].cast("string")
            counts = raw.group_by(value=text.fill_null("null")).agg(rows=_.count())
            top = counts.order_by(ibis.desc("rows"))
            for row in con.to_pyarrow(top.limit(SHOWN_VALUES)).to_pylist():
                values.setdefault(column, Counter())[row["value"]] += row["rows"]
    return {
        column: [value for value, _ in counted.most_common(SHOWN_VALUES)]
        for column, counted in values.items()
    }


def _preview_rows(
    source: Source, stream: str, files: list[LogFile], *, num_rows: int, con: Backend
) -> Rows:
    raws = read_files(source, stream, files, con=con)
    counted = con.to_pyarrow(count_rows(raws, stream=stream, source=source)).to_pylist()
    check_counts(stream, files, {(row["dt"], row["file"]): row["rows"] for row in counted})
    checked = _stage(check_rows(raws, stream=stream, source=source), con=con)
    valid = checked.filter(_._fault.isnull()).mutate(dt=_._dt)
    rejected = checked.filter(_._fault.notnull()).select(
        dt=_._dt, stream=ibis.literal(stream), file=_._file, row=_._row, reason=_._fault
    )
    first = valid.order_by(_PLACE).limit(num_rows)
    key = STREAMS[stream].key
    is_made = not any(has_column(raw, key, stream=stream, source=source) for raw in raws)
    repeats = _count_repeats(checked, stream=stream, con=con) if is_made else {}
    if stream_options(source, stream).repeats == "drop":
        repeats = _count_dropped(checked, counted, con=con)
    return Rows(
        num_rows=sum(row["rows"] for row in counted),
        num_valid=con.to_pyarrow(valid.count()).as_py(),
        num_rejected=con.to_pyarrow(rejected.count()).as_py(),
        num_ignored=sum(row["ignored"] for row in counted),
        reasons=_reasons(raws, rejected, stream=stream, source=source, con=con),
        columns=_columns(raws, con.to_pyarrow(first).to_pylist(), stream=stream, source=source),
        times=_times(valid, stream=stream, con=con),
        valid=valid,
        rejected=rejected,
        num_elsewhere=sum(row["elsewhere"] for row in counted),
        repeats=repeats,
        proposal=_propose(checked, stream=stream, con=con) if repeats else "keep",
    )


def _count_repeats(checked: ibis.Table, *, stream: str, con: Backend) -> dict[dt.date, Repeats]:
    """By day the rows whose id is that of a row before them, also where numbers tell them apart."""
    key = checked[STREAMS[stream].key].split(":")[0]
    sound = checked.filter(_._fault.isnull() | _._fault.startswith("duplicate "))
    of_id = sound.group_by("_dt", id=key).agg(num=_.count())
    by_day = of_id.group_by("_dt").agg(rows=_.num.sum(), repeats=_.num.sum() - _.count())
    return {
        row["_dt"]: Repeats(row["repeats"], row["rows"])
        for row in con.to_pyarrow(by_day).to_pylist()
        if row["repeats"]
    }


def _count_dropped(
    checked: ibis.Table, counted: list[dict[str, Any]], *, con: Backend
) -> dict[dt.date, Repeats]:
    """By day the rows that are neither valid nor rejected, nor left out for another reason."""
    judged: dict[dt.date, int] = {}
    for row in counted:
        num = row["rows"] - row["elsewhere"] - row["ignored"]
        judged[row["dt"]] = judged.get(row["dt"], 0) + num
    kept = con.to_pyarrow(checked.group_by("_dt").agg(rows=_.count())).to_pylist()
    left = judged | {row["_dt"]: judged[row["_dt"]] - row["rows"] for row in kept}
    return {day: Repeats(num, judged[day]) for day, num in left.items() if num}


def _propose(checked: ibis.Table, *, stream: str, con: Backend) -> str:
    """Keep rows whose times are so coarse that different events look alike; else drop them."""
    time = checked[STREAMS[stream].time]
    late = checked.filter(_._fault.startswith("duplicate "))
    counts = late.agg(rows=late.count(), coarse=(time == time.truncate("s")).sum())
    (found,) = con.to_pyarrow(counts).to_pylist()
    return "keep" if found["coarse"] == found["rows"] else "drop"


def _reasons(
    raws: list[ibis.Table], rejected: ibis.Table, *, stream: str, source: Source, con: Backend
) -> list[Reason]:
    """Every reason, the commonest first, with the first row of each as it was logged."""
    counted = con.to_pyarrow(rejected.group_by("reason").agg(rows=_.count())).to_pylist()
    if not counted:
        return []
    window = ibis.window(group_by="reason", order_by=["dt", "file", "row"])
    ranked = rejected.mutate(_rank=ibis.row_number().over(window), _reason=_.reason)
    sample = _stage(ranked.filter(_._rank < SAMPLED_ROWS), con=con)
    places = dict(zip(_PLACE, ("dt", "file", "row"), strict=True))
    rows: list[dict[str, Any]] = []
    for raw in raws:
        logged = raw.inner_join(sample.select("_reason", "_rank", **places), _PLACE)
        texts = logged.select("_reason", "_rank", *_PLACE, raw=row_as_json(logged, raw.columns))
        rows += con.to_pyarrow(texts).to_pylist()
    by_reason: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["_rank"]):
        by_reason.setdefault(row["_reason"], []).append(row)
    reasons = []
    for row in sorted(counted, key=lambda r: (-r["rows"], r["reason"])):
        rows = by_reason[row["reason"]]
        hint = advise(
            row["reason"],
            [(r["_dt"], _parse(r["raw"])) for r in rows],
            stream=stream,
            source=source,
        )
        first = rows[0]
        place = (first["_dt"], first["_file"], first["_row"])
        reasons.append(Reason(row["reason"], row["rows"], *place, first["raw"], hint))
    return reasons


def _columns(
    raws: list[ibis.Table], rows: list[dict[str, Any]], *, stream: str, source: Source
) -> list[CanonicalColumn]:
    types = type_schema(STREAMS[stream].columns, source.id_types)
    logged = {logged_name(name) for raw in raws for name in raw.columns}
    return [
        CanonicalColumn(
            name,
            str(types[name]),
            describe_origin(name, logged, stream=stream, source=source),
            tuple(row[name] for row in rows),
        )
        for name in STREAMS[stream].mappable
    ]


def _times(
    valid: ibis.Table, *, stream: str, con: Backend
) -> dict[str, tuple[dt.datetime, dt.datetime]]:
    columns = STREAMS[stream].columns
    names = [name for name in columns if columns[name].type.startswith("timestamp")]
    bounds = {f"{end}_{n}": getattr(valid[n], end)() for n in names for end in ("min", "max")}
    (found,) = con.to_pyarrow(valid.agg(**bounds)).to_pylist()
    times = {name: (found[f"min_{name}"], found[f"max_{name}"]) for name in names}
    return {name: (low, high) for name, (low, high) in times.items() if low is not None}


def _stage(rows: ibis.Table, *, con: Backend) -> ibis.Table:
    """The rows in a temporary table of the engine: files are read once."""
    return con.create_table(f"preview_{uuid.uuid4().hex}", rows, temp=True)


def _parse(raw: str) -> dict[str, Any]:
    """A logged row by column; of a line that is no JSON object the line, as `_line`."""
    try:
        row = json.loads(raw)
    except json.JSONDecodeError:
        row = None
    return row if isinstance(row, dict) else {"_line": raw}
