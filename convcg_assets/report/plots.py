"""The report's plots as inline SVG. Matplotlib is loaded here and nowhere else.

Colours are those of the light page; in the SVG they become the page's CSS variables, so that the
plots follow it into dark mode. Text stays text, in the page's font.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from convcg_assets.report.render import percent, words
from convcg_model.evaluation_result import Evaluation, Figures

INK, MUTED, RULE = "#1d2329", "#68727d", "#dde1e6"
MODEL, BASELINE, CEILING, SECOND = "#b3123a", "#98a3af", "#c98a12", "#2468a8"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    MODEL: "--model",
    BASELINE: "--baseline",
    CEILING: "--ceiling",
    SECOND: "--second",
}
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "font.size": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}
_MAX_POINTS = 300
_UNSEEN = ("seen before", "unseen")


def headline(evaluation: Evaluation) -> str:
    """Conversion recall of every scorer, with its interval: all Pins, and Pins not seen before."""
    metric = f"recall@{evaluation.config.headline_k}"
    places = [
        (title, found)
        for title, where in (("All Pins", ("all", "all")), ("Pins not seen before", _UNSEEN))
        if (found := _by_scorer(evaluation, *where))
    ]
    with mpl.rc_context(_style("headline")):
        figure = Figure(figsize=(8.6, 0.8 + 0.36 * len(evaluation.scorers)), layout="constrained")
        axes = figure.subplots(1, max(len(places), 1), squeeze=False, sharex=True)[0]
        for axis, (title, found) in zip(axes, places, strict=False):
            names = sorted(found, key=lambda name: found[name].metrics[metric].value)
            for row, name in enumerate(names):
                estimate = found[name].metrics[metric]
                color = _color(evaluation, name)
                hollow = name == evaluation.config.oracle
                axis.barh(
                    row,
                    estimate.value,
                    height=0.62,
                    color="none" if hollow else color,
                    edgecolor=color,
                    linestyle="--" if hollow else "-",
                )
                axis.plot([estimate.low, estimate.high], [row, row], color=INK, linewidth=1.1)
                axis.annotate(
                    percent(estimate.value),
                    (max(estimate.high, estimate.value), row),
                    xytext=(5, 0),
                    textcoords="offset points",
                    va="center",
                    weight="bold" if name == evaluation.config.model else "normal",
                )
            axis.set_yticks(range(len(names)), [words(name) for name in names])
            axis.set_title(f"{title} ({next(iter(found.values())).num_queries:,} queries)")
            axis.spines["left"].set_visible(False)
            axis.tick_params(axis="y", length=0)
            _percent_axis(axis)
            axis.margins(x=0.14)
            axis.set_xlim(left=0)
        return _svg(figure, label=f"Conversion {metric} by scorer, with intervals")


def slices(evaluation: Evaluation) -> str:
    """Conversion recall per slice: the model, the baseline that is best overall, the ceiling."""
    config = evaluation.config
    metric = f"recall@{config.headline_k}"
    overall = _by_scorer(evaluation, "all", "all")
    baselines = [name for name in overall if name not in (config.model, config.oracle)]
    best = max(baselines, key=lambda name: overall[name].metrics[metric].value, default=None)
    rows = [
        figures
        for figures in evaluation.figures
        if figures.task == "conversion" and figures.scorer == config.model
    ]
    with mpl.rc_context(_style("slices")):
        figure = Figure(figsize=(9.4, 1.2 + 0.25 * len(rows)), layout="constrained")
        axis = figure.subplots()
        y, ticks, previous = 0.0, [], None
        for at in rows:
            y += 1.5 if previous not in (None, at.dimension) else 1.0
            previous = at.dimension
            ticks.append((y, _slice_label(at)))
            found = _by_scorer(evaluation, at.dimension, at.group)
            drawn = ((config.oracle, "|", 0.0), (best, "s", 0.18), (config.model, "o", -0.18))
            for name, marker, shift in drawn:
                if name is None or name not in found:
                    continue
                estimate, color = found[name].metrics[metric], _color(evaluation, name)
                if name != config.oracle:
                    span = [estimate.low, estimate.high]
                    axis.plot(span, [y + shift] * 2, color=color, linewidth=1.2)
                axis.plot(
                    estimate.value,
                    y + shift,
                    marker=marker,
                    color=color,
                    markersize=10 if marker == "|" else 5.5,
                    markeredgewidth=2 if marker == "|" else 1.2,
                    markerfacecolor="none" if at.too_small else color,
                    linestyle="none",
                    label=words(name) if len(ticks) == 1 else None,
                )
        axis.set_yticks([y for y, _ in ticks], [label for _, label in ticks])
        axis.invert_yaxis()
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        _percent_axis(axis)
        axis.set_xlim(left=0)
        if rows:
            figure.legend(loc="outside upper left", ncols=3)
        return _svg(figure, label=f"Conversion {metric} by slice")


def losses(history: Sequence[Mapping[str, float]]) -> str:
    """Training losses over the steps, averaged over neighbouring steps."""
    steps = np.array([row["step"] for row in history], dtype=float)
    names = sorted({name for row in history for name in row if name.startswith("loss")})
    bins = np.array_split(np.arange(len(steps)), min(len(steps), _MAX_POINTS))
    palette = {"loss": INK, "loss_conversion": MODEL, "loss_engagement": SECOND}
    with mpl.rc_context(_style("losses")):
        figure = Figure(figsize=(4.3, 2.6), layout="constrained")
        axis = figure.subplots()
        for name in names:
            values = np.array([row.get(name, np.nan) for row in history], dtype=float)
            kept = [b[np.isfinite(values[b])] for b in bins]
            kept = [b for b in kept if len(b)]
            axis.plot(
                [steps[b].mean() for b in kept],
                [values[b].mean() for b in kept],
                color=palette.get(name, MUTED),
                linewidth=1.3,
                label={"loss": "total"}.get(name, name.removeprefix("loss_")),
            )
        axis.grid(axis="y")
        axis.set_xlabel("step")
        axis.set_title("Training loss")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.legend(fontsize=8.5)
        return _svg(figure, label="Training loss by step")


def label_days(evaluation: Evaluation) -> str:
    """Conversion labels of each held-out day, with their age."""
    days = evaluation.label_days
    with mpl.rc_context(_style("label_days")):
        figure = Figure(figsize=(4.3, 2.6), layout="constrained")
        axis = figure.subplots()
        heights = [day.num_conversions for day in days]
        bars = axis.bar(range(len(days)), heights, color=MODEL, width=0.6)
        axis.bar_label(bars, [f"{height:,}" for height in heights], padding=2)
        ages = [f"{day.day:%b %d}\n{day.label_age_days} d old" for day in days]
        every = -(-len(days) // 7)
        axis.set_xticks(range(0, len(days), every), ages[::every])
        axis.tick_params(axis="x", length=0)
        axis.set_title("Conversion labels by impression day")
        axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.grid(axis="y")
        axis.margins(y=0.15)
        return _svg(figure, label="Conversion labels by held-out day")


def _style(plot: str) -> dict[Any, Any]:
    """The style, with element ids that differ from other plots' and not from run to run."""
    return {**_STYLE, "svg.hashsalt": plot}


