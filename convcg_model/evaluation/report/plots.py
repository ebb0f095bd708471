"""The report's plots of what was measured, and of the training, as inline SVG.

Those of the labels and of their ripening are in `label_plots.py`, the look of all in
`plot_style.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convcg_model.evaluation.report.plot_style import (
    INK,
    MODEL,
    MUTED,
    SECOND,
    percent_axis,
    scorer_color,
    style,
    svg,
)
from convcg_model.evaluation.result import Evaluation, Figures
from convcg_model.evaluation.wording import arrived, percent, words

_MAX_POINTS = 300
_UNSEEN = ("seen before", "unseen")


def headline(evaluation: Evaluation) -> str:
    """Recall of every scorer, with its interval: all Pins, and Pins not seen before."""
    config = evaluation.config
    metric = f"recall@{config.headline_k}"
    places = [
        (title, found)
        for title, where in (("All Pins", ("all", "all")), ("Pins not seen before", _UNSEEN))
        if (found := _by_scorer(evaluation, *where))
    ]
    with mpl.rc_context(style("headline")):
        figure = Figure(figsize=(8.6, 0.95 + 0.36 * len(evaluation.scorers)), layout="constrained")
        axes = figure.subplots(1, max(len(places), 1), squeeze=False, sharex=True)[0]
        for axis, (title, found) in zip(axes, places, strict=False):
            names = sorted(found, key=lambda name: found[name].metrics[metric].value)
            for row, name in enumerate(names):
                estimate = found[name].metrics[metric]
                color = scorer_color(name, config=config)
                hollow = name == config.oracle
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
                    weight="bold" if name == config.model else "normal",
                )
            axis.set_yticks(range(len(names)), [words(name) for name in names])
            at = next(iter(found.values()))
            ripe = f", {arrived(at.maturity)} of labels arrived" if at.task == "conversion" else ""
            axis.set_title(f"{title}\n{at.num_queries:,} queries{ripe}")
            axis.spines["left"].set_visible(False)
            axis.tick_params(axis="y", length=0)
            percent_axis(axis)
            axis.margins(x=0.14)
            axis.set_xlim(left=0)
        return svg(figure, label=f"{_task(evaluation)} {metric} by scorer, with intervals")


def slices(evaluation: Evaluation) -> str:
    """Recall per slice: the model, the baseline that is best overall, the ceiling."""
    config = evaluation.config
    metric = f"recall@{config.headline_k}"
    overall = _by_scorer(evaluation, "all", "all")
    others = (config.model, config.oracle, config.champion)
    baselines = [name for name in overall if name not in others]
    best = max(baselines, key=lambda name: overall[name].metrics[metric].value, default=None)
    rows = [
        figures
        for figures in evaluation.figures
        if figures.task == evaluation.headline_task and figures.scorer == config.model
    ]
    with mpl.rc_context(style("slices")):
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
                estimate, color = found[name].metrics[metric], scorer_color(name, config=config)
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
        percent_axis(axis)
        axis.set_xlim(left=0)
        if rows:
            figure.legend(loc="outside upper left", ncols=3)
        return svg(figure, label=f"{_task(evaluation)} {metric} by slice")


def losses(history: Sequence[Mapping[str, float]]) -> str:
    """Training losses over the steps, averaged over neighbouring steps."""
    steps = np.array([row["step"] for row in history], dtype=float)
    names = sorted({name for row in history for name in row if name.startswith("loss")})
    bins = np.array_split(np.arange(len(steps)), min(len(steps), _MAX_POINTS))
    palette = {"loss": INK, "loss_conversion": MODEL, "loss_engagement": SECOND}
    with mpl.rc_context(style("losses")):
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
        return svg(figure, label="Training loss by step")


def validation(course: Mapping[str, Any]) -> str:
    """How the newest training days judged the weights, and the step that was gone on from."""
    steps, scores = zip(*course["validation_curve"], strict=True)
    with mpl.rc_context(style("validation")):
        figure = Figure(figsize=(4.3, 2.2), layout="constrained")
        axis = figure.subplots()
        axis.plot(steps, scores, color=SECOND, linewidth=1.3, marker="o", markersize=3)
        axis.axvline(course["best_step"], color=MODEL, linewidth=1, linestyle="--")
        axis.grid(axis="y")
        axis.set_xlabel("step")
        axis.set_title(f"NDCG on the newest training days, best at step {course['best_step']:,}")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        return svg(figure, label="Validation score by step")


def _task(evaluation: Evaluation) -> str:
    return evaluation.headline_task.capitalize()


def _by_scorer(evaluation: Evaluation, dimension: str, group: str) -> dict[str, Figures]:
    found = {
        name: evaluation.find(
            scorer=name, task=evaluation.headline_task, dimension=dimension, group=group
        )
        for name in evaluation.scorers
    }
    return {name: figures for name, figures in found.items() if figures}


def _slice_label(figures: Figures) -> str:
    if figures.dimension == "all":
        group = "all"
    else:
        group = f"{words(figures.dimension)}: {words(figures.group)}".replace("$", r"\$")
    ripe = f", {arrived(figures.maturity)} arrived" if figures.task == "conversion" else ""
    return f"{group} ({figures.num_queries:,}{ripe})"
