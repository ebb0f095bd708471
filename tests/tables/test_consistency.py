"""Each check across tables passes sound rows and returns exactly the rows that were planted."""

import datetime as dt
import math

import ibis
import pyarrow as pa
import pytest

from convcg_assets.sources.columns import ID_KINDS
from convcg_assets.tables.attributed_conversions import touches_outside_window, uneven_credits
from convcg_assets.tables.example_checks import examples_from_future, false_negatives
from convcg_assets.tables.finite import not_finite
from convcg_assets.tables.hard_negatives import engaged_negatives
from convcg_assets.tables.raw import rejected_shares, uneven_content
from convcg_assets.tables.registry import table_schema
from convcg_assets.tables.settings import AttributionSettings, ExampleSettings
from convcg_assets.tables.user_features import broken_histories
from convcg_assets.tables.weighted_label_checks import (
    labels_before_impression,
    labels_from_future,
    labels_unlike_attribution,
    labels_without_impression,
    overcredited_conversions,
    weights_not_product,
)

DAY = dt.date(2026, 1, 20)
NOON = dt.datetime(2026, 1, 20, 12)
SECOND = dt.timedelta(seconds=1)
MIDNIGHT = dt.datetime(2026, 1, 21)


def days(number: int) -> dt.timedelta:
    return dt.timedelta(days=number)


def table(name: str, *rows: dict, kind: str = "int64") -> ibis.Table:
    schema = table_schema(name, dict.fromkeys(ID_KINDS, kind))
    return ibis.memtable(pa.Table.from_pylist(list(rows), schema=schema.to_pyarrow()))


def found(rows: ibis.Table, *, con, column: str = "impression_id") -> list:
    return sorted(con.to_pyarrow(rows)[column].to_pylist())


def credit(conversion_id: int, share: float | None, **values) -> dict:
    return {
        "dt": DAY,
        "conversion_id": conversion_id,
        "impression_id": conversion_id,
        "status": "attributed",
        "touch_type": "click",
        "event_ts": NOON,
        "touch_ts": NOON,
        "impression_day": DAY,
        "credit": share,
    } | values


def label(impression_id: int, **values) -> dict:
    return {
        "dt": DAY,
        "impression_id": impression_id,
        "user_id": 1,
        "pin_id": 2,
        "impression_ts": NOON,
        "impression_dt": DAY,
        "task": "conversion",
        "evidence_id": "7",
        "evidence_dt": DAY,
        "evidence_ts": NOON,
        "event_weight": 1.0,
        "value_factor": 1.0,
        "credit": 1.0,
        "match_factor": 1.0,
        "duration_factor": 1.0,
        "weight": 1.0,
    } | values


def example(impression_id: int, **values) -> dict:
    return {
        "dt": DAY,
        "split": "train",
        "example_day": DAY - days(3),
        "impression_id": impression_id,
        "user_id": 1,
        "pin_id": impression_id,
        "is_negative": False,
        "evidence_dt": DAY - days(3),
    } | values


def test_credits_that_do_not_sum_to_1(con):
    rows = table(
        "attributed_conversions",
        *[credit(1, 1 / 3), credit(1, 1 / 3), credit(1, 1 / 3)],
        credit(2, 1.0),
        *[credit(3, 0.4), credit(3, 0.4)],
        *[credit(4, 1.0), credit(4, 1e-8)],
        credit(5, None),
        credit(6, None, status="no_touch"),
    )
    assert found(uneven_credits(rows), con=con, column="conversion_id") == [3, 4, 5]


def test_touches_outside_their_window(con):
    rows = table(
        "attributed_conversions",
        credit(1, 1.0, touch_ts=NOON - days(30) + SECOND, impression_day=DAY - days(30)),
        credit(2, 1.0, touch_ts=NOON - days(30), impression_day=DAY - days(30)),
        credit(3, 1.0, touch_ts=NOON + SECOND),
        credit(4, 1.0, touch_type="view", touch_ts=NOON - days(1) + SECOND),
        credit(5, 1.0, touch_type="view", touch_ts=NOON - days(1)),
        credit(6, 1.0, touch_type="engagement", touch_ts=NOON),
        credit(7, 1.0, impression_day=DAY - days(37)),
        credit(8, 1.0, impression_day=DAY - days(38)),
        credit(9, None, status="no_touch", touch_ts=None, impression_day=None),
    )
    settings = AttributionSettings.model_validate({"engagement_window_days": 0})
    outside = touches_outside_window(rows, settings=settings)
    # A window of 0 days is switched off: its touches get no credit.
    assert found(outside, con=con, column="conversion_id") == [2, 3, 5, 6, 8]


