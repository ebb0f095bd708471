"""The raw tables: each day's logs as they landed, checked, typed and without repeated rows.

Their columns are the streams' (`sources/columns.py`); how files become rows belongs to `sources/`.
"""

from dataclasses import dataclass

import ibis
from ibis import _

from convcg_assets.sources.columns import ADJUSTMENTS, MERGES, REJECTED_EVENTS, STREAMS
from convcg_assets.sources.source import Source
from convcg_assets.tables.exact import double
from convcg_assets.tables.raw_checks import (
    EVENTS_REPORTED_ONCE,
    no_outsized_ids,
    values_are_known,
)
from convcg_assets.tables.table import Check, Inputs, Table, digest_settings

REJECTED = "rejected_events"
"""The rejected rows of all streams: written last, so that a day that has it has been read whole."""
RAW = "raw_events"
"""All raw tables together: a day's logs land as a whole."""
VERSION = 2
"""Goes up when the same files give other rows."""
NAMED_BY_PINS = ("impressions", "conversions")
"""Events whose advertiser is that of their Pin where the log is silent."""
REJECTED_SHARE_WARNING, REJECTED_SHARE_ERROR = 0.01, 0.20
"""Of a stream's day: what is worth a look, and what is no longer that stream."""
REJECTED_ROWS_WARNING, REJECTED_ROWS_ERROR = 10, 100
"""Of fewer rejected rows a share says little."""
DESCRIPTIONS = {
    "impressions": "One row per showing of one ad Pin to one user, by arrival day.",
    "engagements": "One row per onsite action on a Pin: click (with duration), repin, close-up.",
    "conversions": "One row per report of an offsite conversion, by the day that it was received: "
    "late, sparse, and at times twice.",
    "pins": "The catalogue: one row per Pin as known on the snapshot day.",
    "users": "One row per user as known on the snapshot day.",
    ADJUSTMENTS: "One row per report that a conversion is taken back (a refund, a cancelled order) "
    "or has another value, by the day that it was received.",
    MERGES: "One row per report that two user ids are of one person, by the day that it was "
    "received.",
}


def rejected_shares(
    accepted: ibis.Table, rejected: ibis.Table, *, stream: str, above: float, min_rejected: int
) -> ibis.Table:
    """Days on which more than `above` of a stream's rows were rejected, and at least so many.

    With each the commonest reason, and a file that has such a row.
    """
    kept = accepted.group_by("dt").agg(num_accepted=_.count())
    mine = rejected.filter(_.stream == stream)
    by_reason = mine.group_by("dt", "reason").agg(rows=_.count(), file=_.file.min())
    commonest = ibis.window(group_by="dt", order_by=[ibis.desc("rows"), "reason"])
    named = by_reason.mutate(rank=ibis.row_number().over(commonest)).filter(_.rank == 0)
    refused = mine.group_by("dt").agg(num_rejected=_.count())
    refused = refused.inner_join(named.select("dt", "reason", "file"), "dt")
    days = refused.left_join(kept, "dt").mutate(num_accepted=_.num_accepted.fill_null(0))
    shares = days.mutate(share=_.num_rejected / (_.num_rejected + _.num_accepted))
    return shares.filter(_.num_rejected >= min_rejected, _.share > double(above)).select(
        "dt",
        stream=ibis.literal(stream),
        num_rejected=_.num_rejected,
        num_accepted=_.num_accepted,
        share=_.share,
        reason=_.reason,
        file=_.file,
    )


def uneven_content(pins: ibis.Table) -> ibis.Table:
    """Pins whose content vector is shorter than others of the same day and encoder."""
    rows = pins.filter(_.content.notnull()).select(
        "dt", "pin_id", encoder=_.content_version.fill_null(""), length=_.content.length()
    )
    longest = rows.group_by("dt", "encoder").agg(day_length=_.length.max())
    joined = rows.inner_join(longest, ["dt", "encoder"])
    return joined.filter(_.length != _.day_length).select("dt", "pin_id", "length", "day_length")


