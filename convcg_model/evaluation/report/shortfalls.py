"""The verdict in words: where the model is ahead, where a baseline is, and what to try then.

The reasons are told from how the training went (`TrainedModel.course`); they are likely, not sure.
"""

from collections.abc import Mapping
from typing import Any

from convcg_model.evaluation.result import Difference, Evaluation, Figures
from convcg_model.evaluation.wording import percent, words

HEADLINE_SLICES = {
    ("all", "all"): "all Pins",
    ("seen before", "unseen"): "Pins not seen before",
}
FEW_CONVERSIONS = 2_000


def leads(evaluation: Evaluation) -> list[str]:
    """One sentence for every headline slice on which the model is ahead of all baselines."""
    metric, task = f"recall@{evaluation.config.headline_k}", evaluation.headline_task
    found = []
    for where, place in HEADLINE_SLICES.items():
        best = _best_baseline(evaluation, task, where, metric=metric)
        if best is None:
            continue
        model, other = best
        ours, theirs = model.metrics[metric].value, other.metrics[metric].value
        if ours <= theirs:
            continue
        difference = _difference(evaluation, task, where, against=other.scorer, metric=metric)
        sure = ""
        if difference is not None:
            sure = ", clearly" if difference.estimate.low > 0 else ", though not beyond chance"
        found.append(
            f"On {place} the model is ahead of every baseline{sure}: {task} {metric} "
            f"{percent(ours)} against {percent(theirs)} of {words(other.scorer)} "
            f"({model.num_queries:,} queries)."
        )
    return found


def shortfalls(evaluation: Evaluation, *, course: Mapping[str, Any]) -> list[str]:
    """One sentence for every headline slice on which a baseline is ahead, then the advice.

    Empty where the model is ahead everywhere, or was not evaluated.
    """
    found = []
    for task in ("conversion", "engagement"):
        for where, place in HEADLINE_SLICES.items():
            for metric in (f"recall@{k}" for k in sorted({10, evaluation.config.headline_k})):
                if sentence := _sentence(evaluation, task, where, place=place, metric=metric):
                    found.append(sentence)
    return [*found, *_advice(course)] if found else []


def _sentence(
    evaluation: Evaluation, task: str, where: tuple[str, str], *, place: str, metric: str
) -> str | None:
    found = _best_baseline(evaluation, task, where, metric=metric)
    if found is None:
        return None
    model, best = found
    ours, theirs = model.metrics[metric].value, best.metrics[metric].value
    if theirs <= ours:
        return None
    difference = _difference(evaluation, task, where, against=best.scorer, metric=metric)
    sure = ""
    if difference is not None:
        sure = ", clearly" if difference.estimate.high < 0 else ", though not beyond chance"
    return (
        f"On {place} {words(best.scorer)} is ahead of the model{sure}: {task} {metric} "
        f"{percent(theirs)} against {percent(ours)} ({model.num_queries:,} queries)."
    )


def _best_baseline(
    evaluation: Evaluation, task: str, where: tuple[str, str], *, metric: str
) -> tuple[Figures, Figures] | None:
    """The model's figures on a slice and the best baseline's; None without either."""
    config = evaluation.config
    of_slice: dict[str, Figures] = {
        figures.scorer: figures
        for figures in evaluation.figures
        if (figures.task, figures.dimension, figures.group) == (task, *where)
        and metric in figures.metrics
        and figures.scorer not in (config.oracle, config.champion)
    }
    model = of_slice.pop(config.model, None)
    if model is None or not of_slice:
        return None
    return model, max(of_slice.values(), key=lambda figures: figures.metrics[metric].value)


def _difference(
    evaluation: Evaluation, task: str, where: tuple[str, str], *, against: str, metric: str
) -> Difference | None:
    wanted = (task, *where, against, metric)
    for found in evaluation.differences:
        at = (found.task, found.dimension, found.group, found.against, found.metric)
        if at == wanted:
            return found
    return None


def _advice(course: Mapping[str, Any]) -> list[str]:
    """Likely reasons, the strongest first, each with what to try."""
    advice = []
    conversions = course.get("num_conversions")
    if conversions is not None and conversions < FEW_CONVERSIONS:
        advice.append(
            f"Likely: {conversions:,} conversions to learn from are few. Try more "
            "examples.training_days, or count weaker events (add-to-cart, sign-up) as conversions."
        )
    if course.get("has_history") is False:
        advice.append(
            "Likely: no example has recent actions, so that the model cannot bring anything back. "
            "Land engagements with user ids that stay the same over the days."
        )
    if course.get("validation_curve"):
        best, searched = course["best_step"], course["search_steps"]
        if course["ended_by_patience"]:
            advice.append(
                f"The newest training days judged step {best:,} of {searched:,} the best: what "
                "came after it fitted the older days alone. If the curve is ragged, try a larger "
                "training.patience or validation_share; if it falls at once, a larger id_dropout."
            )
        else:
            advice.append(
                f"The training ended at its longest, {searched:,} steps, and was still gaining at "
                f"step {best:,}: try a larger training.max_auto_examples."
            )
    return advice
