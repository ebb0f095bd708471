"""Evaluation of unripe labels: a query counts for those that have yet to arrive."""

from datetime import timedelta
from math import log2, nan

import numpy as np
import pyarrow as pa
import pytest

from convcg_model.evaluation.evaluate import evaluate

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


def test_a_match_by_advertiser_weighs_as_little_as_in_training():
    # b is credited by its advertiser alone: .25 of a conversion, of which half have arrived.
    table = weighted({"pin_id": "a"}, {"pin_id": "b", "user_id": "u1", "maturity": 0.5})
    result = run(table.append_column("match_factor", pa.array([None, 0.25])))
    assert value(result, "recall@1") == 1 / (1 + 2 * 0.25)
    figures = result.find(scorer="model", task="conversion")
    assert figures is not None
    assert figures.metrics["recall@1"].unweighted == 1 / 2
    assert figures.maturity == 2 / (1 + 2)
    assert figures.effective_queries == 1.5**2 / (1**2 + 0.5**2)


@pytest.mark.parametrize("factor", [0.0, -0.5, 1.01, nan])
def test_what_is_no_match_factor_is_refused(factor):
    table = examples({}, {"pin_id": "b"}).append_column("match_factor", pa.array([1.0, factor]))
    with pytest.raises(ValueError, match=f"at most 1, and that of impression i1 is {factor}"):
        run(table)


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
