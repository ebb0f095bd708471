import json
import re
from datetime import date, timedelta
from html.parser import HTMLParser

import numpy as np
import pytest

from convcg_model.evaluation.figures import summarise
from convcg_model.evaluation.report.render import ReportContext, render, to_json, verdicts
from convcg_model.evaluation.report.ripening import PastEvaluation, history_after, past_evaluation
from convcg_model.evaluation.result import (
    Action,
    Evaluation,
    EvaluationConfig,
    ExampleQuery,
    LabelDay,
    PinCard,
    ResultPin,
    TaskQueries,
)

T = date(2026, 3, 10)
AS_OF = T + timedelta(days=5)
HOSTILE = '<script>alert("$x_{1}$")</script> & </title>'
SKILL = {"model": 1.6, "popularity": 0.5, "recently_viewed": 0.8, "als": 1.1, "oracle": 3.0}
SLICES = {
    "all": {"all": 1.0},
    "seen before": {"seen": 0.4, "unseen": 0.6},
    "surface": {"homefeed": 0.6, "related_pins": 0.25, "search": 0.15},
    "touch type": {"click": 0.7, "engagement": 0.2, "view": 0.1},
    "Pin": {"new": 0.02, "older": 0.98},
    "user": {"known": 0.85, "new": 0.15},
    "advertiser decile": {"none": 0.01} | {str(i): i / 56 for i in range(1, 11)},
}
ALL_METRICS = ("recall@10", "recall@100", "recall@1000", "ndcg@100")


def pin(number, title: str | None = "Hand-thrown stoneware mug"):
    return PinCard(
        pin_id=str(number), title=title, category="kitchen", price=24.5, advertiser_id="7"
    )


def example(surface, rank, *, num_recent=3, query=None):
    return ExampleQuery(
        task="conversion",
        day=T - timedelta(days=2),
        impression_id="123",
        user_id="u42",
        surface=surface,
        subject=pin(3) if surface == "related_pins" else None,
        query=query,
        seen_before=False,
        recent=tuple(
            Action(pin=pin(i), action="click", age_days=0.4 + i) for i in range(num_recent)
        ),
        results=tuple(
            ResultPin(
                pin=pin(100 + i, title=f"Linen apron, colour {i}"),
                score=1 - i / 10,
                is_target=rank == i + 1,
                is_recent=i == 5,
            )
            for i in range(10)
        ),
        target=pin(9, title=None if rank is None else HOSTILE),
        ranks={"model": rank, "popularity": 1234.5, "oracle": 2.0},
    )


