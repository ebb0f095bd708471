from datetime import date, timedelta
from math import log2, nan

import numpy as np
import pyarrow as pa
import pytest

from convcg_model.evaluation.evaluate import evaluate
from convcg_model.evaluation.result import Estimate, Evaluation, EvaluationConfig
from convcg_model.evaluation.slices import slice_queries

T = date(2026, 1, 10)
D = T - timedelta(days=2)
CONFIG = EvaluationConfig(recall_ks=(1, 2), ndcg_k=2, headline_k=2, num_resamples=20)
NO_DIFFERENCE = Estimate(value=0, low=0, high=0, unweighted=0)
ROW = {
    "dt": T,
    "split": "holdout",
    "example_day": D,
    "impression_id": "i0",
    "user_id": "u0",
    "pin_id": "a",
    "advertiser_id": None,
    "surface": "homefeed",
    "subject_pin_id": None,
    "query": None,
    "task": "conversion",
    "is_negative": False,
    "touch_type": None,
    "seen_before": False,
    "user_recent_pin_ids": [],
    "user_recent_actions": [],
    "user_recent_age_days": [],
    "pin_age_days": None,
}
SCHEMA = pa.schema(
    [
        *((name, pa.date32()) for name in ("dt", "example_day")),
        *((name, pa.bool_()) for name in ("is_negative", "seen_before")),
        ("user_recent_pin_ids", pa.list_(pa.string())),
        ("user_recent_actions", pa.list_(pa.string())),
        ("user_recent_age_days", pa.list_(pa.float64())),
        ("pin_age_days", pa.float64()),
    ]
)


def examples(*rows):
    fields = [
        SCHEMA.field(name) if name in SCHEMA.names else pa.field(name, pa.string()) for name in ROW
    ]
    return pa.Table.from_pylist(
        [ROW | {"impression_id": f"i{i}"} | row for i, row in enumerate(rows)], pa.schema(fields)
    )


def pin_features(ids="abc", *, day=D):
    num = len(ids)
    return pa.table(
        {
            "dt": pa.array([day] * num),
            "pin_id": list(ids),
            "title": [f"title of {id_}" for id_ in ids],
            "category": ["hats"] * num,
            "price": [9.5] * num,
            "advertiser_id": ["shop"] * num,
        }
    )


def alphabetical(queries, pins):
    """Scores Pins from a to z, the same for everyone."""
    letters = [-ord(id_) for id_ in pins["pin_id"].to_pylist()]
    return np.tile(np.array(letters, dtype=float), (queries.num_rows, 1))


def backwards(queries, pins):
    return -alphabetical(queries, pins)


def value(evaluation, metric, **where):
    figures = evaluation.find(**({"scorer": "model", "task": "conversion"} | where))
    return figures.metrics[metric].value


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


def weighted(*rows):
    """Examples with `maturity` (1 where a row gives none) and its factor, capped at 5."""
    table = examples(*({k: v for k, v in row.items() if k != "maturity"} for row in rows))
    maturities = [row.get("maturity", 1.0) for row in rows]
    factors = [None if m is None else min(1 / m, 5.0) for m in maturities]
    table = table.append_column("maturity", pa.array(maturities, pa.float64()))
    return table.append_column("maturity_factor", pa.array(factors, pa.float64()))


def run(table, config=CONFIG, **scorers):
    scorers = scorers or {"model": alphabetical, "reverse": backwards}
    return evaluate(table, pin_features=pin_features(), scorers=scorers, config=config)


