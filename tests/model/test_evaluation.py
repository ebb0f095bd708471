"""Queries, candidates, slices and examples of an evaluation; figures by hand."""

from datetime import timedelta
from math import log2

import numpy as np
import pyarrow as pa
import pytest

from convcg_model.evaluation.evaluate import evaluate
from convcg_model.evaluation.result import Evaluation, EvaluationConfig
from convcg_model.evaluation.slices import slice_queries

from .evaluation_rows import (
    CONFIG,
    NO_DIFFERENCE,
    D,
    T,
    alphabetical,
    backwards,
    examples,
    pin_features,
    value,
)


def test_figures_by_hand():
    table = examples({"pin_id": "a"}, {"pin_id": "b"}, {"pin_id": "c"}, {"pin_id": "new"})
    result = evaluate(
        table,
        pin_features=pin_features(),
        scorers={"model": alphabetical, "reverse": backwards},
        config=CONFIG,
    )
    assert value(result, "recall@1") == 1 / 4
    assert value(result, "recall@2") == 2 / 4
    assert value(result, "ndcg@2") == (1 / log2(2) + 1 / log2(3) + 0 + 0) / 4
    assert value(result, "recall@1", scorer="reverse") == 1 / 4
    (conversion, engagement) = result.tasks
    assert (conversion.num_positives, conversion.num_queries) == (4, 4)
    assert (conversion.num_users, conversion.num_targets_not_indexed) == (1, 1)
    assert engagement.num_queries == 0
    assert result.find(scorer="model", task="engagement") is None
    # A single user: every resample is the same, and the interval has no width.
    assert result.differences[0].estimate == NO_DIFFERENCE
    assert result.figures[0].too_small


def test_candidates_are_the_snapshot_of_the_querys_own_day():
    other = D + timedelta(days=1)
    table = examples({"pin_id": "c"}, {"pin_id": "c", "example_day": other})
    both = pa.concat_tables([pin_features("abc"), pin_features("c", day=other)])
    result = evaluate(table, pin_features=both, scorers={"model": alphabetical}, config=CONFIG)
    assert value(result, "recall@2") == 1 / 2
    assert [(day.label_age_days, day.num_candidates) for day in result.label_days] == [
        (2, 3),
        (1, 1),
    ]


def test_train_rows_and_hard_negatives_are_no_queries():
    table = examples(
        {"pin_id": "a"},
        {"pin_id": "c", "split": "train"},
        {"pin_id": "c", "is_negative": True, "task": None},
    )
    result = evaluate(
        table, pin_features=pin_features(), scorers={"model": alphabetical}, config=CONFIG
    )
    assert result.tasks[0].num_positives == 1
    assert value(result, "recall@1") == 1


def test_chunks_and_the_order_of_rows_change_nothing():
    rng = np.random.default_rng(0)
    rows = [
        {
            "pin_id": str(rng.choice([*"abc"])),
            "user_id": f"u{rng.integers(6)}",
            "impression_id": f"{i}",
        }
        for i in range(30)
    ]
    seen = []

    def run(rows, max_cells, on_progress=None):
        return evaluate(
            examples(*rows),
            pin_features=pin_features(),
            scorers={"model": alphabetical, "reverse": backwards},
            config=CONFIG.model_copy(update={"max_cells": max_cells}),
            on_progress=on_progress,
        )

    whole = run(rows, 1000)
    chunked = run(rows, 7, on_progress=lambda done, total: seen.append((done, total)))
    assert chunked.figures == whole.figures
    assert seen == [(done, 30) for done in range(2, 31, 2)]
    backward = run(rows[::-1], 1000)
    assert backward == whole


def test_a_sample_is_the_same_rows_on_every_rebuild():
    table = examples(*({"pin_id": "abc"[i % 3], "user_id": f"u{i}"} for i in range(60)))
    config = CONFIG.model_copy(update={"max_queries": 20})
    asked = []

    def remember(queries, pins):
        asked.append(set(queries["user_id"].to_pylist()))
        return alphabetical(queries, pins)

    for order in (np.arange(60), np.arange(60)[::-1]):
        result = evaluate(
            table.take(order),
            pin_features=pin_features(),
            scorers={"oracle": remember},
            config=config,
        )
        assert (result.tasks[0].num_positives, result.tasks[0].num_queries) == (60, 20)
    assert asked[0] == asked[1]
    assert len(asked[0]) == 20


def test_scorers_are_not_shown_the_answer():
    shown = []

    def spy(queries, pins):
        shown.extend(queries.column_names)
        return alphabetical(queries, pins)

    evaluate(examples({}), pin_features=pin_features(), scorers={"spy": spy}, config=CONFIG)
    assert not {"pin_id", "pin_age_days", "touch_type", "seen_before"} & set(shown)


def test_share_of_ceiling_and_paired_difference():
    table = examples(*({"pin_id": "abbb"[i % 4], "user_id": f"u{i}"} for i in range(40)))

    def oracle(queries, pins):
        return np.array([[1.0, 2.0, 0.0]] * queries.num_rows)

    result = evaluate(
        table,
        pin_features=pin_features(),
        scorers={"model": alphabetical, "worse": backwards, "oracle": oracle},
        config=CONFIG,
    )
    model = result.find(scorer="model", task="conversion")
    assert model is not None
    assert model.share_of_ceiling["recall@1"] == (10 / 40) / (30 / 40)
    against = {d.against: d for d in result.differences if d.dimension == "all"}
    assert against["worse"].estimate.value == 40 / 40 - 30 / 40
    assert against["worse"].estimate.low > 0
    assert against["oracle"].estimate == NO_DIFFERENCE


