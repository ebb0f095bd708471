"""The page of a backtest: each model's recall over the days, and their differences."""

from collections.abc import Sequence
from importlib import resources

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from convcg_model.evaluation.over_time import SLICES, Point
from convcg_model.evaluation.report.plot_style import BASELINE, CEILING, MODEL, SECOND, style, svg
from convcg_model.evaluation.wording import percent, words

COLORS = (MODEL, SECOND, CEILING)


def render_backtest(
    points: Sequence[Point],
    *,
    name: str,
    models: Sequence[str],
    settings: dict[str, str],
    headline_k: int,
    notes: Sequence[str],
) -> str:
    """One self-contained HTML page.

    `models` are the scorers that were trained, the first of which the others are compared with;
    all others are baselines. `settings` says of each model what differs from the defaults.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "words": words}
    package = resources.files("convcg_model.evaluation.report")
    template = environment.from_string(package.joinpath("backtest.html.j2").read_text("utf-8"))
    tasks = list(dict.fromkeys(point.task for point in points))
    return template.render(
        name=name,
        models=models,
        settings=settings,
        k=headline_k,
        notes=notes,
        places=SLICES,
        tasks=tasks,
        days=sorted({point.day for point in points if point.day is not None}),
        points=points,
        find=lambda **where: next(
            (p for p in points if all(getattr(p, key) == v for key, v in where.items())), None
        ),
        scorers=list(dict.fromkeys(point.scorer for point in points)),
        plots={
            (task, place): Markup(_plot(points, task=task, place=place, models=models))
            for task in tasks
            for place in SLICES
        },
    )


def _plot(points: Sequence[Point], *, task: str, place: str, models: Sequence[str]) -> str:
    import matplotlib as mpl
    from matplotlib.ticker import PercentFormatter

    with mpl.rc_context(style(f"{task} {place}")):
        figure = Figure(figsize=(6.6, 2.9), layout="constrained")
        axes = figure.subplots()
        shown = [p for p in points if (p.task, p.place) == (task, place) and p.day is not None]
        last = [p for p in shown if p.day == shown[-1].day and p.scorer not in models]
        best = max(last, key=lambda point: point.value).scorer if last else None
        for scorer in dict.fromkeys(p.scorer for p in shown):
            own = [p for p in shown if p.scorer == scorer]
            days, values = [str(p.day) for p in own], [p.value for p in own]
            if scorer in models:
                color = COLORS[list(models).index(scorer) % len(COLORS)]
                low, high = [p.low for p in own], [p.high for p in own]
                axes.fill_between(days, low, high, color=color, alpha=0.15, linewidth=0)
                axes.plot(days, values, color=color, marker="o", markersize=4, label=scorer)
            else:
                axes.plot(days, values, color=BASELINE, linewidth=1, linestyle=":")
                if scorer == best:
                    axes.annotate(
                        words(scorer),
                        (days[-1], values[-1]),
                        xytext=(0, 5),
                        fontsize=8,
                        textcoords="offset points",
                        ha="right",
                        color=BASELINE,
                    )
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(axis="y")
        axes.set_title(f"{task.capitalize()} recall, {SLICES[place]}")
        axes.tick_params(axis="x", labelrotation=25 if len(shown) > 12 else 0, labelsize=8)
        axes.legend(loc="lower left", ncols=len(models))
        return svg(figure, label=f"{task} recall over days, {SLICES[place]}")
