"""Delay curves: of an impression day's conversions, the share that has arrived by its age.

How an advertiser reports belongs to `cadence.py`, a group's own curve to `reverse_hazard.py`, what
labels weigh by the curve to `maturity.py`.
"""

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.tables.cadence import describe_cadence, weekday
from convcg_assets.tables.exact import double
from convcg_assets.tables.reverse_hazard import own_curve, rounded
from convcg_assets.tables.settings import DelaySettings
from convcg_assets.tables.standing import holds_on, span_of, with_spans

Z_95 = 1.959963984540054
"""Of the standard normal distribution, 95 % lie within this many deviations."""
_GLOBAL = ("day",)
_SEGMENT = ("day", "segment", "upload_in_days")
_ADVERTISER = (*_SEGMENT, "advertiser_id", "weekday")


def estimation_window_days(settings: DelaySettings, *, horizon_days: int) -> int:
    """How many impression days before T the curve of T rests on."""
    return horizon_days + settings.estimation_days


def lookback_days(settings: DelaySettings, *, horizon_days: int) -> int:
    """How many arrival days before T `describe_delay` reads."""
    window = estimation_window_days(settings, horizon_days=horizon_days)
    return max(window, settings.cadence_days)


def describe_delay(
    attributed: ibis.Table,
    adjusted: ibis.Table | None = None,
    *,
    settings: DelaySettings,
    horizon_days: int,
    days: Days,
) -> ibis.Table:
    """Rows of `conversion_delay` for the days T in `days`.

    A piece of evidence is one (conversion, impression) with credit, however much: each is a label
    that had to wait. Its delay d is the days from the impression day to the arrival day; on T the
    longest that can have been seen is its age a = T - 1 - impression day. Delays are seen only if
    d <= a, so that the share F is estimated backwards, from the longest delay W (Lagakos, Barraj &
    De Gruttola 1988, Biometrika 75: reverse hazards of right-truncated delays):
    h(k) = #{d = k, a >= k} / #{d <= k, a >= k}, F(W) = 1, F(k - 1) = F(k) (1 - h(k)).
    Curves are pooled, advertiser -> segment -> global:
    F = (n F_own + kappa F_parent) / (n + kappa).

    `attributed` must hold the `lookback_days` arrival days before T. All evidence of an impression
    day in the window arrived in the window, so that nothing is cut off at its beginning. With
    `adjusted` of the same days a curve counts what stood on T; how an advertiser reports is seen
    from all that it reported.
    """
    evidence = count_evidence(with_spans(attributed, adjusted))
    reports = evidence if adjusted is None else count_evidence(attributed)
    reporters = describe_cadence(reports, settings=settings, days=days)
    num_days = estimation_window_days(settings, horizon_days=horizon_days)
    rows = _known_delays(evidence, reporters, days, num_days=num_days)
    whole = _pool(own_curve(rows, keys=_GLOBAL, horizon_days=horizon_days))
    named = rows.filter(_.advertiser_id.notnull())
    segments = _pool(
        own_curve(named, keys=_SEGMENT, horizon_days=horizon_days),
        whole,
        keys=_SEGMENT,
        parent_keys=_GLOBAL,
        kappa=settings.segment_kappa,
    )
    advertisers = _pool(
        own_curve(named, keys=_ADVERTISER, horizon_days=horizon_days),
        segments,
        keys=_ADVERTISER,
        parent_keys=_SEGMENT,
        kappa=settings.advertiser_kappa,
    )
    nothing = {
        "advertiser_id": ibis.null(rows.advertiser_id.type()),
        "segment": ibis.null("string"),
        "weekday": ibis.literal(-1, "int64"),
        "upload_in_days": ibis.literal(-1, "int64"),
    }
    levels = [
        table.mutate(
            level=ibis.literal(level),
            **{name: null for name, null in nothing.items() if name not in table.columns},
        )
        for level, table in (
            ("global", whole),
            ("segment", segments),
            ("advertiser", advertisers),
        )
    ]
    columns = sorted(levels[0].columns)
    united = ibis.union(*(table.select(*columns) for table in levels))
    return _with_interval(united, horizon_days=horizon_days).mutate(
        weekday=_.weekday.nullif(-1), upload_in_days=_.upload_in_days.nullif(-1)
    )


def count_evidence(attributed: ibis.Table) -> ibis.Table:
    """Pieces of evidence `num` by dt, impression_day, advertiser_id, event_day and span, if any.

    The touches of one impression that share a conversion's credit are one piece, as in the labels.
    """
    key, span = ("dt", "conversion_id", "impression_id"), span_of(attributed)
    pieces = attributed.filter(_.status == "attributed").select(
        *key, "impression_day", "advertiser_id", *span, event_day=_.event_ts.date()
    )
    return (
        pieces.distinct()
        .group_by("dt", "impression_day", "advertiser_id", "event_day", *span)
        .agg(num=_.count())
    )


