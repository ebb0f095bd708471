"""The report's plots of the labels: how many have arrived, and how figures moved as more did."""

from collections.abc import Sequence
from itertools import cycle

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from convcg_model.evaluation.report.plot_style import MODEL, MUTED, SECOND, scorer_color, style, svg
from convcg_model.evaluation.report.ripening import PastEvaluation
from convcg_model.evaluation.result import Evaluation, EvaluationConfig
from convcg_model.evaluation.wording import arrived, words

_MAX_TICKS = 7
_MARKERS = "s^vDPX"


def label_days(evaluation: Evaluation) -> str:
    """Labels of each held-out day: conversions that are here and those estimated to come.

    Without conversions the engagements, which are all here.
    """
    days, by_conversions = evaluation.label_days, evaluation.headline_task == "conversion"
    here = [day.num_conversions if by_conversions else day.num_engagements for day in days]
    ripe = [
        count / (day.conversion_maturity or 1) if by_conversions else count
        for count, day in zip(here, days, strict=True)
    ]
    is_known = by_conversions and any(day.conversion_maturity is not None for day in days)
    with mpl.rc_context(style("label_days")):
        figure = Figure(figsize=(4.3, 2.6), layout="constrained")
        axis = figure.subplots()
        axis.bar(range(len(days)), here, color=MODEL if by_conversions else SECOND, width=0.6)
        expected = axis.bar(
            range(len(days)),
            ripe,
            color="none",
            edgecolor=MUTED,
            linestyle="--" if is_known else "none",
            width=0.6,
        )
        every = -(-len(days) // _MAX_TICKS)
        if every == 1:
            told = [f"{count:,}" for count in here]
            if by_conversions:
                shares = [arrived(day.conversion_maturity) for day in days]
                told = [f"{t}\n{share}" for t, share in zip(told, shares, strict=True)]
            axis.bar_label(expected, told, padding=2)
        ages = [f"{day.day:%b %d}\n{day.label_age_days} d old" for day in days]
        axis.set_xticks(range(0, len(days), every), ages[::every])
        axis.tick_params(axis="x", length=0)
        title = "Conversions arrived" + " and (dashed) to come" * is_known
        axis.set_title(title if by_conversions else "Engagements held out")
        axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.grid(axis="y")
        axis.margins(y=0.2)
        axis.set_ylim(bottom=0, top=None if any(here) else 1)
        name = "Conversion" if by_conversions else "Engagement"
        return svg(figure, label=f"{name} labels by held-out day")


def ripening(steps: Sequence[PastEvaluation], *, config: EvaluationConfig) -> str:
    """Conversion recall of every scorer by the day that it was evaluated as of."""
    with mpl.rc_context(style("ripening")):
        figure = Figure(figsize=(9.4, 2.9), layout="constrained")
        axis = figure.subplots()
        names = [name for name in steps[-1].recall if name != config.model]
        markers = dict(zip(names, cycle(_MARKERS))) | {config.model: "o"}
        for name, marker in markers.items():
            _line(axis, steps, name=name, marker=marker, config=config)
        unweighted = [step for step in steps if config.model in step.unweighted]
        axis.plot(
            [step.as_of.toordinal() for step in unweighted],
            [step.unweighted[config.model] for step in unweighted],
            color=MODEL,
            linestyle=":",
            linewidth=1.2,
            label=f"{words(config.model)}, unweighted",
        )
        shown = steps[:: -(-len(steps) // _MAX_TICKS)]
        axis.set_xticks(
            [step.as_of.toordinal() for step in shown],
            [f"{step.as_of:%b %d}\n{arrived(step.maturity)}" for step in shown],
        )
        axis.set_xlabel("evaluated as of, and share of the conversions that had arrived")
        axis.yaxis.set_major_formatter(PercentFormatter(1))
        axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.grid(axis="y")
        axis.set_ylim(bottom=0)
        figure.legend(loc="outside right upper")
        return svg(figure, label="Conversion recall as the labels ripened")


def _line(
    axis: Axes,
    steps: Sequence[PastEvaluation],
    *,
    name: str,
    marker: str,
    config: EvaluationConfig,
) -> None:
    known = [step for step in steps if name in step.recall]
    axis.plot(
        [step.as_of.toordinal() for step in known],
        [step.recall[name] for step in known],
        color=scorer_color(name, config=config),
        linestyle="--" if name == config.oracle else "-",
        linewidth=1.8 if name == config.model else 1.2,
        marker=marker,
        markersize=4.5,
        label=words(name),
    )
