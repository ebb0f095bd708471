"""From an evaluation to one self-contained HTML page and to JSON.

What is measured is decided in `convcg_model.evaluation.evaluate`; the plots are in `plots.py` and
`label_plots.py`, names and numbers as people write them in `wording.py`.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field

from convcg_model.evaluation import wording
from convcg_model.evaluation.report.ripening import PastEvaluation, steps
from convcg_model.evaluation.report.shortfalls import HEADLINE_SLICES, leads, shortfalls
from convcg_model.evaluation.result import Estimate, Evaluation, Figures
from convcg_model.evaluation.verdict import Verdict


class ConversionOutcome(BaseModel):
    """What became of some of the conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="In words, such as `click on the Pin`, `no touch`.")
    conversions: float = Field(description="How many; of those with several touches their credit.")
    share: float = Field(description="Share of all conversions that arrived in those days.")


class InService(BaseModel):
    """A registered model that serves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(description="Version in the registry.")
    day: date = Field(description="Its day T.")


class ReportContext(BaseModel):
    """What made the model that is reported on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="Name of the source of the logs.")
    model_version: str = Field(description="Version of the checkpoint.")
    index: dict[str, str | int | float] = Field(
        default={}, description="The index by property: factory, Pins, recall against exact search."
    )
    row_counts: dict[str, int] = Field(default={}, description="Rows by table, in stage order.")
    table_versions: dict[str, int] = Field(default={}, description="Lake version by table.")
    settings: dict[str, str | int | float | bool] = Field(
        default={}, description="Settings worth showing: of training, of the ALS baseline."
    )
    course: dict[str, Any] = Field(
        default={}, description="How the training went: `TrainedModel.course`, and its positives."
    )
    outcomes: tuple[ConversionOutcome, ...] = Field(
        default=(), description="What became of the conversions before day T, most first."
    )
    outcome_days: str = Field(default="", description="The arrival days of these conversions.")
    notes: tuple[str, ...] = Field(default=(), description="Caveats of this run, shown on top.")
    in_service: InService | None = Field(
        default=None, description="The model that served when this one was first evaluated."
    )
    promotion: Verdict | None = Field(
        default=None, description="Whether the model may go into service, by guard."
    )
    history: tuple[PastEvaluation, ...] = Field(
        default=(), description="Evaluations of the same model as of other days, in any order."
    )


def render(
    evaluation: Evaluation,
    *,
    training_history: Sequence[Mapping[str, float]],
    context: ReportContext,
) -> str:
    """The report as one HTML page that loads nothing from anywhere.

    `training_history` holds one mapping per logged step: `step` and losses by name. All text from
    logs (titles, queries, ids) is escaped.
    """
    from convcg_model.evaluation.report import label_plots, plots

    ripened = steps(evaluation, history=context.history)
    if len(ripened) < 2:  # One point is no course.
        ripened = ()
    names = [name for name in evaluation.scorers if name != evaluation.config.oracle]
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "words": wording.words,
        "percent": wording.percent,
        "bounds": wording.bounds,
        "arrived": wording.arrived,
        "rank": wording.rank_words,
        "thousands": lambda number: f"{number:,}",
        "figure": wording.figure,
    }
    template = environment.from_string(
        resources.files("convcg_model.evaluation.report")
        .joinpath("report.html.j2")
        .read_text("utf-8")
    )
    return template.render(
        evaluation=evaluation,
        config=evaluation.config,
        context=context,
        tasks=[task for task in evaluation.tasks if task.num_queries],
        headline=f"recall@{evaluation.config.headline_k}",
        judged_by=evaluation.headline_task,
        ripens=evaluation.headline_task == "conversion",
        metrics=metric_names(evaluation),
        figures=evaluation.find,
        overall=lambda task: next(
            (f for f in evaluation.figures if (f.task, f.dimension) == (task, "all")), None
        ),
        weighted=_is_weighted,
        best=best_values(evaluation),
        verdicts=verdicts(evaluation),
        leads=leads(evaluation),
        shortfalls=shortfalls(evaluation, course=context.course),
        place_maturity=_place_maturity(evaluation),
        conversions=next((task for task in evaluation.tasks if task.task == "conversion"), None),
        ripened=ripened,
        has_ceiling=evaluation.config.oracle in evaluation.scorers,
        baselines=[name for name in names if name != evaluation.config.model],
        dimensions=slice_rows(evaluation, task=evaluation.headline_task),
        plots={
            "headline": Markup(plots.headline(evaluation)),
            "slices": Markup(plots.slices(evaluation)),
            "losses": Markup(plots.losses(training_history)) if training_history else "",
            "validation": Markup(plots.validation(context.course))
            if context.course.get("validation_curve")
            else "",
            "label_days": Markup(label_plots.label_days(evaluation)),
            "ripening": Markup(label_plots.ripening(ripened, config=evaluation.config))
            if ripened
            else "",
        },
    )