def _by_scorer(evaluation: Evaluation, dimension: str, group: str) -> dict[str, Figures]:
    found = {
        name: evaluation.find(scorer=name, task="conversion", dimension=dimension, group=group)
        for name in evaluation.scorers
    }
    return {name: figures for name, figures in found.items() if figures}


def _color(evaluation: Evaluation, name: str) -> str:
    special = {evaluation.config.model: MODEL, evaluation.config.oracle: CEILING}
    return special.get(name, BASELINE)


def _slice_label(figures: Figures) -> str:
    if figures.dimension == "all":
        return f"all ({figures.num_queries:,})"
    group = words(figures.group).replace("$", r"\$")
    return f"{words(figures.dimension)}: {group} ({figures.num_queries:,})"


def _percent_axis(axis: Axes) -> None:
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.grid(axis="x")


def _svg(figure: Figure, *, label: str) -> str:
    """The figure as an `<svg>` element with the page's colours, as wide as its place allows."""
    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    # Sizes come from the style sheet and the font from the page; element ids that nothing refers
    # to would appear once per plot.
    opening, rest = text.split(">", 1)
    view_box = opening[opening.index("viewBox=") :].split('"')[1]
    width = float(view_box.split()[2])
    rest = re.sub(r'font-family: [^;"]*;?|<style.*?</style>', "", rest, flags=re.DOTALL)
    rest = re.sub(r'<g id="[^"]*"', "<g", rest)
    return (
        f'<svg viewBox="{view_box}" role="img" aria-label="{label}" '
        f'style="max-width: {width * 1.65:.0f}px">{rest}'
    )