def test_a_query_counts_for_the_conversions_that_have_yet_to_arrive():
    # Half of a's conversions have arrived, a quarter of c's; b is ripe.
    result = run(
        weighted(
            {"pin_id": "a", "maturity": 0.5},
            {"pin_id": "b", "user_id": "u1", "maturity": None},
            {"pin_id": "c", "user_id": "u2", "maturity": 0.25},
        )
    )
    assert value(result, "recall@1") == 2 / (2 + 1 + 4)
    assert value(result, "recall@2") == (2 + 1) / (2 + 1 + 4)
    assert value(result, "ndcg@2") == pytest.approx((2 / log2(2) + 1 / log2(3)) / (2 + 1 + 4))
    figures = result.find(scorer="model", task="conversion")
    assert figures is not None
    assert figures.metrics["recall@2"].unweighted == 2 / 3
    assert (figures.num_queries, figures.maturity) == (3, 3 / (2 + 1 + 4))
    assert figures.effective_queries == (2 + 1 + 4) ** 2 / (2**2 + 1**2 + 4**2)
    (difference,) = (d for d in result.differences if d.dimension == "all")
    assert difference.estimate.value == pytest.approx((2 + 1) / 7 - (1 + 4) / 7)
    assert difference.estimate.unweighted == 2 / 3 - 2 / 3


def test_the_unripe_estimate_is_the_ripe_figure():
    # Four conversions each: all of the quick advertiser's have arrived, one of the slow one's.
    ripe = run(examples(*[{"pin_id": "a"}] * 4, *[{"pin_id": "c"}] * 4))
    unripe = run(weighted(*[{"pin_id": "a"}] * 4, {"pin_id": "c", "maturity": 1 / 4}))
    assert value(ripe, "recall@1") == value(unripe, "recall@1") == 4 / 8
    figures = unripe.find(scorer="model", task="conversion")
    assert figures is not None
    assert figures.metrics["recall@1"].unweighted == 4 / 5


def test_slices_and_label_days_tell_their_own_maturity():
    other = D + timedelta(days=1)
    table = weighted(
        {"maturity": 0.5, "surface": "search"},
        {"maturity": 0.25, "surface": "search", "example_day": other},
        {"maturity": 0.8, "example_day": other},
        {"task": "engagement", "example_day": other},
    )
    both = pa.concat_tables([pin_features(), pin_features(day=other)])
    result = evaluate(table, pin_features=both, scorers={"model": alphabetical}, config=CONFIG)
    asked = {(f.task, f.dimension, f.group): f.maturity for f in result.figures}
    assert asked["conversion", "surface", "search"] == 2 / (1 / 0.5 + 1 / 0.25)
    assert asked["conversion", "surface", "homefeed"] == 1 / (1 / 0.8)
    assert asked["engagement", "all", "all"] == 1
    assert [day.conversion_maturity for day in result.label_days] == [
        1 / (1 / 0.5),
        2 / (1 / 0.25 + 1 / 0.8),
    ]
    assert [task.maturity for task in result.tasks] == [3 / (2 + 4 + 1.25), 1]


def test_a_capped_factor_stands_for_too_few_and_is_counted():
    config = CONFIG.model_copy(update={"max_maturity_factor": 5.0})
    result = run(weighted({"maturity": 0.1}, {"maturity": 0.25}, {"maturity": 1.0}), config)
    assert result.tasks[0].num_capped == 1
    assert result.tasks[0].maturity == 3 / (5 + 4 + 1)


def test_the_days_of_a_week_share_factors_but_ripen_one_by_one():
    other = D + timedelta(days=1)
    table = examples({}, {"example_day": other}, {"example_day": other})
    table = table.append_column("maturity_factor", pa.array([2.0, 2.0, 2.0]))
    both = pa.concat_tables([pin_features(), pin_features(day=other)])
    given = {"pin_features": both, "scorers": {"model": alphabetical}, "config": CONFIG}
    result = evaluate(table, **given, day_maturity={D: 0.9, other: 0.3})
    assert result.tasks[0].maturity == 1 / 2
    assert [day.conversion_maturity for day in result.label_days] == [0.9, 0.3]
    unknown = evaluate(table, **given, day_maturity={})
    assert [day.conversion_maturity for day in unknown.label_days] == [None, None]


