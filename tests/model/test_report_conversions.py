"""What the report says of the conversions: none there, what became of them, credited to what."""

import json
import re

from convcg_model.evaluation.report.render import ConversionOutcome, render, to_json
from convcg_model.evaluation.report.shortfalls import leads
from convcg_model.evaluation.result import Evaluation

from .test_report import CONTEXT, HISTORY, rich_evaluation


def without_conversions() -> Evaluation:
    """As of a log that has engagements alone."""
    rich = rich_evaluation()
    is_engagement = {"figures": rich.figures, "differences": rich.differences, "tasks": rich.tasks}
    kept = {k: tuple(x for x in v if x.task == "engagement") for k, v in is_engagement.items()}
    days = tuple(
        day.model_copy(update={"num_conversions": 0, "conversion_maturity": None})
        for day in rich.label_days
    )
    examples = tuple(e.model_copy(update={"task": "engagement"}) for e in rich.examples)
    return rich.model_copy(update={**kept, "label_days": days, "examples": examples})


def test_without_conversions_engagement_is_the_headline():
    evaluation = without_conversions()
    context = CONTEXT.model_copy(update={"history": ()})
    page = render(evaluation, training_history=HISTORY, context=context)
    main = evaluation.find(scorer="model", task="engagement")
    assert main is not None
    value = f"{100 * main.metrics['recall@100'].value:.1f}%"
    assert f'<div class="big">{value}</div>' in page
    for text in (
        "<h1>Engagement candidates on simulated shop",
        "No conversion has arrived: the model is judged by engagements, which arrive at once.",
        f"clearly: engagement recall@100 {value} against",
        "Engagement recall@100 by scorer",
        "Engagement recall@100 by slice",
        "Engagement labels by held-out day",
        '<span class="better">better</span>',
    ):
        assert text in page, text
    for text in ("The labels are young", "no held-out conversions", "labels arrived", "\u2212"):
        assert text not in page, text
    past = context.model_copy(update={"outcome_days": "May 1 to May 9"})
    page = render(evaluation, training_history=HISTORY, context=past)
    assert "No conversion arrived on May 1 to May 9: the model is judged" in page
    known = past.model_copy(update={"outcomes": OUTCOMES})
    page = render(evaluation, training_history=HISTORY, context=known)
    assert "No conversion is among the held-out positives" in page


OUTCOMES = (
    ConversionOutcome(name="no touch", conversions=790.0, share=0.79),
    ConversionOutcome(name="click on its <advertiser>", conversions=209.6, share=0.21),
)


def test_what_became_of_the_conversions_is_on_the_page():
    context = CONTEXT.model_copy(update={"outcomes": OUTCOMES, "outcome_days": "May 1 to May 9"})
    page = render(rich_evaluation(), training_history=[], context=context)
    text = re.sub(r"(<[^>]+>|\s)+", " ", page[page.index('id="conversions"') :])
    assert "Of all reports that arrived on May 1 to May 9." in text
    assert "no touch 790 79.0% click on its &lt;advertiser&gt; 210 21.0% " in text
    read = json.loads(to_json(rich_evaluation(), training_history=[], context=context))
    without = render(rich_evaluation(), training_history=[], context=CONTEXT)
    assert "What became of the conversions" not in without
    assert '<span class="tag hit">taken</span>' in without
    assert "What their conversion was credited to" not in without
    assert read["context"]["outcomes"][0] == {"name": "no touch", "conversions": 790, "share": 0.79}


def test_what_a_conversion_is_credited_to_by_its_advertiser_was_not_taken():
    rich = rich_evaluation(num_examples=1)
    matched = tuple(e.model_copy(update={"match_level": "advertiser"}) for e in rich.examples)
    evaluation = rich.model_copy(update={"examples": matched})
    page = render(evaluation, training_history=HISTORY, context=CONTEXT)
    assert "What their conversion was credited to, by its advertiser alone (the model" in page
    assert '<span class="tag hit">credited</span>' in page
    assert "What they bought" not in page


def test_the_verdict_in_words_is_on_the_page_and_in_the_json():
    evaluation = rich_evaluation()
    page = render(evaluation, training_history=[], context=CONTEXT)
    said = leads(evaluation)
    assert [sentence.split(" the model ")[0] for sentence in said] == [
        "On all Pins",
        "On Pins not seen before",
    ]
    main, best = (evaluation.find(scorer=name, task="conversion") for name in ("model", "als"))
    assert main is not None
    assert best is not None
    assert said[0] == (
        "On all Pins the model is ahead of every baseline, clearly: conversion recall@100 "
        f"{100 * main.metrics['recall@100'].value:.1f}% against "
        f"{100 * best.metrics['recall@100'].value:.1f}% of ALS (1,500 queries)."
    )
    assert all(f'<p class="lead">{sentence}</p>' in page for sentence in said)
    read = json.loads(to_json(evaluation, training_history=HISTORY, context=CONTEXT))
    assert read["verdict"] == said
    assert leads(rich_evaluation(skill={"model": 0.5, "als": 2.0})) == []
    [close, *_] = leads(rich_evaluation(skill={"model": 1.001, "als": 1.0}, num_queries=30)) or [""]
    assert "though not beyond chance" in close
