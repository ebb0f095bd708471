"""`label_maturity`: how ripe each label day was on day T."""

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.sources.columns import Column, Columns
from convcg_assets.tables.delay_curves import count_evidence
from convcg_assets.tables.exact import double, exact_sum
from convcg_assets.tables.maturity import SUM_DECIMALS, with_maturity
from convcg_assets.tables.settings import DelaySettings
from convcg_assets.tables.standing import adjusted_input, holds_on, read_adjusted, with_spans
from convcg_assets.tables.table import Input, Inputs, Scope, Table

COLUMNS: Columns = {
    "dt": Column("date", "day T: everything here arrived before it"),
    "impression_day": Column("date", "label day D, 1 to H days before T", required=True),
    "age_days": Column("int64", "longest delay that D can have shown: T - 1 - D", required=True),
    "num_conversions": Column("int64", "evidence of D that had arrived"),
    "maturity": Column(
        "float64",
        "share of D's conversions that had arrived, by the global curve",
        required=True,
    ),
    "expected_conversions": Column("float64", "those of the ripe day: num_conversions / maturity"),
    "weighted_conversions": Column(
        "float64",
        "the sum of the evidence's maturity factors, by advertiser and capped: short of "
        "the expected by advertisers of whom nothing has arrived, and by the cap",
    ),
}


def inputs(scope: Scope) -> tuple[Input, ...]:
    """The curve of T, and what had arrived of the horizon's label days."""
    horizon = scope.settings.attribution.horizon_days
    return (
        Input("conversion_delay"),
        Input("attributed_conversions", before=horizon, after=-1),
        *adjusted_input(scope, before=horizon, after=-1),
    )


def rows(inputs: Inputs) -> ibis.Table:
    """The label days of the days T."""
    return describe_maturity(
        inputs["attributed_conversions"],
        inputs["conversion_delay"],
        read_adjusted(inputs),
        settings=inputs.settings.delay,
        horizon_days=inputs.settings.attribution.horizon_days,
        days=inputs.days,
    )


def describe_maturity(
    attributed: ibis.Table,
    curves: ibis.Table,
    adjusted: ibis.Table | None = None,
    *,
    settings: DelaySettings,
    horizon_days: int,
    days: Days,
) -> ibis.Table:
    """Rows of `label_maturity` for the days T in `days`: one per label day of the H days before T.

    A day as a whole ripens by the global curve: the sum of the advertisers' factors misses those of
    whom nothing has arrived, and what the cap cuts off. Both are shown, whatever training uses.
    `attributed`, and `adjusted` where there are adjustments, must hold the H arrival days before T,
    `curves` the days T.
    """
    label_days = days.lookback("impression_day", num_days=horizon_days)
    evidence = count_evidence(with_spans(attributed, adjusted))
    evidence = evidence.inner_join(label_days, "impression_day")
    known = evidence.filter(evidence.dt < evidence.day, *holds_on(evidence, evidence.day)).group_by(
        "impression_day", "advertiser_id", as_of=_.day
    )
    weighed = with_maturity(
        known.agg(num=_.num.sum()),
        curves,
        settings=settings.model_copy(update={"maturity": "advertiser"}),
    )
    sums = weighed.group_by("as_of", "impression_day").agg(
        num=_.num.sum(),
        weighted=exact_sum(_.num * _.maturity_factor, decimals=SUM_DECIMALS),
    )
    nobody = ibis.null(curves.advertiser_id.type())
    whole = with_maturity(
        label_days.rename(as_of="day").mutate(advertiser_id=nobody),
        curves,
        settings=settings.model_copy(update={"maturity": "global"}),
    )
    joined = whole.left_join(sums, ["as_of", "impression_day"])
    num = joined.num.fill_null(0).cast("int64")
    share = (joined.maturity > 0).ifelse(joined.maturity, double(1 / settings.max_maturity_factor))
    return joined.select(
        dt=joined.as_of,
        impression_day=joined.impression_day,
        age_days=(joined.as_of.delta(joined.impression_day, unit="day") - 1).cast("int64"),
        num_conversions=num,
        maturity=joined.maturity,
        expected_conversions=num / share,
        weighted_conversions=joined.weighted.fill_null(double(0)),
    )


LABEL_MATURITY = Table(
    name="label_maturity",
    group="attribution",
    owner="team:ads-measurement",
    description="""How ripe each label day was on day T: conversions that had arrived, and how many
will have.

A label day goes on gaining conversions for the horizon; what it lacks is estimated by the delay
curve of T.""",
    columns=COLUMNS,
    key=("dt", "age_days"),
    domain="knowledge",
    inputs=inputs,
    settings=lambda scope: (scope.settings.attribution, scope.settings.delay),
    rows=rows,
)