def random_rows(seed, *, maturities):
    rng = np.random.default_rng(seed)
    return [
        {
            "impression_id": f"{i}",
            "pin_id": str(rng.choice([*"abcx"])),
            "user_id": f"u{rng.integers(6)}",
            "surface": str(rng.choice(["homefeed", "search"])),
            "maturity": float(rng.choice(maturities)),
        }
        for i in range(40)
    ]


def test_a_weight_of_two_is_the_same_query_twice():
    rows = random_rows(1, maturities=[1.0, 0.5, 0.25])
    copies = [
        row | {"maturity": 1.0, "impression_id": f"{row['impression_id']}-{copy}"}
        for row in rows
        for copy in range(round(1 / row["maturity"]))
    ]
    once, repeated = run(weighted(*rows)), run(weighted(*copies))
    for figures in once.figures:
        twin = repeated.find(
            **{name: getattr(figures, name) for name in ("scorer", "task", "dimension", "group")}
        )
        assert twin is not None
        for metric, estimate in figures.metrics.items():
            assert estimate.value == pytest.approx(twin.metrics[metric].value)
            # The bootstrap draws users, and they are as many; a copy more or less changes nothing.
            assert estimate.low == pytest.approx(twin.metrics[metric].low)
            assert estimate.high == pytest.approx(twin.metrics[metric].high)


def test_equal_weights_are_no_weights():
    rows = random_rows(2, maturities=[1.0])
    plain = run(examples(*({k: v for k, v in row.items() if k != "maturity"} for row in rows)))
    assert {figures.maturity for figures in plain.figures} == {None}
    for share in (1.0, 0.5, 0.3):
        equal = run(weighted(*(row | {"maturity": share} for row in rows)))
        for one, other in zip(equal.figures, plain.figures, strict=True):
            assert one.maturity == pytest.approx(share, rel=1e-6)
            assert one.effective_queries == pytest.approx(one.num_queries)
            for metric in ("recall@1", "recall@2"):
                assert one.metrics[metric] == other.metrics[metric]
        assert equal.differences == plain.differences
    assert run(weighted(*rows)).figures[0].metrics == plain.figures[0].metrics


def test_the_order_of_weighted_rows_changes_nothing():
    rows = random_rows(3, maturities=[0.9, 0.7, 0.3, 0.1])
    assert run(weighted(*rows[::-1])) == run(weighted(*rows))


def test_scorers_that_hit_the_same_queries_differ_by_exactly_nothing():
    rows = random_rows(4, maturities=np.random.default_rng(0).uniform(0.2, 1, size=40))
    result = run(weighted(*rows), model=alphabetical, twin=alphabetical)
    assert result.differences
    assert all(d.estimate == NO_DIFFERENCE for d in result.differences)
    config = CONFIG.model_copy(update={"recall_ks": (3, 2)})
    hits = run(weighted(*(row | {"pin_id": "a"} for row in rows)), config)
    assert {f.metrics["recall@3"].low for f in hits.figures} == {1.0}


def test_the_age_of_labels_counts_to_the_day_of_the_evaluation():
    later = CONFIG.model_copy(update={"as_of": T + timedelta(days=20)})
    result = run(weighted({}), later)
    assert (result.day, result.as_of) == (T, T + timedelta(days=20))
    assert result.label_days[0].label_age_days == 2 + 20
    assert run(weighted({})).as_of == T
    with pytest.raises(ValueError, match="cannot be evaluated as of 2026-01-09"):
        run(weighted({}), CONFIG.model_copy(update={"as_of": T - timedelta(days=1)}))


def test_what_is_no_maturity_factor_is_refused():
    config = CONFIG.model_copy(update={"max_maturity_factor": 4.0})
    assert value(run(weighted({"maturity": 0.25}), config), "recall@1") == 1
    with pytest.raises(ValueError, match="from 1 to w_max = 4, and that of impression i1 is 5"):
        run(weighted({}, {"maturity": 0.2}), config)
    for wrong in (0.5, -1.0, nan, float("inf")):
        table = examples({}).append_column("maturity_factor", pa.array([wrong]))
        with pytest.raises(ValueError, match="maturity_factor is a number"):
            run(table)
