"""Where a baseline is ahead the report says so, and what to try; else it says nothing."""

from convcg_model.evaluation.report.render import render
from convcg_model.evaluation.report.shortfalls import shortfalls
from tests.model.test_report import CONTEXT, HISTORY, SKILL, rich_evaluation

COURSE = {
    "num_positives": 30_000,
    "num_conversions": 1_234,
    "has_history": True,
    "validation_curve": [[10, 0.1], [20, 0.2], [30, 0.15]],
    "best_step": 20,
    "search_steps": 30,
    "finish_steps": 10,
    "ended_by_patience": True,
}
BEATEN = SKILL | {"model": 0.5, "popularity": 1.6}


def test_a_model_that_is_ahead_everywhere_is_left_alone():
    assert shortfalls(rich_evaluation(), course=COURSE) == []
    page = render(rich_evaluation(), training_history=HISTORY, context=CONTEXT)
    assert 'class="caution shortfalls"' not in page


def test_the_best_baseline_is_named_with_both_figures():
    evaluation = rich_evaluation(skill=BEATEN)
    found = shortfalls(evaluation, course={})
    of = {name: evaluation.find(scorer=name, task="conversion") for name in ("model", "popularity")}
    ours, theirs = (
        100 * figures.metrics["recall@100"].value for figures in of.values() if figures is not None
    )
    assert (
        f"On all Pins popularity is ahead of the model, clearly: conversion recall@100 "
        f"{theirs:.1f}% against {ours:.1f}% (1,500 queries)."
    ) in found
    assert any(sentence.startswith("On Pins not seen before") for sentence in found)
    assert not any("ceiling" in sentence for sentence in found)


def test_the_advice_follows_from_how_the_training_went():
    evaluation = rich_evaluation(skill=BEATEN)
    text = " ".join(shortfalls(evaluation, course=COURSE))
    assert "1,234 conversions to learn from are few" in text
    assert "judged step 20 of 30 the best" in text
    assert "recent actions" not in text
    other = COURSE | {
        "num_conversions": 90_000,
        "has_history": False,
        "ended_by_patience": False,
    }
    text = " ".join(shortfalls(evaluation, course=other))
    assert "are few" not in text
    assert "no example has recent actions" in text
    assert "ended at its longest, 30 steps" in text


def test_the_page_says_it_at_the_top_and_shows_the_curve():
    context = CONTEXT.model_copy(update={"course": COURSE})
    page = render(rich_evaluation(skill=BEATEN), training_history=HISTORY, context=context)
    said = page.index("popularity is ahead of the model")
    assert page.index("<h1>") < said < page.index("Conversion recall@100 of the model")
    assert "Validation score by step" in page
    assert "best step" in page
