"""Delay: how late conversions arrive, and how ripe each label day is."""

import dagster as dg
import ibis
from ibis import _
from ibis.backends.duckdb import Backend

from convcg_assets.builders import write
from convcg_assets.days import Days
from convcg_assets.defs.metadata import (
    count_by,
    describe_table,
    inline_figure,
    markdown_table,
    window_metadata,
)
from convcg_assets.defs.resources import Warehouse
from convcg_assets.partitions import daily_partitions, run_days, upstream, windows

SHOWN_ADVERTISERS = 5


@dg.asset(
    deps=upstream("conversion_delay"),
    partitions_def=daily_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="attribution",
    kinds={"deltalake", "ibis"},
    owners=["team:ads-measurement"],
)
def conversion_delay(
    context: dg.AssetExecutionContext, warehouse: Warehouse
) -> dg.MaterializeResult:
    """The delay curve of day T: the share F(k) of conversions that arrive within k days.

    Of all advertisers, of those who report alike, and of each advertiser, pooled in this order; by
    what had arrived before T. Delays are counted from the impression day to the arrival day.
    """
    days = run_days(context)
    with warehouse.build("conversion_delay", days, run_id=context.run_id) as build:
        write(build)
        newest = Days(days.last, days.last)
        curves = warehouse.read("conversion_delay", newest, con=build.con)
        ends = curves.filter(_.delay_days == 0)
        return dg.MaterializeResult(
            metadata={
                **describe_table(context, warehouse, "conversion_delay", days, con=build.con),
                **window_metadata(
                    warehouse,
                    "attributed_conversions",
                    build.recipe.input("attributed_conversions").days(days),
                ),
                "curve": _plot_curves(curves, con=build.con),
                "advertisers_by_segment": count_by(
                    ends.filter(_.level == "advertiser"), "segment", con=build.con
                ),
            }
        )


@dg.asset(
    deps=upstream("label_maturity"),
    partitions_def=daily_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="attribution",
    kinds={"deltalake", "ibis"},
    owners=["team:ads-measurement"],
)
def label_maturity(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """How ripe each label day was on day T: conversions that had arrived, and how many will have.

    A label day goes on gaining conversions for the horizon; what it lacks is estimated by the delay
    curve of T.
    """
    days = run_days(context)
    with warehouse.build("label_maturity", days, run_id=context.run_id) as build:
        write(build)
        newest = warehouse.read("label_maturity", Days(days.last, days.last), con=build.con)
        rows = build.con.to_pyarrow(newest.order_by(ibis.desc("impression_day"))).to_pylist()
        return dg.MaterializeResult(
            metadata={
                **describe_table(context, warehouse, "label_maturity", days, con=build.con),
                "maturity": _plot_maturity(rows),
                "by_label_day": dg.MetadataValue.md(markdown_table(rows[: windows.horizon])),
            }
        )


def _plot_curves(curves: ibis.Table, *, con: Backend) -> dg.MarkdownMetadataValue:
    """The global curve with its interval, the segments', and the largest advertisers'."""
    from matplotlib.figure import Figure

    rows = con.to_pyarrow(curves.order_by("weekday", "delay_days")).to_pylist()
    lines: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        name = row["segment"] if row["level"] == "segment" else row["advertiser_id"]
        by_weekday = "" if row["weekday"] is None else f" {row['weekday']}"
        lines.setdefault((row["level"], f"{name or 'all'}{by_weekday}"), []).append(row)
    largest = sorted(
        (key for key in lines if key[0] == "advertiser"),
        key=lambda key: (-lines[key][0]["num_conversions"], key),
    )[:SHOWN_ADVERTISERS]
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for key in largest:
        axes.plot(*_points(lines[key]), color="#b9bfce", linewidth=0.9)
    if largest:
        axes.plot(
            [], [], color="#b9bfce", linewidth=0.9, label=f"{len(largest)} largest advertisers"
        )
    shades = ("#2a9d8f", "#e9a23b", "#d1495b", "#7b5ea7", "#8c8c8c")
    segments = sorted({key[1].split(" ")[0] for key in lines if key[0] == "segment"})
    for key in lines:
        if key[0] == "segment":
            name = key[1].split(" ")[0]
            shade = shades[segments.index(name) % len(shades)]
            first = key[1] in (name, f"{name} 0")
            axes.plot(
                *_points(lines[key]), color=shade, linewidth=1.1, label=name if first else None
            )
    for key in (key for key in lines if key[0] == "global"):
        ages, shares = _points(lines[key])
        low, high = ([r[c] for r in lines[key]] for c in ("share_low", "share_high"))
        axes.fill_between(ages, low, high, color="#4f6bed", alpha=0.25, linewidth=0)
        axes.plot(ages, shares, color="#4f6bed", linewidth=2, label="all, with 95 % interval")
    axes.set_xlabel("days from the impression day")
    axes.set_ylabel("share arrived")
    axes.set_ylim(0, 1.02)
    if lines:
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return inline_figure(figure)


def _points(rows: list[dict]) -> tuple[list[int], list[float]]:
    return [row["delay_days"] for row in rows], [row["share"] for row in rows]


def _plot_maturity(rows: list[dict]) -> dg.MarkdownMetadataValue:
    """Per label day the conversions that have arrived, and those that are still to come."""
    from matplotlib.figure import Figure

    rows = sorted(rows, key=lambda row: row["impression_day"])
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    days = [row["impression_day"] for row in rows]
    arrived = [row["num_conversions"] for row in rows]
    missing = [max(0.0, row["expected_conversions"] - row["num_conversions"]) for row in rows]
    axes.bar(days, arrived, color="#4f6bed", label="arrived")
    axes.bar(days, missing, bottom=arrived, color="#c9d2f7", label="expected to arrive")
    axes.set_ylabel("conversions")
    axes.tick_params(axis="x", labelrotation=20, labelsize=8)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return inline_figure(figure)
