"""Conversions as they stood on a day: what had become of them by what was known.

What adjustments make of a conversion belongs to `adjusted_conversions.py`.
"""

import ibis
from ibis import _

from convcg_assets.tables.table import Cells, Input, Inputs, Scope

ADJUSTED = "adjusted_conversions"
SINCE, UNTIL = "since_dt", "until_dt"
SPAN = (SINCE, UNTIL)
"""The days K from which on a row holds (null: from its arrival on), and no longer holds (null: it
still does): for a day T it holds if since < T <= until."""
CONVERSION = ("dt", "conversion_id")


def adjusted_input(
    scope: Scope, *, before: int = 0, after: int = 0, cells: Cells | None = None
) -> tuple[Input, ...]:
    """The input of adjusted conversions; none where the log adjusts no conversion."""
    if not scope.has_adjustments:
        return ()
    return (Input(ADJUSTED, before=before, after=after, cells=cells),)


def read_adjusted(inputs: Inputs) -> ibis.Table | None:
    """The adjusted conversions that a table's recipe reads; None where the log has none."""
    return inputs[ADJUSTED] if inputs.scope.has_adjustments else None


def with_spans(attributed: ibis.Table, adjusted: ibis.Table | None) -> ibis.Table:
    """Attributed conversions as they stood from time to time, each row with the span it holds.

    A conversion that was restated has a row of each value; one that was retracted ends. Without
    `adjusted` the rows as they are, without spans: none ends. `adjusted` must hold the days up to
    the last T that is asked of, from the first of `attributed` on.
    """
    if adjusted is None:
        return attributed
    changes = adjusted.filter(_.status == "applied").select(
        "adjustment_type",
        conversion_dt=_.conversion_dt,
        changed_id=_.conversion_id,
        since_dt=_.dt,
        new_value=_.value,
    )
    in_time = ibis.window(group_by=["conversion_dt", "changed_id"], order_by="since_dt")
    changes = changes.distinct().mutate(until_dt=_.since_dt.lead().over(in_time))
    first = changes.group_by("conversion_dt", "changed_id").agg(until_dt=_.since_dt.min())
    on = (("dt", "conversion_dt"), ("conversion_id", "changed_id"))
    columns = attributed.columns
    reported = attributed.left_join(first, on).select(
        *columns, since_dt=ibis.null("date"), until_dt=_.until_dt
    )
    restated = attributed.inner_join(changes.filter(_.adjustment_type == "restatement"), on)
    restated = restated.mutate(value=_.new_value).select(*columns, *SPAN)
    # An adjustment that came before its conversion leaves nothing that ever held.
    return reported.filter(_.until_dt.isnull() | (_.until_dt > _.dt)).union(restated)


def span_of(rows: ibis.Table) -> tuple[str, ...]:
    """The columns of the span, where rows have one."""
    return tuple(name for name in SPAN if name in rows.columns)


def holds_on(rows: ibis.Table, day: ibis.Value) -> tuple[ibis.Value, ...]:
    """Conditions under which rows held by what was known before a day; none without spans."""
    if not span_of(rows):
        return ()
    return (
        rows.since_dt.isnull() | (rows.since_dt < day),
        rows.until_dt.isnull() | (rows.until_dt >= day),
    )