def _few_rejected_rows(stream: str) -> Check:
    def rejected(inputs: Inputs, *, above: float, min_rejected: int) -> ibis.Table:
        return rejected_shares(
            inputs.own,
            inputs.read(REJECTED),
            stream=stream,
            above=above,
            min_rejected=min_rejected,
        )

    return Check(
        "few_rejected_rows",
        f"Of a day's rows at most {REJECTED_SHARE_WARNING:.0%} break the contract; "
        f"more than {REJECTED_SHARE_ERROR:.0%} stop the run: the log has changed.",
        error=lambda i: rejected(i, above=REJECTED_SHARE_ERROR, min_rejected=REJECTED_ROWS_ERROR),
        warning=lambda i: rejected(
            i, above=REJECTED_SHARE_WARNING, min_rejected=REJECTED_ROWS_WARNING
        ),
    )


_MORE_CHECKS = {
    "impressions": (
        no_outsized_ids("user_id", "advertiser_id"),
        values_are_known("impressions", REJECTED),
    ),
    "engagements": (no_outsized_ids("user_id"), values_are_known("engagements", REJECTED)),
    "conversions": (
        no_outsized_ids("user_id", "advertiser_id", "event_id"),
        values_are_known("conversions", REJECTED),
        EVENTS_REPORTED_ONCE,
    ),
    "pins": (
        Check(
            "content_of_one_length",
            "The content vectors of a snapshot's encoder have one length.",
            error=lambda i: uneven_content(i.own),
        ),
    ),
}


_CELLS = {"impressions": "impression_ts"}
"""Label days rest on their own impressions alone."""


def _raw_table(stream: str) -> Table:
    rules = STREAMS[stream]
    return Table(
        name=stream,
        group=RAW,
        owner="team:data",
        description=DESCRIPTIONS[stream],
        columns=rules.columns,
        key=("dt", rules.key),
        version=VERSION,
        checks=(_few_rejected_rows(stream), *_MORE_CHECKS.get(stream, ())),
        cell=_CELLS.get(stream),
        ready_by_hour=6,
        needs=stream if rules.added else None,
    )


RAW_TABLES: dict[str, Table] = {
    **{stream: _raw_table(stream) for stream in STREAMS},
    REJECTED: Table(
        name=REJECTED,
        group=RAW,
        owner="team:data",
        description="Rows that break the contract, with file, row and the first rule broken. "
        "Nothing is dropped silently.",
        columns=REJECTED_EVENTS,
        key=("dt", "stream", "file", "row"),
        version=VERSION,
        ready_by_hour=6,
    ),
}


@dataclass(frozen=True)
class RawRecipe:
    """From which streams' files of a day a raw table is read, and how: see `raw_settings`.

    Where `asks_catalogue`, the snapshot of Pins that holds on the day names advertisers.
    """

    streams: frozenset[str]
    settings: str
    asks_catalogue: bool = False


def make_raw_recipes(source: Source) -> dict[str, RawRecipe]:
    """The recipe of every raw table: of its own stream, or of those that imply it.

    A stream that came after the first release and that the log lacks has no table.
    """
    present = {stream for stream in STREAMS if source.stream(stream) is not None}
    events = {stream for stream in present if STREAMS[stream].is_event}
    # The catalogue names the advertisers of events whose log does not.
    named = present & {"pins"}
    implied_by = {
        "impressions": (present & {"engagements"}) | named,
        "pins": events,
        "users": events,
        REJECTED: present,
    }
    settings = raw_settings(source)
    recipes = {}
    for table, entry in RAW_TABLES.items():
        if not entry.is_there(source):
            continue
        if table in present:
            streams = {table} | (named if table in events else set())
        else:
            # What the log lacks and nothing implies stays empty, whatever the files hold.
            streams = implied_by.get(table, events)
        is_made = table in present or table == "impressions"
        asks_catalogue = bool(named) and table in NAMED_BY_PINS and is_made
        recipes[table] = RawRecipe(frozenset(streams), settings, asks_catalogue)
    return recipes


def raw_settings(source: Source) -> str:
    """Digest of how raw rows are read: a changed source file changes what its logs mean."""
    elsewhere = {"name", "landing", "simulation", "last_day"}
    return digest_settings(VERSION, source.model_dump(mode="json", exclude=elsewhere))