@pytest.mark.parametrize("kind", ["int64", "string"])
def test_labels_without_impression(con, kind):
    def ids(row: dict) -> dict:
        return {k: str(v) if k.endswith("_id") and kind == "string" else v for k, v in row.items()}

    shown = {"dt": DAY, "impression_day": DAY, "user_id": 1, "pin_id": 2}
    late = {"dt": DAY + days(1), "impression_day": DAY, "user_id": 1, "pin_id": 2}
    impressions = [shown | {"impression_id": i} for i in (1, 3, 4, 5)] + [
        late | {"impression_id": 6}
    ]
    labels = [
        label(1),
        label(2),
        label(3, pin_id=9),
        label(4, user_id=9),
        label(5, dt=DAY - days(1)),
        label(6, impression_dt=DAY + days(1)),
    ]
    missing = labels_without_impression(
        table("weighted_labels", *map(ids, labels), kind=kind),
        table("impressions", *map(ids, impressions), kind=kind),
    )
    assert [int(i) for i in found(missing, con=con)] == [2, 3, 4, 5]


def test_labels_from_the_future(con):
    rows = table(
        "weighted_labels",
        label(1),
        # Both clocks an hour off: 2 hours into the next day at most.
        label(2, evidence_ts=MIDNIGHT + 7199 * SECOND),
        label(3, evidence_ts=MIDNIGHT + 7200 * SECOND),
        label(4, impression_dt=DAY + days(1)),
        label(5, impression_dt=DAY + days(1), evidence_dt=DAY + days(1)),
        label(6, impression_ts=MIDNIGHT + days(1)),
        label(7, evidence_dt=None),
    )
    future = labels_from_future(rows, tolerance_minutes=60)
    assert found(future, con=con) == [3, 4, 6, 7]


def test_labels_that_precede_their_impression(con):
    rows = table(
        "weighted_labels",
        label(1, evidence_ts=NOON - 7200 * SECOND),
        label(2, evidence_ts=NOON - 7201 * SECOND),
        label(3, evidence_dt=DAY - days(1)),
    )
    before = labels_before_impression(rows, tolerance_minutes=60)
    assert found(before, con=con) == [2, 3]


def test_conversions_that_are_counted_twice(con):
    rows = table(
        "weighted_labels",
        *[label(1, credit=0.5), label(2, credit=0.5, dt=DAY - days(1))],
        *[label(3, evidence_id="8"), label(4, evidence_id="8", credit=0.1)],
        *[label(5, evidence_id="9"), label(6, evidence_id="9", evidence_dt=DAY + days(3))],
        *[label(7, evidence_id="10", task="engagement")] * 2,
    )
    twice = overcredited_conversions(rows)
    assert found(twice, con=con, column="evidence_id") == ["8"]


def test_credit_unlike_attribution(con):
    attributed = table(
        "attributed_conversions",
        # Two touches of one impression: their credits are one label's.
        *[credit(7, 0.4, impression_id=1), credit(7, 0.2, impression_id=1)],
        credit(7, 0.4, impression_id=2),
        credit(8, 1.0, impression_id=4, status="duplicate"),
    )
    labels = table(
        "weighted_labels",
        label(1, credit=0.4 + 0.2),
        label(2, credit=0.5),
        label(3),
        label(4, evidence_id="8"),
        label(5, task="engagement"),
    )
    differing = labels_unlike_attribution(labels, attributed)
    assert found(differing, con=con) == [2, 3, 4]


def test_weights_that_are_not_the_product(con):
    factors = {"event_weight": 0.3, "value_factor": 1.5, "credit": 0.4, "duration_factor": 0.7}
    rows = table(
        "weighted_labels",
        label(1, **factors, weight=0.7 * 0.4 * 1.5 * 0.3),
        label(2, **factors, weight=0.7 * 0.4 * 1.5),
        label(3, duration_factor=0.0, weight=0.0),
        label(4, match_factor=None),
    )
    assert found(weights_not_product(rows), con=con) == [2, 4]


def test_negatives_that_were_engaged_with(con):
    negative = {"dt": DAY, "impression_dt": DAY, "user_id": 1, "pin_id": 2}
    late = negative | {"impression_dt": DAY + days(1), "impression_id": 5}
    negatives = [negative | {"impression_id": i} for i in (1, 2, 3, 4)]
    acted = {"dt": DAY, "user_id": 1, "pin_id": 2}
    engagements = [
        acted | {"engagement_id": 10, "impression_id": 1},
        acted | {"engagement_id": 11, "impression_id": 2, "dt": DAY + days(1)},
        acted | {"engagement_id": 12, "impression_id": 3, "user_id": 9},
        acted | {"engagement_id": 13, "impression_id": None},
        acted | {"engagement_id": 14, "impression_id": 5, "dt": DAY + days(1)},
    ]
    engaged = engaged_negatives(
        table("hard_negatives", *negatives, late), table("engagements", *engagements)
    )
    assert found(engaged, con=con) == [1, 5]