def _known_delays(
    evidence: ibis.Table, reporters: ibis.Table, days: Days, *, num_days: int
) -> ibis.Table:
    """Counts `num` by T (`day`), advertiser, delay and age, and by how the advertiser reports.

    A weekly reporter's impression days differ by weekday, its `upload_in_days` apart from the next
    upload; both are -1 for others.
    """
    counts = evidence.group_by("dt", "impression_day", "advertiser_id", *span_of(evidence))
    counts = counts.agg(num=_.num.sum())
    known = counts.inner_join(days.lookback("impression_day", num_days=num_days), "impression_day")
    known = known.filter(
        known.dt < known.day, known.dt >= known.impression_day, *holds_on(known, known.day)
    )
    rows = known.left_join(reporters, ["day", "advertiser_id"])
    of_day = weekday(rows.impression_day)
    return rows.select(
        "day",
        "advertiser_id",
        "num",
        segment=rows.segment.fill_null("silent"),
        delay_days=rows.dt.delta(rows.impression_day, unit="day").cast("int64"),
        age_days=(rows.day.delta(rows.impression_day, unit="day") - 1).cast("int64"),
        weekday=rows.upload_weekday.isnull().ifelse(-1, of_day).cast("int64"),
        upload_in_days=((rows.upload_weekday - of_day + 7) % 7).fill_null(-1).cast("int64"),
    )


def _pool(
    own: ibis.Table,
    parent: ibis.Table | None = None,
    *,
    keys: tuple[str, ...] = _GLOBAL,
    parent_keys: tuple[str, ...] = (),
    kappa: float = 0,
) -> ibis.Table:
    """The curves with `own_share` and the pooled `share`.

    A group says nothing of delays beyond its `observed_days` W: there it follows its parent, and
    its own curve ends in the parent's share at W. Of a weekly reporter nothing arrives between
    uploads: a parent by age alone is read on the upload days.
    """
    if parent is None:
        return own.mutate(own_share=_.relative_share, share=_.relative_share)
    since_upload = (own.delay_days - own.upload_in_days + 7) % 7
    by_age = "upload_in_days" not in parent_keys
    shift = (own.upload_in_days >= 0).ifelse(since_upload, 0) if by_age else 0
    own = own.mutate(parent_delay=(own.delay_days - shift).cast("int64"))
    above = parent.select(
        *parent_keys,
        parent_delay=_.delay_days,
        parent_share=_.share,
        parent_precision=_.precision,
    )
    joined = own.left_join(above, [*parent_keys, "parent_delay"])
    joined = joined.select(
        *own.columns,
        parent_share=joined.parent_share.fill_null(double(0)),
        parent_precision=joined.parent_precision.fill_null(double(0)),
    )
    group = ibis.window(group_by=keys)
    joined = joined.mutate(
        parent_share=rounded(joined.parent_share / joined.parent_share.max().over(group))
    )
    is_last = joined.delay_days == joined.observed_days
    joined = joined.mutate(
        at_last=is_last.ifelse(joined.parent_share, ibis.null("float64")).max().over(group)
    )
    own_share = (joined.delay_days > joined.observed_days).ifelse(
        joined.parent_share, joined.relative_share * joined.at_last
    )
    joined = joined.mutate(own_share=rounded(own_share))
    n, k = joined.num_conversions.cast("float64"), double(kappa)
    own_precision = (joined.delay_days < joined.observed_days).ifelse(joined.precision, double(0))
    return joined.mutate(
        share=rounded((n * joined.own_share + k * joined.parent_share) / (n + k)),
        precision=own_precision + ibis.least(k, joined.parent_precision),
    ).drop("parent_delay", "parent_share", "parent_precision", "at_last")


def _with_interval(curves: ibis.Table, *, horizon_days: int) -> ibis.Table:
    """Adds `dt`, `share_low` and `share_high`: Wilson's score interval (1927, JASA 22) at 95 %.

    The number of trials is the curve's precision, to which a parent adds at most kappa: pooling
    reads as a prior of kappa conversions. At H the share is 1 by definition.
    """
    n, p, z2 = curves.precision, curves.share, double(Z_95**2)
    centre = n * p + z2 / double(2)
    spread = double(Z_95) * (n * p * (double(1) - p) + z2 / double(4)).sqrt()
    low = ibis.greatest((centre - spread) / (n + z2), double(0))
    high = ibis.least((centre + spread) / (n + z2), double(1))
    is_end = curves.delay_days >= horizon_days
    return curves.mutate(
        dt=curves.day,
        share_low=is_end.ifelse(curves.share, ibis.least(rounded(low), curves.share)),
        share_high=is_end.ifelse(curves.share, ibis.greatest(rounded(high), curves.share)),
    )
