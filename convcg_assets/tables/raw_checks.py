"""What in a day's raw events looks as if it were not what it says: ids of many, repeated reports.

All are warnings: such rows may be right.
"""

import ibis
from ibis import _

from convcg_assets.tables.exact import double
from convcg_assets.tables.table import Check, Inputs

OUTSIZED = {"user_id": 0.2, "advertiser_id": 0.8, "event_id": 0.05}
"""The share of rows from which one id looks as if it stood for many or for nobody."""
OUTSIZED_ROWS = 20
"""Of fewer rows of an id a share says little."""
NOTHING = ("null", "none", "nan", "nil", "n/a", "na", "\\n", "undefined", "unknown", "-", "(null)")
"""Ids that stand for nothing, whatever their case."""
REPEATED_SHARE = 0.5
"""The share of reports from which an event that was reported before is not just another channel."""
REPEATED_ROWS = 10
UNKNOWN_SHARE = 0.001
UNKNOWN_ROWS = 10
REMEDY = "if it stands for nothing, name it in null_values"


def outsized_ids(rows: ibis.Table, *, columns: tuple[str, ...]) -> ibis.Table:
    """Ids that hold a large share of all rows, beside others, and those that stand for nothing.

    One row per column and id (`value`), with its first day: on a single day a few people may well
    do most of what is done.
    """
    found, together = [], ibis.window()
    for column in columns:
        named = rows.filter(rows[column].notnull()).select("dt", value=_[column])
        counts = named.group_by("value").agg(num_rows=_.count(), first_dt=_.dt.min())
        shares = counts.mutate(
            share=counts.num_rows / counts.num_rows.sum().over(together),
            num_ids=counts.count().over(together),
        )
        large = (_.share > double(OUTSIZED[column])) & (_.num_rows >= OUTSIZED_ROWS)
        is_outsized = large & (_.num_ids > 1)
        if rows[column].type().is_string():
            is_outsized = is_outsized | _.value.strip().lower().isin(NOTHING)
        found.append(
            shares.filter(is_outsized).select(
                dt=_.first_dt,
                column=ibis.literal(column),
                value=_.value.cast("string"),
                num_rows=_.num_rows,
                share=_.share,
                remedy=ibis.literal(REMEDY),
            )
        )
    return ibis.union(*found) if len(found) > 1 else found[0]


def repeated_events(conversions: ibis.Table) -> ibis.Table:
    """Days of which a large share of reports are of an event that the same day reports before."""
    named = conversions.filter(_.event_id.notnull())
    events = named.group_by("dt", "advertiser_id", "event_name", "event_id").agg(rows=_.count())
    days = events.group_by("dt").agg(num_rows=_.rows.sum(), num_events=_.count())
    counted = days.mutate(num_repeated=_.num_rows - _.num_events)
    shares = counted.mutate(share=_.num_repeated / _.num_rows)
    broken = (_.share > double(REPEATED_SHARE)) & (_.num_repeated >= REPEATED_ROWS)
    return shares.filter(broken).select("dt", "num_repeated", "num_rows", "share")


def unknown_values(accepted: ibis.Table, rejected: ibis.Table, *, stream: str) -> ibis.Table:
    """Days with rows of an event or a surface that the source file does not name."""
    kept = accepted.group_by("dt").agg(num_accepted=_.count())
    mine = rejected.filter(_.stream == stream)
    total = mine.group_by("dt").agg(num_rejected=_.count())
    unknown = mine.filter(_.reason.isin(("unknown event", "unknown surface")))
    days = unknown.group_by("dt", "reason").agg(num_rows=_.count(), file=_.file.min())
    days = days.inner_join(total, "dt").left_join(kept, "dt").drop("dt_right")
    share = _.num_rows / (_.num_rejected + _.num_accepted.fill_null(0))
    shares = days.mutate(share=share)
    broken = (_.share > double(UNKNOWN_SHARE)) & (_.num_rows >= UNKNOWN_ROWS)
    return shares.filter(broken).select("dt", "reason", "num_rows", "share", "file")


def no_outsized_ids(*columns: str) -> Check:
    """The check that no id holds a large share of a day's rows, or stands for nothing."""
    said = ", ".join(f"{column} {OUTSIZED[column]:.0%}" for column in columns)
    return Check(
        "no_outsized_ids",
        f"No id is of a larger share of the rows ({said}), nor a word that stands for nothing.",
        warning=lambda i: outsized_ids(i.own, columns=columns),
    )


def values_are_known(stream: str, rejected: str) -> Check:
    """The check that no event or surface is new to the source file."""

    def unknown(inputs: Inputs) -> ibis.Table:
        return unknown_values(inputs.own, inputs.read(rejected), stream=stream)

    return Check(
        "values_are_known",
        f"At most {UNKNOWN_SHARE:.1%} of a day's rows are of an event or a surface that the "
        "source file does not name.",
        warning=unknown,
    )


EVENTS_REPORTED_ONCE = Check(
    "events_reported_once",
    f"At most {REPEATED_SHARE:.0%} of a day's reports are of an event id that it has before.",
    warning=lambda i: repeated_events(i.own),
)
