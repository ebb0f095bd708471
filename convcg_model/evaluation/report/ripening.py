"""The evaluations of one model as its labels ripened: one step per day that it was evaluated as of.

How the steps are drawn stands in `label_plots.py`; when a model is evaluated again, in `defs`.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from convcg_model.evaluation.result import Evaluation


class PastEvaluation(BaseModel):
    """What an evaluation of the same model as of some day found over all conversion queries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date = Field(description="The day before which the labels had arrived.")
    num_queries: int = Field(description="Conversions that it was evaluated on.")
    maturity: float | None = Field(description="Estimated share of them that had arrived.")
    recall: dict[str, float] = Field(description="Recall at the headline's k, by scorer.")
    unweighted: dict[str, float] = Field(
        default={}, description="The same with every query counted once."
    )


def past_evaluation(evaluation: Evaluation) -> PastEvaluation | None:
    """The evaluation as a step of a later one's history; None if it had no conversions."""
    metric = f"recall@{evaluation.config.headline_k}"
    overall = [
        figures
        for figures in evaluation.figures
        if (figures.task, figures.dimension) == ("conversion", "all")
    ]
    if not overall:
        return None
    return PastEvaluation(
        as_of=evaluation.as_of,
        num_queries=overall[0].num_queries,
        maturity=overall[0].maturity,
        recall={figures.scorer: figures.metrics[metric].value for figures in overall},
        unweighted={figures.scorer: figures.metrics[metric].unweighted for figures in overall},
    )


def history_after(report: Mapping[str, Any]) -> tuple[PastEvaluation, ...]:
    """The `history` for the next evaluation of a model, given the JSON of its last report."""
    history = [PastEvaluation.model_validate(step) for step in report["context"]["history"]]
    return steps(Evaluation.model_validate(report["evaluation"]), history=history)


def steps(
    evaluation: Evaluation, *, history: Iterable[PastEvaluation]
) -> tuple[PastEvaluation, ...]:
    """The history with this evaluation, in order; of two as of the same day this one is kept."""
    now = past_evaluation(evaluation)
    found = [step for step in history if step.as_of != evaluation.as_of]
    return tuple(sorted([*found, *([now] if now else [])], key=lambda step: step.as_of))
