from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from convcg_model.evaluation.als import AlsScorer, AlsSettings, fit_als
from convcg_model.evaluation.baselines import (
    DecayedPopularity,
    popularity,
    popularity_levels,
    recently_viewed,
)
from convcg_model.evaluation.scorers import embedding_scorer, query_side, rows_of
from convcg_model.evaluation.transitions import TransitionScorer


def pins(ids, **counters):
    columns = {
        name: counters.get(name, [None] * len(ids))
        for name in ("num_conversions_30d", "num_clicks_30d", "num_repins_30d")
    }
    columns["num_impressions_30d"] = counters.get("num_impressions_30d", [None] * len(ids))
    return pa.table(
        {"pin_id": ids} | {name: pa.array(of, pa.float64()) for name, of in columns.items()}
    )


def queries(*rows, id_type=None):
    id_type = id_type or pa.string()
    default = {"task": "conversion", "user_id": None, "subject_pin_id": None, "recent": []}
    full = [default | row for row in rows]
    return pa.table(
        {
            "task": [row["task"] for row in full],
            "user_id": pa.array([row["user_id"] for row in full], id_type),
            "subject_pin_id": pa.array([row["subject_pin_id"] for row in full], id_type),
            "user_recent_pin_ids": pa.array([row["recent"] for row in full], pa.list_(id_type)),
        }
    )


def order(scores_N, ids):
    return [ids[i] for i in np.argsort(-scores_N, kind="stable")]


def test_popularity_counts_conversions_for_conversion_and_clicks_for_engagement():
    table = pins(["a", "b", "c"], num_conversions_30d=[4, 0, 1], num_clicks_30d=[1, 9, 0])
    scores = popularity(queries({}, {"task": "engagement"}), table)
    assert order(scores[0], "abc") == ["a", "c", "b"]
    assert order(scores[1], "abc") == ["b", "a", "c"]


def test_popularity_falls_back_to_the_next_counter():
    clicked = pins(["a", "b"], num_clicks_30d=[1, 2], num_conversions_30d=[0, 0])
    assert order(popularity_levels(clicked, task="conversion"), "ab") == ["b", "a"]
    shown = pins(["a", "b"], num_impressions_30d=[1, 2])
    assert order(popularity_levels(shown, task="conversion"), "ab") == ["b", "a"]
    assert popularity_levels(pins(["a", "b"]), task="conversion").tolist() == [0, 0]
    with pytest.raises(ValueError, match="no popularity for task 'sale'"):
        popularity_levels(shown, task="sale")


@pytest.mark.parametrize(("ids", "id_type"), [("abcd", pa.string()), ([5, 6, 7, 8], pa.int64())])
def test_recently_viewed_is_subject_then_newest_first_then_popularity(ids, id_type):
    a, b, c, d = ids
    table = pins(pa.array(list(ids), id_type), num_clicks_30d=[1, 2, 3, 4])
    rows = queries(
        {"recent": [b, a, b]},
        {"recent": None},
        {"recent": [a], "subject_pin_id": c},
        id_type=id_type,
    )
    scores = recently_viewed(rows, table)
    assert order(scores[0], ids) == [b, a, d, c]
    assert order(scores[1], ids) == [d, c, b, a]
    assert order(scores[2], ids) == [c, a, d, b]
    # A slice of the queries scores as the rows it holds.
    assert np.array_equal(recently_viewed(rows.slice(1, 2), table)[1] > 0.9, scores[2] > 0.9)
    assert order(recently_viewed(rows.slice(2, 1), table)[0], ids) == [c, a, d, b]


def checkerboard(num_users=40, num_pins=40):
    """Users like the Pins of their own parity; each has taken about half of them, by chance."""
    taken = np.random.default_rng(0).random((num_users, num_pins)) < 1 / 2
    rows = [
        (user, pin)
        for user in range(num_users)
        for pin in range(num_pins)
        if user % 2 == pin % 2 and taken[user, pin]
    ]
    return pa.table(
        {
            "impression_id": range(len(rows)),
            "example_day": pa.array([date(2026, 1, 1 + i % 10) for i in range(len(rows))]),
            "task": [("conversion", "engagement")[i % 2] for i in range(len(rows))],
            "user_id": [f"u{user}" for user, _ in rows],
            "pin_id": [f"p{pin}" for _, pin in rows],
            "weight": [1.0] * len(rows),
        }
    )


SMALL = (
    AlsSettings(factors=2, regularization=0.1, alpha=10.0),
    AlsSettings(factors=1, regularization=1000.0, alpha=0.01),
)


def test_als_learns_a_checkerboard_and_is_deterministic_in_any_row_order():
    positives = checkerboard()
    als = fit_als(positives, grid=SMALL, seed=3)
    table = pins([f"p{pin}" for pin in range(40)])
    rows = queries(*({"user_id": f"u{user}"} for user in range(40)))
    scores = als(rows, table)
    for user in range(40):
        best = np.argsort(-scores[user])[:20]
        assert {int(pin) % 2 for pin in best} == {user % 2}
    shuffled = positives.take(np.random.default_rng(0).permutation(positives.num_rows))
    assert np.array_equal(fit_als(shuffled, grid=SMALL, seed=3)(rows, table), scores)