def test_negatives_that_are_positives(con):
    rows = table(
        "training_examples",
        example(1),
        example(2, pin_id=1, is_negative=True),
        example(3, pin_id=1, is_negative=True, user_id=9),
        example(4, is_negative=True),
        example(5, split="holdout"),
        example(6, pin_id=5, is_negative=True),
        example(7, pin_id=1, is_negative=True, dt=DAY + days(1)),
    )
    assert found(false_negatives(rows), con=con) == [2]


def test_examples_of_the_wrong_time(con):
    settings = ExampleSettings(training_days=3, holdout_days=2)
    rows = table(
        "training_examples",
        example(1),
        example(2, example_day=DAY - days(5)),
        example(3, example_day=DAY - days(6)),
        example(4, example_day=DAY - days(2)),
        example(5, evidence_dt=DAY - days(2)),
        example(6, is_negative=True, evidence_dt=None),
        example(7, evidence_dt=None),
        example(8, split="holdout", example_day=DAY - days(2), evidence_dt=DAY - days(1)),
        example(9, split="holdout", example_day=DAY - days(3), evidence_dt=DAY - days(1)),
        example(10, split="holdout", example_day=DAY - days(1), evidence_dt=DAY),
        example(11, split="holdout", example_day=DAY, evidence_dt=DAY - days(1)),
    )
    early = examples_from_future(rows, settings=settings)
    assert found(early, con=con) == [3, 4, 5, 7, 9, 10, 11]


def test_broken_histories(con):
    def user(user_id: int, pins: list | None, actions: list | None, ages: list | None) -> dict:
        return {
            "dt": DAY,
            "user_id": user_id,
            "recent_pin_ids": pins,
            "recent_actions": actions,
            "recent_age_days": ages,
        }

    rows = table(
        "user_features",
        user(1, [5, 6], ["click", "repin"], [0.5, 2.0]),
        user(2, None, None, None),
        user(3, [5], ["click", "repin"], [0.5, 2.0]),
        user(4, [5], ["click"], None),
        user(5, [5], ["click"], [-2 / 24]),
        user(6, [5, 6], ["click", "click"], [-0.1, 3.0]),
    )
    broken = broken_histories(rows, tolerance_minutes=60)
    assert found(broken, con=con, column="user_id") == [3, 4, 6]


def test_content_of_another_length(con):
    pins = [(1, [0.0, 1.0]), (2, [0.0]), (3, None), (4, [1.0, 1.0])]
    rows = table(
        "pins",
        *({"dt": DAY, "pin_id": pin_id, "content": content} for pin_id, content in pins),
        {"dt": DAY + days(1), "pin_id": 5, "content": [0.0]},
    )
    assert found(uneven_content(rows), con=con, column="pin_id") == [2]


def test_numbers_that_are_not_finite(con):
    values = [(1, 1.0, [1.0]), (2, math.nan, None), (3, math.inf, []), (4, None, [0.0, math.nan])]
    rows = table(
        "pin_features",
        *({"dt": DAY, "pin_id": i, "price": x, "content": content} for i, x, content in values),
    )
    broken = not_finite(rows, ids=("dt", "pin_id"))
    assert found(broken, con=con, column="pin_id") == [2, 3, 4]


def test_days_of_many_rejected_rows(con):
    accepted = table("users", *({"dt": DAY, "user_id": i} for i in range(80)))
    rejected = table(
        "rejected_events",
        *({"dt": DAY, "stream": "users", "row": i} for i in range(20)),
        *({"dt": DAY, "stream": "pins", "row": i} for i in range(900)),
        *({"dt": DAY + days(1), "stream": "users", "row": i} for i in range(5)),
    )

    def shares(above: float, min_rejected: int) -> list:
        rows = rejected_shares(
            accepted, rejected, stream="users", above=above, min_rejected=min_rejected
        )
        return [(r["dt"], r["share"]) for r in con.to_pyarrow(rows.order_by("dt")).to_pylist()]

    # A day on which every row was rejected counts, though no row of it is left.
    assert shares(0.1, 1) == [(DAY, 20 / (20 + 80)), (DAY + days(1), 5 / 5)]
    assert shares(0.1, 6) == [(DAY, 20 / (20 + 80))]
    assert shares(0.2, 6) == []
