"""What a derived table's page shows beside rows and windows: counts, means, plots.

A page takes the build that has just written the days.
"""

from collections.abc import Callable

import dagster as dg
import ibis
from ibis import _

from convcg_assets.builds.build import Build
from convcg_assets.builds.rows import Rows
from convcg_assets.days import Days
from convcg_assets.defs.delay_plots import plot_curves, plot_maturity
from convcg_assets.defs.metadata import (
    IN_SHORT,
    Metadata,
    count_by,
    markdown_table,
    plot_bars,
)
from convcg_assets.tables.adjusted_conversions import adjustments_in_words
from convcg_assets.tables.conversion_outcomes import conversion_outcomes, outcomes_in_words
from convcg_assets.tables.weighted_label_checks import FACTORS

Page = Callable[[Build], Metadata]


def _written(build: Build) -> ibis.Table:
    return Rows(build.deployment).read(build.recipe.table, build.days, con=build.con)


def _newest(build: Build) -> ibis.Table:
    newest = Days(build.days.last, build.days.last)
    return Rows(build.deployment).read(build.recipe.table, newest, con=build.con)


def _attributed_conversions(build: Build) -> Metadata:
    rows, con = _written(build), build.con
    outcomes = con.to_pyarrow(conversion_outcomes(rows)).to_pylist()
    rounded = [row | {"share": f"{row['share']:.1%}"} for row in outcomes]
    page: Metadata = {}
    if len(build.days) > 1:
        is_untouched = _.status.isin(("no_touch", "past_horizon"))
        shares = rows.group_by("dt").agg(share=is_untouched.mean()).order_by("dt")
        by_day = {row["dt"]: row["share"] for row in con.to_pyarrow(shares).to_pylist()}
        page["untouched_per_day"] = plot_bars(by_day, ylabel="share without a touch")
    return {
        IN_SHORT: outcomes_in_words(outcomes),
        "model": build.deployment.settings.attribution.model,
        "outcomes": dg.MetadataValue.md(markdown_table(rounded)),
        "by_event": count_by(rows, "event_name", con=con),
        **page,
    }


def _adjusted_conversions(build: Build) -> Metadata:
    rows, con = _written(build), build.con
    each = rows.distinct(on=["dt", "adjustment_id", "conversion_dt", "conversion_id"])
    counted = con.to_pyarrow(each.group_by("status").agg(rows=_.count())).to_pylist()
    return {
        IN_SHORT: adjustments_in_words({row["status"]: row["rows"] for row in counted}),
        "by_status": count_by(each, "adjustment_type", "status", con=con),
        "unmatched": count_by(rows.filter(_.status == "unmatched"), "event_id", con=con),
    }


def _conversion_delay(build: Build) -> Metadata:
    curves = _newest(build)
    if build.con.to_pyarrow(curves.count()).as_py() == 0:
        return {"curve": "no conversion has arrived yet"}
    reporters = curves.filter(_.level == "advertiser").distinct(on=["advertiser_id"])
    return {
        "curve": plot_curves(curves, con=build.con),
        "advertisers_by_segment": count_by(reporters, "segment", con=build.con),
    }


def _label_maturity(build: Build) -> Metadata:
    horizon = build.deployment.settings.attribution.horizon_days
    rows = build.con.to_pyarrow(_newest(build).order_by(ibis.desc("impression_day"))).to_pylist()
    if not any(row["num_conversions"] for row in rows):
        return {"maturity": "no conversion has arrived yet"}
    return {
        "maturity": plot_maturity(rows),
        "by_label_day": dg.MetadataValue.md(markdown_table(rows[:horizon])),
    }


def _linked_engagements(build: Build) -> Metadata:
    return {"by_type": count_by(_written(build), "engagement_type", con=build.con)}


def _weighted_labels(build: Build) -> Metadata:
    rows, con = _written(build), build.con
    means = rows.group_by("task", "evidence").agg(
        rows=_.count(), **{f: _[f].mean().round(4) for f in (*FACTORS, "weight")}
    )
    listed = con.to_pyarrow(means.order_by("task", "evidence")).to_pylist()
    conversions = rows.filter(_.task == "conversion")
    return {
        "mean_factors": dg.MetadataValue.md(markdown_table(listed)),
        "by_touch": count_by(conversions, "touch_type", "match_level", con=con),
        "by_surface": count_by(rows, "task", "surface", con=con),
    }


def _hard_negatives(build: Build) -> Metadata:
    rows = _written(build)
    return {
        "sample_rate": build.deployment.settings.negatives.sample_rate,
        "by_surface": count_by(rows, "surface", con=build.con),
        "engaged_later": build.con.to_pyarrow(rows.engaged_dt.count()).as_py(),
    }


def _features(build: Build) -> Metadata:
    """Mean and share of nulls of every number."""
    rows = _written(build)
    numbers = [c for c, t in rows.schema().items() if t.is_numeric() and not c.endswith("_id")]
    figures = build.con.to_pyarrow(
        rows.agg(
            **{f"{c}:mean": rows[c].mean().round(4) for c in numbers},
            **{f"{c}:null": rows[c].isnull().mean().round(4) for c in numbers},
        )
    ).to_pylist()[0]
    summary = [
        {"feature": c, "mean": figures[f"{c}:mean"], "share null": figures[f"{c}:null"]}
        for c in numbers
    ]
    return {"summary": dg.MetadataValue.md(markdown_table(summary))}


def _daily_actions(build: Build) -> Metadata:
    return {"by_action": count_by(_written(build), "action", con=build.con)}


def _user_persons(build: Build) -> Metadata:
    """Of the newest day how many people have more than one id, and who has most."""
    by_person = _newest(build).group_by("person_id").agg(num_ids=_.count())
    num_ids = by_person.num_ids
    counted = by_person.agg(people=num_ids.count(), ids=num_ids.sum(), most=num_ids.max())
    (row,) = build.con.to_pyarrow(counted).to_pylist()
    people, ids, most = row["people"], row["ids"] or 0, row["most"] or 0
    said = f"{people:,} people with {ids:,} ids, {most} at most"
    return {IN_SHORT: said, "people": people, "most_ids": most}


def _example_features(build: Build) -> Metadata:
    rows = _written(build)
    seen = rows.agg(rows=rows.count(), seen=rows.seen_before.sum())
    (row,) = build.con.to_pyarrow(seen).to_pylist()
    share = (row["seen"] or 0) / max(1, row["rows"])
    return {"seen_before_share": round(share, 4), **_features(build)}


def _training_examples(build: Build) -> Metadata:
    rows, con = _written(build), build.con
    return {
        "by_task": count_by(rows, "split", "task", "is_negative", con=con),
        "by_surface": count_by(rows, "split", "surface", con=con),
    }


PAGES: dict[str, Page] = {
    "user_persons": _user_persons,
    "attributed_conversions": _attributed_conversions,
    "adjusted_conversions": _adjusted_conversions,
    "conversion_delay": _conversion_delay,
    "label_maturity": _label_maturity,
    "linked_engagements": _linked_engagements,
    "weighted_labels": _weighted_labels,
    "hard_negatives": _hard_negatives,
    "daily_user_counts": _features,
    "daily_pin_counts": _features,
    "daily_actions": _daily_actions,
    "user_features": _features,
    "pin_features": _features,
    "example_features": _example_features,
    "training_examples": _training_examples,
}
"""By table."""