def test_als_gives_unknown_users_popularity_and_unknown_pins_a_place_below():
    als = AlsScorer(checkerboard(), settings=SMALL[0], seed=0)
    ids = ["new1", "p0", "new2", "p1"]
    table = pins(ids, num_clicks_30d=[10, 1, 20, 5])
    scores = als(queries({"user_id": "stranger"}, {"user_id": "u0"}), table)
    assert order(scores[0], ids) == ["new2", "new1", "p1", "p0"]
    assert order(scores[1], ids) == ["p0", "p1", "new2", "new1"]


def test_als_takes_the_setting_that_is_best_on_the_newest_training_days():
    # 240 Pins, so that a recall@100 can tell the settings apart; the second one cannot learn.
    positives = checkerboard(num_users=40, num_pins=240)
    for grid in (SMALL, SMALL[::-1]):
        assert fit_als(positives, grid=grid).settings == SMALL[0]


def test_als_weights_are_confidence():
    # One user, three Pins; the heavier pair is reproduced closer to 1.
    positives = pa.table({"user_id": ["u", "u"], "pin_id": ["light", "heavy"], "weight": [0.1, 9]})
    als = AlsScorer(positives, settings=AlsSettings(factors=2, alpha=1.0), seed=0)
    scores = als(queries({"user_id": "u"}), pins(["light", "heavy"]))[0]
    assert scores[1] > scores[0]


def test_als_refuses_what_it_cannot_learn_from():
    with pytest.raises(ValueError, match="needs training positives"):
        fit_als(checkerboard().slice(0, 0))
    with pytest.raises(ValueError, match="at least one"):
        fit_als(checkerboard(), grid=())


def test_scorers_see_nothing_of_the_answer():
    table = pa.table({"user_id": ["u"], "task": ["conversion"], "pin_id": ["p"], "weight": [1.0]})
    table = table.append_column("pin_price", pa.array([3.0]))
    table = table.append_column("seen_before", pa.array([True]))
    assert query_side(table).column_names == ["user_id", "task"]


def test_a_log_without_histories_and_subjects_gets_popularity():
    table = pins(["a", "b"], num_clicks_30d=[1, 2])
    rows = queries({}, {}).select(["task", "user_id"])
    for name in ("user_recent_pin_ids", "subject_pin_id"):
        rows = rows.append_column(name, pa.nulls(2))
    assert np.array_equal(recently_viewed(rows, table), popularity(rows, table))


def test_ids_of_different_types_are_refused():
    with pytest.raises(ValueError, match="type int64 cannot be looked up among ids of string"):
        rows_of(pa.chunked_array([[1]]), among=pa.chunked_array([["1"]]))


def test_embedding_scorer_is_the_inner_product_and_embeds_each_pin_table_once():
    embedded = []

    def embed_pins(table):
        embedded.append(table)
        return np.array([[1.0, 0.0], [0.0, 2.0]])

    score = embedding_scorer(
        embed_users=lambda table: np.array([[3.0, 4.0]]), embed_pins=embed_pins
    )
    table = pins(["a", "b"])
    assert score(queries({}), table).tolist() == [[3 * 1, 4 * 2]]
    score(queries({}), table)
    assert len(embedded) == 1
    score(queries({}), pins(["a", "b"]))
    assert len(embedded) == 2


def positives(*rows):
    """(Pin, recent, subject, task, day of January, weight)."""
    return pa.table(
        {
            "pin_id": [row[0] for row in rows],
            "user_recent_pin_ids": pa.array([row[1] for row in rows], pa.list_(pa.string())),
            "subject_pin_id": pa.array([row[2] for row in rows], pa.string()),
            "task": [row[3] for row in rows],
            "example_day": pa.array([date(2026, 1, row[4]) for row in rows]),
            "weight": [row[5] for row in rows],
        }
    )


def test_transitions_are_shares_of_what_was_taken_next():
    taken = positives(
        ("b", ["a"], None, "engagement", 1, 3.0),
        ("c", ["x", "a"], None, "engagement", 1, 1.0),
        ("d", [], "a", "conversion", 1, 1.0),
    )
    table = pins(list("abcdx"), num_clicks_30d=[5, 4, 3, 2, 1])
    levels = popularity_levels(table, task="conversion")
    scores = TransitionScorer(taken)(queries({"recent": ["a"]}, {}), table)
    # From a: 3 * .7 to b, .7 ** 2 to c, 1 to d, and two to nowhere; a is the first source: .7
    total = 3 * 0.7 + 0.7**2 + 1 + 2
    expected = [0, 3 * 0.7 / total * 0.7, 0.7**2 / total * 0.7, 1 / total * 0.7, 0]
    expected = [level + (1 + e if e else 0) for level, e in zip(levels, expected, strict=True)]
    assert scores[0].tolist() == pytest.approx(expected, rel=1e-5)
    assert np.array_equal(scores[1], levels)


def test_decayed_popularity_halves_every_week():
    taken = positives(
        ("old", [], None, "conversion", 1, 1.5),
        ("new", [], None, "conversion", 8, 1.0),
        ("other", [], None, "engagement", 8, 9.0),
    )
    table = pins(["old", "new", "other", "never"], num_clicks_30d=[0, 0, 1, 2])
    scores = DecayedPopularity(taken)(queries({}, {"task": "engagement"}), table)
    # 1.5 halved is below 1; what has no positive of the task follows by popularity
    assert order(scores[0], ["old", "new", "other", "never"]) == ["new", "old", "never", "other"]
    assert order(scores[1], ["old", "new", "other", "never"])[0] == "other"