def test_slices():
    table = examples(
        {"split": "train", "user_id": "u0", "advertiser_id": "big"},
        {"split": "train", "user_id": "u0", "advertiser_id": "big", "pin_id": "b"},
        {"split": "train", "user_id": "u0", "advertiser_id": "small"},
        {
            "split": "train",
            "user_id": "u9",
            "is_negative": True,
            "task": None,
            "advertiser_id": "x",
        },
    )
    asked = examples(
        {"user_id": "u0", "pin_age_days": 6.9, "seen_before": True, "advertiser_id": "big"},
        {"user_id": "u9", "pin_age_days": 7.0, "surface": "search", "advertiser_id": "small"},
        {"user_id": "u5", "touch_type": "click", "advertiser_id": "x"},
    )
    groups = slice_queries(
        asked, train=table, not_indexed=np.array([False, False, True]), new_pin_days=7.0
    )
    assert groups == {
        "seen before": ["seen", "unseen", "unseen"],
        "surface": ["homefeed", "search", "homefeed"],
        "touch type": [None, None, "click"],
        "Pin": ["new", "older", "new"],
        "user": ["known", "known", "new"],
        "advertiser decile": ["6", "1", "none"],
    }


def test_conversions_are_sliced_by_their_match_and_examples_tell_it():
    table = examples({}, {"pin_id": "b"}, {"task": "engagement"})
    table = table.append_column("match_level", pa.array(["pin", "advertiser", None]))
    result = evaluate(
        table, pin_features=pin_features(), scorers={"model": alphabetical}, config=CONFIG
    )
    sliced = [f for f in result.figures if f.dimension == "match level"]
    assert [(f.task, f.group, f.num_queries) for f in sliced] == [
        ("conversion", "advertiser", 1),
        ("conversion", "pin", 1),
    ]
    assert {e.impression_id: e.match_level for e in result.examples} == {
        "i0": "pin",
        "i1": "advertiser",
        "i2": None,
    }


def test_what_a_log_cannot_tell_is_no_slice():
    result = evaluate(
        examples({"surface": None}),
        pin_features=pin_features(),
        scorers={"model": alphabetical},
        config=CONFIG,
    )
    assert {figures.dimension for figures in result.figures} == {"all", "seen before", "user"}


def test_examples_show_history_results_and_target():
    table = examples(
        {
            "pin_id": "b",
            "surface": "related_pins",
            "subject_pin_id": "a",
            "user_recent_pin_ids": ["c", "gone"],
            "user_recent_actions": ["click", "checkout"],
            "user_recent_age_days": [0.5, 30.0],
        }
    )
    result = evaluate(
        table, pin_features=pin_features(), scorers={"model": alphabetical}, config=CONFIG
    )
    (example,) = result.examples
    assert example.subject is not None
    assert example.subject.title == "title of a"
    assert [(a.pin.pin_id, a.pin.title, a.action) for a in example.recent] == [
        ("c", "title of c", "click"),
        ("gone", None, "checkout"),
    ]
    assert [(r.pin.pin_id, r.is_target, r.is_recent) for r in example.results] == [
        ("a", False, False),
        ("b", True, False),
        ("c", False, True),
    ]
    assert example.ranks == {"model": 2}


def test_integer_ids_and_json_round_trip():
    table = examples({"pin_id": "1"}, {"pin_id": "7"})
    index = table.column_names.index("pin_id")
    table = table.set_column(index, "pin_id", pa.chunked_array([[1, 7]]))
    for name, of in (("subject_pin_id", pa.int64()), ("user_recent_pin_ids", pa.list_(pa.int64()))):
        table = table.set_column(table.column_names.index(name), name, pa.nulls(2, of))
    pins = pin_features("ab").set_column(1, "pin_id", pa.chunked_array([[1, 2]]))

    def smallest(queries, pins):
        return -np.tile(pins["pin_id"].to_numpy().astype(float), (queries.num_rows, 1))

    result = evaluate(table, pin_features=pins, scorers={"model": smallest}, config=CONFIG)
    assert value(result, "recall@1") == 1 / 2
    assert Evaluation.model_validate_json(result.model_dump_json()) == result
    assert {example.ranks["model"] for example in result.examples} == {1, None}


def test_what_cannot_be_evaluated_is_refused():
    def narrow(queries, pins):
        return np.zeros((queries.num_rows, 1))

    def run(table, pins=None, scorer=alphabetical):
        evaluate(
            table, pin_features=pins or pin_features(), scorers={"model": scorer}, config=CONFIG
        )

    with pytest.raises(ValueError, match="no held-out positives among 1"):
        run(examples({"split": "train"}))
    with pytest.raises(ValueError, match="hold 2 days"):
        run(examples({}, {"dt": D}))
    with pytest.raises(ValueError, match="no rows for the held-out days 2026-01-08"):
        run(examples({}), pins=pin_features(day=T))
    with pytest.raises(ValueError, match=r"'model' returned \(1, 1\) for 1 queries and 3 Pins"):
        run(examples({}), scorer=narrow)
    with pytest.raises(ValueError, match="headline_k=50 must be one of"):
        EvaluationConfig(headline_k=50)