def rich_evaluation(*, num_queries=1500, num_examples=3, skill=SKILL, youngest: float | None = 0.4):
    """An evaluation with maturities from `youngest` to 1; none if that is None."""
    rng = np.random.default_rng(0)
    config = EvaluationConfig(num_resamples=100, as_of=AS_OF, max_maturity_factor=5)
    figures, differences = [], []
    for task in ("conversion", "engagement"):
        for dimension, groups in SLICES.items():
            if (dimension, task) == ("touch type", "engagement"):
                continue
            for group, share in groups.items():
                size = max(int(num_queries * share), 1)
                ranks = {
                    name: np.ceil(12_000 * rng.random(size) ** (1 + strength))
                    for name, strength in skill.items()
                }
                user = rng.integers(max(size // 2, 1), size=size)
                ripe = youngest is not None and task == "engagement"
                factor = None if youngest is None else 1 / rng.uniform(youngest, 1, size=size)
                found = summarise(
                    ranks,
                    user_Q=user,
                    factor_Q=np.ones(size) if ripe else factor,
                    match_Q=np.ones(size),
                    where=(task, dimension, group),
                    config=config,
                )
                figures += found[0]
                differences += found[1]
    return Evaluation(
        day=T,
        as_of=AS_OF,
        config=config,
        scorers=tuple(skill),
        tasks=(
            TaskQueries(
                task="conversion",
                num_positives=num_queries,
                num_queries=num_queries,
                num_users=num_queries // 2,
                maturity=youngest and 0.66,
                num_capped=7,
                num_targets_not_indexed=12,
            ),
            TaskQueries(
                task="engagement",
                num_positives=48_000,
                num_queries=10_000,
                num_users=3_900,
                maturity=youngest and 1.0,
                num_capped=0,
                num_targets_not_indexed=0,
            ),
        ),
        label_days=tuple(
            LabelDay(
                day=T - timedelta(days=age),
                label_age_days=age + 5,
                num_conversions=100 * age,
                conversion_maturity=youngest and 0.42 + age / 10,
                num_engagements=8_000,
                num_candidates=12_000,
            )
            for age in (3, 2, 1)
        ),
        figures=tuple(figures),
        differences=tuple(differences),
        examples=(
            example("homefeed", 3.0),
            example("related_pins", 240.0, num_recent=12),
            example("search", None, num_recent=0, query="blue mug <b>"),
        )[:num_examples],
    )


CONTEXT = ReportContext(
    source="simulated shop",
    model_version="3f9a" * 16,
    index={"factory": "Flat", "Pins": 12_000, "recall@100 against exact search": 1.0},
    row_counts={"impressions": 1_800_000, "training_examples": 250_000},
    table_versions={"impressions": 45, "training_examples": 1, "pin_features": 46},
    settings={"epochs": 3, "learning rate": 0.001},
    notes=("The first day is partial.",),
    history=tuple(
        PastEvaluation(
            as_of=T + timedelta(days=day),
            num_queries=900 + 100 * day,
            maturity=0.3 + 0.07 * day,
            recall={"model": 0.17 + 0.001 * day, "als": 0.04, "oracle": 0.3},
            unweighted={"model": 0.14 + 0.005 * day},
        )
        for day in (0, 1, 3)
    ),
)
HISTORY = [
    {
        "step": step,
        "loss": 6 * 0.99**step + 2,
        "loss_conversion": 5 * 0.99**step + 3,
        "loss_engagement": 6 * 0.99**step + 1,
    }
    for step in range(500)
]


@pytest.fixture(scope="module")
def page():
    return render(rich_evaluation(), training_history=HISTORY, context=CONTEXT)


class Balance(HTMLParser):
    """Collects the open tags, the ids and everything that would be loaded."""

    void = ("meta", "br", "path", "use")

    def __init__(self):
        super().__init__()
        self.open, self.loaded, self.tags, self.ids = [], [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in self.void:
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag, attrs):
        self._note(attrs)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag

    def _note(self, attrs):
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "srcset"):
                self.loaded.append(value)
            if name == "id":
                self.ids.append(value)


def test_the_page_is_whole_and_loads_nothing(page):
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert all(target.startswith("#") for target in parser.loaded)
    assert {target[1:] for target in parser.loaded} <= set(parser.ids)
    assert len(parser.ids) == len(set(parser.ids))
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_hostile_titles_and_queries_are_text(page):
    assert "<script" not in page
    assert "&lt;script&gt;alert(" in page
    assert "blue mug &lt;b&gt;" in page


def test_what_was_measured_is_on_the_page(page):
    evaluation = rich_evaluation()
    for scorer in evaluation.scorers:
        for task in ("conversion", "engagement"):
            figures = evaluation.find(scorer=scorer, task=task)
            assert figures is not None
            for metric in ALL_METRICS:
                assert f"{100 * figures.metrics[metric].value:.1f}%" in page
    for text in ("3f9a3f9a", "1,800,000", "not a candidate", "1,234.5", "The first day is partial"):
        assert text in page
    assert "12 of 1,500 conversion queries" in page
    assert "Of 48,000 engagement positives 10,000 are evaluated" in page


def test_the_same_evaluation_gives_the_same_page(page):
    assert render(rich_evaluation(), training_history=HISTORY, context=CONTEXT) == page


def test_a_thin_evaluation_still_renders():
    thin = rich_evaluation(num_queries=5, num_examples=0, skill={"model": 1.0})
    context = ReportContext(source="shop", model_version="1")
    page = render(thin, training_history=[], context=context)
    assert "Only 5 queries" in page
    assert "share of ceiling" not in page
    nothing = thin.model_copy(update={"figures": (), "tasks": (), "differences": ()})
    page = render(nothing, training_history=[], context=context)
    assert "no held-out conversions" in page


def test_the_verdict_follows_the_paired_interval():
    found = verdicts(rich_evaluation())
    assert [*found] == ["all Pins", "Pins not seen before"]
    assert [*found["all Pins"]] == ["popularity", "recently_viewed", "als"]
    assert found["all Pins"]["popularity"][1] == "better"
    equal = verdicts(rich_evaluation(skill={"model": 1.0, "als": 1.0}))
    assert {of["als"][1] for of in equal.values()} == {"not clearly different"}
    behind = verdicts(rich_evaluation(skill={"model": 0.5, "als": 2.0}))
    assert {of["als"][1] for of in behind.values()} == {"worse"}


def test_json_holds_everything():
    evaluation = rich_evaluation()
    read = json.loads(to_json(evaluation, training_history=HISTORY, context=CONTEXT))
    assert Evaluation.model_validate(read["evaluation"]) == evaluation
    assert ReportContext.model_validate(read["context"]) == CONTEXT
    assert read["training_history"] == HISTORY


def test_the_page_says_how_ripe_the_labels_are(page):
    text = re.sub(r"<[^>]+>|\s+", " ", page)
    text = re.sub(" +", " ", text)
    assert (
        "Evaluated as of 2026-03-15 : 66% of the holdout's conversions are estimated to have "
        "arrived; each counts for those still to come (at most 5)." in text
    )
    assert "6 to 8 days old" in text
    assert "age on 2026-03-15" in text
    assert "7 of 1,500 conversion queries stand for more than they may count (5)" in text
    evaluation = rich_evaluation()
    for figures in evaluation.figures:
        assert figures.maturity is not None
        if figures.task == "conversion" and figures.dimension != "all":
            row = f"{figures.num_queries:,} {figures.num_users:,} {100 * figures.maturity:.0f}% "
            assert row in text
    main = evaluation.find(scorer="model", task="conversion")
    assert main is not None
    assert f"{100 * main.metrics['recall@100'].unweighted:.1f}% unweighted" in text
    assert f"as informative as {main.effective_queries:,.0f} of equal weight" in text
    for day in evaluation.label_days:
        assert day.conversion_maturity is not None
        share = f"{100 * day.conversion_maturity:.0f}%"
        assert f"{day.num_conversions:,} {share} 8,000 12,000" in text


def test_labels_of_unknown_maturity_are_not_called_ripe():
    unknown = rich_evaluation(youngest=None)
    page = render(unknown, training_history=[], context=CONTEXT)
    assert "is not known; each counts once" in page
    assert "unweighted recall@100" not in page
    ripe = rich_evaluation(youngest=1.0)
    tasks = tuple(task.model_copy(update={"maturity": 1.0}) for task in ripe.tasks)
    page = render(ripe.model_copy(update={"tasks": tasks}), training_history=[], context=CONTEXT)
    assert "all of the holdout's conversions are estimated to have arrived" in page
    assert "unweighted recall@100" not in page


def test_the_history_of_evaluations_is_shown_when_there_is_one(page):
    assert "As the labels ripened" in page
    assert [*re.findall(r"<tr><td>(2026-03-\d\d)</td><td>[\d,]+</td><td>\d+%</td>", page)] == [
        "2026-03-10",
        "2026-03-11",
        "2026-03-13",
        "2026-03-15",
    ]
    of_now = CONTEXT.history[-1].model_copy(update={"as_of": AS_OF})
    for history in ((), (of_now,)):
        alone = CONTEXT.model_copy(update={"history": history})
        page = render(rich_evaluation(), training_history=[], context=alone)
        assert "As the labels ripened" not in page


def test_a_report_becomes_a_step_of_the_next_ones_history():
    evaluation = rich_evaluation()
    read = to_json(evaluation, training_history=[], context=CONTEXT)
    history = history_after(json.loads(read))
    assert history[:-1] == CONTEXT.history
    assert history[-1] == past_evaluation(evaluation)
    main = evaluation.find(scorer="model", task="conversion")
    assert main is not None
    assert history[-1].recall["model"] == main.metrics["recall@100"].value
    assert (history[-1].as_of, history[-1].maturity) == (AS_OF, main.maturity)
    # Evaluated again as of a day that is there already: the new one counts, the order stays.
    again = evaluation.model_copy(update={"as_of": T + timedelta(days=1)})
    repeated = to_json(again, training_history=[], context=CONTEXT)
    assert [(step.as_of - T).days for step in history_after(json.loads(repeated))] == [0, 1, 3]
    assert history_after(json.loads(repeated))[1] == past_evaluation(again)
    nothing = evaluation.model_copy(update={"figures": ()})
    assert past_evaluation(nothing) is None
    assert (
        history_after(json.loads(to_json(nothing, training_history=[], context=CONTEXT)))
        == CONTEXT.history
    )