def to_json(
    evaluation: Evaluation,
    *,
    training_history: Sequence[Mapping[str, float]],
    context: ReportContext,
) -> str:
    """Everything that the page shows, for machines: evaluation, losses and context."""
    return json.dumps(
        {
            "verdict": [*leads(evaluation), *shortfalls(evaluation, course=context.course)],
            "context": context.model_dump(mode="json"),
            "evaluation": evaluation.model_dump(mode="json"),
            "training_history": [dict(step) for step in training_history],
        },
        indent=1,
        ensure_ascii=False,
    )


def metric_names(evaluation: Evaluation) -> list[str]:
    """The metrics in the order of the table's columns."""
    config = evaluation.config
    return [*(f"recall@{k}" for k in config.recall_ks), f"ndcg@{config.ndcg_k}"]


def best_values(evaluation: Evaluation) -> dict[tuple[str, str], float]:
    """Best value of every (task, metric) over all queries, the oracle left out."""
    best: dict[tuple[str, str], float] = {}
    for figures in evaluation.figures:
        if figures.dimension == "all" and figures.scorer != evaluation.config.oracle:
            for metric, estimate in figures.metrics.items():
                key = figures.task, metric
                best[key] = max(best.get(key, 0.0), estimate.value)
    return best


def verdicts(evaluation: Evaluation) -> dict[str, dict[str, tuple[Estimate, str]]]:
    """By place (all Pins, Pins not seen before) and baseline, the model's difference and a verdict.

    The verdict is `better`, `worse`, or `not clearly different` when the paired interval holds 0.
    """
    places, task = HEADLINE_SLICES, evaluation.headline_task
    found: dict[str, dict[str, tuple[Estimate, str]]] = {}
    for difference in evaluation.differences:
        place = places.get((difference.dimension, difference.group))
        if difference.task != task or difference.against == evaluation.config.oracle:
            continue
        if place:
            estimate = difference.estimate
            found.setdefault(place, {})[difference.against] = estimate, _verdict(estimate)
    return found


def slice_rows(evaluation: Evaluation, *, task: str) -> dict[str, list[dict[str, Figures]]]:
    """By dimension, one row per group: the figures of every scorer."""
    rows: dict[str, dict[str, dict[str, Figures]]] = {}
    for figures in evaluation.figures:
        if figures.task == task and figures.dimension != "all":
            groups = rows.setdefault(figures.dimension, {})
            groups.setdefault(figures.group, {})[figures.scorer] = figures
    return {dimension: list(groups.values()) for dimension, groups in rows.items()}


def _verdict(estimate: Estimate) -> str:
    if estimate.low > 0:
        return "better"
    return "worse" if estimate.high < 0 else "not clearly different"


def _is_weighted(figures: Figures) -> bool:
    """Whether some queries count for more than others."""
    return figures.effective_queries < figures.num_queries * (1 - 1e-9)


def _place_maturity(evaluation: Evaluation) -> dict[str, float | None]:
    """Share of the labels of each verdict's place that have arrived."""
    names = HEADLINE_SLICES
    return {
        names[figures.dimension, figures.group]: figures.maturity
        for figures in evaluation.figures
        if figures.task == evaluation.headline_task and (figures.dimension, figures.group) in names
    }
