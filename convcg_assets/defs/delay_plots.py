"""Plots of how late conversions arrive, and of how ripe each label day is."""

import dagster as dg
import ibis
from ibis import _
from ibis.backends.duckdb import Backend

from convcg_assets.defs.metadata import inline_figure

SHOWN_ADVERTISERS = 5
SEGMENT_SHADES = {
    "at_once": "#2a9d8f",
    "daily": "#e9a23b",
    "weekly": "#d1495b",
    "slower": "#7b5ea7",
    "silent": "#8c8c8c",
}


def plot_curves(curves: ibis.Table, *, con: Backend) -> dg.MarkdownMetadataValue:
    """The global curve with its interval, the segments', and the largest advertisers'.

    Those of weekly reporters are means over the weekdays.
    """
    from matplotlib.figure import Figure

    together = curves.group_by("level", "segment", "advertiser_id", "delay_days").agg(
        share=_.share.mean(),
        share_low=_.share_low.mean(),
        share_high=_.share_high.mean(),
        num_conversions=_.num_conversions.sum(),
    )
    rows = con.to_pyarrow(together.order_by("delay_days")).to_pylist()
    lines: dict[str, dict[str, list[dict]]] = {"global": {}, "segment": {}, "advertiser": {}}
    for row in rows:
        name = row["segment"] if row["level"] == "segment" else row["advertiser_id"]
        lines[row["level"]].setdefault(str(name), []).append(row)
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    by_size = sorted(
        lines["advertiser"].values(),
        key=lambda line: (-line[0]["num_conversions"], str(line[0]["advertiser_id"])),
    )
    for number, line in enumerate(largest := by_size[:SHOWN_ADVERTISERS]):
        label = None if number else f"{len(largest)} largest advertisers"
        axes.plot(*_points(line), color="#b9bfce", linewidth=0.9, label=label)
    for name, shade in SEGMENT_SHADES.items():
        if name in lines["segment"]:
            points = _points(lines["segment"][name])
            axes.plot(*points, color=shade, linewidth=1.1, label=name.replace("_", " "))
    for line in lines["global"].values():
        ages, shares = _points(line)
        low, high = ([row[c] for row in line] for c in ("share_low", "share_high"))
        axes.fill_between(ages, low, high, color="#4f6bed", alpha=0.25, linewidth=0)
        axes.plot(ages, shares, color="#4f6bed", linewidth=2, label="all, with 95 % interval")
    axes.set_xlabel("days from the impression day")
    axes.set_ylabel("share arrived")
    axes.set_ylim(0, 1.02)
    if rows:
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return inline_figure(figure)


def _points(rows: list[dict]) -> tuple[list[int], list[float]]:
    return [row["delay_days"] for row in rows], [row["share"] for row in rows]


def plot_maturity(rows: list[dict]) -> dg.MarkdownMetadataValue:
    """Per label day the conversions that have arrived, and those that are still to come."""
    from matplotlib.dates import DateFormatter
    from matplotlib.figure import Figure

    rows = sorted(rows, key=lambda row: row["impression_day"])
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    days = [row["impression_day"] for row in rows]
    arrived = [row["num_conversions"] for row in rows]
    missing = [max(0.0, row["expected_conversions"] - row["num_conversions"]) for row in rows]
    axes.bar(days, arrived, color="#4f6bed", label="arrived")
    axes.xaxis.set_major_formatter(DateFormatter("%b %d"))
    axes.bar(days, missing, bottom=arrived, color="#c9d2f7", label="expected to arrive")
    axes.set_ylabel("conversions")
    axes.tick_params(axis="x", labelsize=8)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return inline_figure(figure)
