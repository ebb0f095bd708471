"""A group's own delay curve from its counts alone: reverse hazards and their variance.

Which groups there are, and how their curves are pooled, belongs to `delay.py`.
"""

import ibis
from ibis import _

from convcg_assets.tables.exact import SHARE_DECIMALS, double, to_units


def own_curve(rows: ibis.Table, *, keys: tuple[str, ...], horizon_days: int) -> ibis.Table:
    """One row per group and delay 0..H: its counts, and F relative to its longest age seen.

    `relative_share` is F(k) / F(W), W = `observed_days`; `precision` the number of conversions
    that, all known, would give the share as precisely: (1 - F) / (F v) with Greenwood's sum
    v = sum over j > k of h(j) / (n(j) (1 - h(j))), which is the variance of log F.
    """
    zero = ibis.literal(0, "int64")
    delays = ibis.range(0, horizon_days + 1).unnest().name("delay_days").as_table()
    delays = delays.select(delay_days=_.delay_days.cast("int64"))
    groups = rows.group_by(*keys).agg(
        observed_days=ibis.least(_.age_days.max(), horizon_days).cast("int64")
    )
    grid = groups.cross_join(delays).mutate(num_arrived=zero, num_young=zero)
    of = [*keys, "observed_days", "delay_days", "num_arrived", "num_young"]
    arrived = rows.mutate(
        observed_days=ibis.null("int64"), num_arrived=_.num, num_young=zero
    ).select(*of)
    # What is of age a is too young for the delays from a + 1 on.
    young = rows.mutate(
        observed_days=ibis.null("int64"),
        delay_days=_.age_days + 1,
        num_arrived=zero,
        num_young=_.num,
    ).select(*of)
    counts = (
        ibis.union(grid.select(*of), arrived, young)
        .filter(_.delay_days <= horizon_days)
        .group_by(*keys, "delay_days")
        .agg(
            observed_days=_.observed_days.max(),
            num_arrived=_.num_arrived.sum().cast("int64"),
            num_young=_.num_young.sum().cast("int64"),
        )
    )
    upto = ibis.window(group_by=keys, order_by="delay_days", rows=(None, 0))
    after = ibis.window(group_by=keys, order_by="delay_days", rows=(1, None))
    counts = counts.mutate(
        num_until=(_.num_arrived.sum().over(upto) - _.num_young.sum().over(upto)).cast("int64"),
        num_conversions=_.num_arrived.sum().over(ibis.window(group_by=keys)).cast("int64"),
    )
    left = counts.num_until - counts.num_arrived
    n, one = counts.num_until, ibis.literal(1, "int64")
    safe_left, safe_n = ibis.greatest(left, one).cast("float64"), ibis.greatest(n, one)
    log_step = (left > 0).ifelse((safe_left / safe_n).ln(), double(0))
    variance = (left > 0).ifelse(counts.num_arrived / (safe_n * safe_left), double(0))
    counts = counts.mutate(
        log_step=to_units(log_step, decimals=SHARE_DECIMALS),
        variance=to_units(variance, decimals=SHARE_DECIMALS),
        nothing_before=((n > 0) & (left == 0)).cast("int64"),
    )
    unit = double(10**SHARE_DECIMALS)
    counts = counts.mutate(
        log_share=_.log_step.sum().over(after).fill_null(0) / unit,
        log_variance=_.variance.sum().over(after).fill_null(0) / unit,
        is_nothing=_.nothing_before.sum().over(after).fill_null(0) > 0,
    )
    share = counts.is_nothing.ifelse(double(0), rounded(counts.log_share.exp()))
    counts = counts.mutate(relative_share=share)
    known = (counts.relative_share > 0) & (counts.log_variance > 0)
    equivalent = (double(1) - counts.relative_share) / (
        known.ifelse(counts.relative_share * counts.log_variance, double(1))
    )
    total = counts.num_conversions.cast("float64")
    return counts.mutate(precision=known.ifelse(ibis.least(equivalent, total), total)).select(
        *keys,
        "delay_days",
        "num_arrived",
        "num_until",
        "num_conversions",
        "observed_days",
        "relative_share",
        "precision",
    )


def rounded(share: ibis.Value) -> ibis.Value:
    """A share to its last decimal, the same on every engine."""
    return to_units(share, decimals=SHARE_DECIMALS) / double(10**SHARE_DECIMALS)
