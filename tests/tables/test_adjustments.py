"""Conversions that are taken back or restated: against brute force, by hand, and as of each day."""

import datetime as dt

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcg_assets.days import Days
from convcg_assets.tables.settings import (
    AttributionSettings,
    DelaySettings,
    ExampleSettings,
    FeatureSettings,
    LabelSettings,
)

from . import (
    oracle_adjustments,
    oracle_attribution,
    oracle_delay,
    oracle_examples,
    oracle_features,
    oracle_labels,
    stages,
)
from .adjustment_rows import REACH, adjusted_worlds, adjustment, restatement
from .conftest import Build
from .event_rows import conversion, impression, world
from .tables import assert_same_rows, exactly
from .world import DAY, SECOND, Row, World, at, day

ALWAYS = Days(day(-10), day(60))
ATTRIBUTION = AttributionSettings(model="linear", view_window_days=7)
H = ATTRIBUTION.horizon_days
DELAY = DelaySettings(advertiser_kappa=2, segment_kappa=3, maturity_days=2, min_weekly=2)
KEY = ("dt", "adjustment_dt", "adjustment_id", "conversion_dt", "conversion_id", "impression_id")
Adjusted = tuple[World, list[Row]]
some_days = st.sampled_from((1, 2, 4)).map(lambda o: Days(day(o), day(o + 2)))


def credited(events: World) -> list[Row]:
    return oracle_attribution.attributed(events, settings=ATTRIBUTION, days=ALWAYS)


def adjusted(build: Build, events: World, adjustments: list[Row], days: Days = ALWAYS) -> list[Row]:
    rows = credited(events)
    return build(stages.adjusted, adjustments, events, rows, max_days=REACH, days=days)


def as_stood(events: World, adjustments: list[Row], *, before: dt.date) -> list[Row]:
    return oracle_adjustments.as_stood(
        credited(events), events.conversions, adjustments, before=before, reach=REACH
    )


@hypothesis.settings(max_examples=20)
@given(case=adjusted_worlds())
def test_equals_brute_force(build: Build, case: Adjusted) -> None:
    events, adjustments = case
    expected = oracle_adjustments.adjusted(
        adjustments,
        events.conversions,
        credited(events),
        window_hours=ATTRIBUTION.dedup_window_hours,
        reach=REACH,
        days=ALWAYS,
    )
    assert_same_rows(adjusted(build, events, adjustments), expected, key=(*KEY, "touch_ts"))


@hypothesis.settings(max_examples=5)
@given(case=adjusted_worlds(), rng=st.randoms(use_true_random=False))
def test_a_range_equals_its_days_in_any_order_of_rows(build: Build, case: Adjusted, rng) -> None:
    events, adjustments = case
    days, mixed = Days(day(0), day(3)), rng.sample(adjustments, len(adjustments))
    one_by_one = [row for d in days for row in adjusted(build, events, mixed, Days(d, d))]
    assert exactly(adjusted(build, events, adjustments, days)) == exactly(one_by_one)


@hypothesis.settings(max_examples=5)
@given(case=adjusted_worlds())
def test_what_arrives_later_changes_nothing(build: Build, case: Adjusted) -> None:
    events, adjustments = case
    days = Days(day(-3), day(3))
    past = [row for row in adjustments if row["dt"] <= days.last]
    known = [row for row in events.conversions if row["dt"] <= days.last]
    before = world(impressions=events.impressions, engagements=events.engagements)
    before = World(before.impressions, before.engagements, known, [], [])
    rows = adjusted(build, events, adjustments, days)
    assert exactly(rows) == exactly(adjusted(build, before, past, days))


OF_A_LABEL = ("impression_id", "task", "evidence_id", "evidence_dt", "value_factor", "weight")


def labels(build: Build, events: World, adjustments: list[Row]) -> list[Row]:
    """The labels of all days, by the code."""
    given = {"settings": LabelSettings(), "horizon_days": H, "days": ALWAYS}
    case = stages.labels(events, credited(events), **given)
    became = adjusted(build, events, adjustments)
    return build(lambda: stages.with_adjusted(case, became, max_days=REACH))


@hypothesis.settings(max_examples=20)
@given(case=adjusted_worlds())
def test_labels_of_any_day_are_those_of_what_stood(build: Build, case: Adjusted) -> None:
    events, adjustments = case
    found = labels(build, events, adjustments)
    assert not [row for row in found if (row["until_dt"] or dt.date.max) <= row["evidence_dt"]]
    for today in (day(1), day(2), day(3), day(9), ALWAYS.last):
        known = [row for row in found if oracle_examples.is_known(row, today)]
        expected = oracle_labels.labels(
            events,
            as_stood(events, adjustments, before=today),
            settings=LabelSettings(),
            days=ALWAYS,
        )
        expected = [row for row in expected if oracle_examples.is_known(row, today)]
        of_a_label = [
            [{n: row[n] for n in OF_A_LABEL} for row in rows] for rows in (known, expected)
        ]
        assert_same_rows(*of_a_label, key=OF_A_LABEL[:4])


@hypothesis.settings(max_examples=6)
@given(case=adjusted_worlds(), days=some_days)
def test_curves_count_what_stood(build: Build, case: Adjusted, days: Days) -> None:
    events, adjustments = case
    rows, became = credited(events), adjusted(build, events, adjustments)
    given = {"settings": DELAY, "horizon_days": H}
    curves, ripe = [], []
    for d in days:
        stood = as_stood(events, adjustments, before=d)
        curves += oracle_delay.curves(stood, **given, days=Days(d, d), reported=rows)
        ripe += oracle_delay.maturities(stood, curves, **given, days=Days(d, d))
    stage = stages.delay(rows, **given, days=days)
    found = build(lambda: stages.with_adjusted(stage, became, max_days=REACH))
    key = ("dt", "level", "segment", "advertiser_id", "weekday", "upload_in_days", "delay_days")
    assert_same_rows(found, curves, key=key)
    stage = stages.maturity(rows, curves, **given, days=days)
    found = build(lambda: stages.with_adjusted(stage, became, max_days=REACH))
    assert_same_rows(found, ripe, key=("dt", "impression_day"))


@hypothesis.settings(max_examples=8)
@given(case=adjusted_worlds(), days=some_days, most=st.sampled_from((1, 2, 30)))
def test_features_hold_what_stood(build: Build, case: Adjusted, days: Days, most: int) -> None:
    events, adjustments = case
    rows, became = credited(events), adjusted(build, events, adjustments)
    settings = FeatureSettings(max_recent_actions=most)
    users, pins = [], []
    for d in days:
        stood = as_stood(events, adjustments, before=d)
        given = {"settings": settings, "days": Days(d, d)}
        users += oracle_features.user_features(events, stood, **given)
        pins += oracle_features.pin_features(events, stood, has_catalogue=True, **given)
    given = {"settings": settings, "days": days}
    stage = stages.user_features(events, rows, **given)
    found = build(lambda: stages.with_adjusted(stage, became, max_days=REACH))
    assert_same_rows(found, users, key=("dt", "user_id"))
    stage = stages.pin_features(events, rows, has_catalogue=True, **given)
    found = build(lambda: stages.with_adjusted(stage, became, max_days=REACH))
    assert_same_rows(found, pins, key=("dt", "pin_id"))


@hypothesis.settings(max_examples=8)
@given(case=adjusted_worlds(), later=st.sampled_from((None, 0, 2, 4)))
def test_examples_and_what_has_ripened(build: Build, case: Adjusted, later: int | None) -> None:
    events, adjustments = case
    today = day(4)
    derived = {
        "attributed_conversions": credited(events),
        "weighted_labels": labels(build, events, adjustments),
        "hard_negatives": oracle_labels.negatives(
            events, settings=stages.NegativeSettings(sample_rate=1), days=ALWAYS
        ),
        "conversion_delay": [],
        "user_features": [],
        "pin_features": [],
    }
    given = {
        "settings": ExampleSettings(training_days=3, holdout_days=2),
        "delay": DELAY,
        "days": Days(today, today),
        "known_before": None if later is None else today + later * DAY,
    }
    expected = oracle_examples.examples(events, derived, **given)
    shown = Days(today - 5 * DAY, today - DAY)
    derived["example_features"] = build(stages.example_features, events, derived, days=shown)
    found = build(stages.examples, derived, **given)
    assert_same_rows(found, expected, key=("dt", "impression_id", "is_negative", "task"))


BOUGHT = conversion(1, at(0, seconds=60), event_id="e1", value=50.0)
"""Of the impression of day 0, and reported on it."""
NOON = at(2, seconds=43_200)


def values(build: Build, adjustments: list[Row], *, bought: Row = BOUGHT) -> list[float | None]:
    """By the labels: the value on days T 1 to 6; -1 where the conversion does not stand."""
    events = world(impressions=[impression(1, at(0))], conversions=[bought])
    settings = LabelSettings(value_factor_min=1e-9, value_factor_max=100)
    given = {"settings": settings, "horizon_days": H, "days": Days(day(0), day(0))}
    case = stages.labels(events, credited(events), **given)
    became = adjusted(build, events, adjustments)
    rows = build(lambda: stages.with_adjusted(case, became, max_days=REACH))
    found: list[float | None] = []
    for today in range(1, 7):
        known = [row for row in rows if oracle_examples.is_known(row, day(today))]
        assert len(known) <= 1
        factor = known[0]["value_factor"] if known else None
        found.append(-1 if factor is None else round(51**factor - 1, 3))
    return found


LATER = NOON + SECOND
CASES = {
    "nothing": ([], [50, 50, 50, 50, 50, 50]),
    "a retraction holds from its arrival on": ([adjustment(1, NOON)], [50, 50, -1, -1, -1, -1]),
    "a restatement too": ([restatement(1, NOON, 20.0)], [50, 50, 20, 20, 20, 20]),
    "0 is a value": ([restatement(1, NOON, 0.0)], [50, 50, 0, 0, 0, 0]),
    "it arrives later than it was made": (
        [restatement(1, NOON, 20.0, dt=day(3), received_ts=at(3))],
        [50, 50, 50, 20, 20, 20],
    ),
    "a restatement of a restatement": (
        [restatement(1, at(1), 20.0), restatement(2, at(2), 30.0)],
        [50, 20, 30, 30, 30, 30],
    ),
    "made before, arrived after: the later made holds": (
        [restatement(1, at(1), 20.0, dt=day(3)), restatement(2, NOON, 30.0)],
        [50, 50, 30, 30, 30, 30],
    ),
    "a retraction after a restatement": (
        [restatement(1, at(1), 20.0), adjustment(2, NOON)],
        [50, 20, -1, -1, -1, -1],
    ),
    "a restatement after a retraction: it is back": (
        [adjustment(1, at(1)), restatement(2, NOON, 20.0)],
        [50, -1, 20, 20, 20, 20],
    ),
    "two of one moment: the later arrival": (
        [restatement(1, NOON, 30.0, dt=day(3)), restatement(2, NOON, 20.0)],
        [50, 50, 20, 30, 30, 30],
    ),
    "two of one moment and day: the later received": (
        [restatement(1, NOON, 30.0, received_ts=LATER), restatement(2, NOON, 20.0)],
        [50, 50, 30, 30, 30, 30],
    ),
    "all alike: the greater id": (
        [restatement(1, NOON, 30.0), restatement(2, NOON, 20.0)],
        [50, 50, 20, 20, 20, 20],
    ),
    "of another advertiser": ([adjustment(1, NOON, advertiser_id=4)], [50] * 6),
    "of whichever advertiser": (
        [adjustment(1, NOON, advertiser_id=None)],
        [50, 50, -1, -1, -1, -1],
    ),
    "of another event": ([adjustment(1, NOON, event_id="e2")], [50] * 6),
    "of another event name": ([adjustment(1, NOON, event_name="lead")], [50] * 6),
    "of its event name": (
        [adjustment(1, NOON, event_name="checkout")],
        [50, 50, -1, -1, -1, -1],
    ),
    "as late as may be": ([adjustment(1, at(REACH))], [50, 50, 50, -1, -1, -1]),
    "a day later": ([adjustment(1, at(REACH + 1))], [50] * 6),
}


@pytest.mark.parametrize("what", CASES)
def test_by_hand(build: Build, what: str) -> None:
    adjustments, expected = CASES[what]
    assert values(build, adjustments) == expected


@pytest.mark.parametrize(("early", "expected"), [(REACH, [-1, -1, -1, -1, -1, -1])])
def test_before_its_conversion(build: Build, early: int, expected: list[float]) -> None:
    retraction = adjustment(1, at(-early))
    assert values(build, [retraction]) == expected
    assert values(build, [adjustment(1, at(-early - 1))]) == [50] * 6
    late = {**BOUGHT, "dt": day(2), "received_ts": at(2)}
    restated = restatement(1, at(1), 20.0)
    assert values(build, [restated], bought=late) == [-1, -1, 20, 20, 20, 20]


def test_every_item_of_an_order_has_an_event_id_of_its_own(build: Build) -> None:
    items = [{**BOUGHT, "conversion_id": i, "event_id": f"order:{i}"} for i in (1, 2)]
    events = world(impressions=[impression(1, at(0))], conversions=items)
    rows = adjusted(build, events, [adjustment(1, NOON, event_id="order:2")])
    assert [(row["status"], row["conversion_id"]) for row in rows] == [("applied", 2)]
    whole = adjusted(build, events, [adjustment(1, NOON, event_id="order")])
    assert [(row["status"], row["conversion_id"]) for row in whole] == [("unmatched", None)]


def test_a_duplicate_stays_one_when_the_first_report_is_taken_back(build: Build) -> None:
    again = {**BOUGHT, "conversion_id": 2, "dt": day(1), "received_ts": at(1)}
    much_later = {**BOUGHT, "conversion_id": 3, "dt": day(3) + DAY, "received_ts": at(4)}
    events = world(impressions=[impression(1, at(0))], conversions=[BOUGHT, again, much_later])
    rows = adjusted(build, events, [adjustment(1, NOON)])
    # The report of day 4 is past the 48 hours: a conversion of its own, of the same event.
    told = [(row["dt"], row["status"], row["conversion_id"]) for row in rows]
    assert told == [(day(2), "applied", 1), (day(4), "applied", 3)]


def test_a_history_goes_on_with_what_was_bought_before(build: Build) -> None:
    later = {**BOUGHT, "conversion_id": 2, "event_id": "e2", "pin_id": 8}
    later |= {"event_ts": BOUGHT["event_ts"] + SECOND}
    events = world(impressions=[impression(1, at(0))], conversions=[BOUGHT, later])
    became = adjusted(build, events, [adjustment(1, NOON, event_id="e2")])
    given = {"settings": FeatureSettings(max_recent_actions=1), "days": Days(day(2), day(3))}
    case = stages.user_features(events, credited(events), **given)
    rows = build(lambda: stages.with_adjusted(case, became, max_days=REACH))
    newest = [(row["dt"], row["recent_pin_ids"]) for row in sorted(rows, key=lambda r: r["dt"])]
    assert newest == [(day(2), [8]), (day(3), [7])]
    assert [row["num_conversions_30d"] for row in sorted(rows, key=lambda r: r["dt"])] == [2, 1]


def test_an_adjustment_that_says_nothing_new_changes_nothing(build: Build) -> None:
    said = [
        restatement(1, at(1), 50.0),
        restatement(2, at(1, seconds=1), 20.0),
        restatement(3, at(2), 20.0),
        adjustment(4, at(0)),
        restatement(2, at(1, seconds=1), 20.0, dt=day(3)),
    ]
    events = world(impressions=[impression(1, at(0))], conversions=[BOUGHT])
    rows = adjusted(build, events, [s if s["dt"] != day(0) else {**s, "dt": day(3)} for s in said])
    told = sorted((row["dt"], row["adjustment_id"], row["status"]) for row in rows)
    assert told == [
        (day(1), "1", "no_change"),
        (day(1), "2", "applied"),
        (day(2), "3", "no_change"),
        (day(3), "2", "no_change"),
        (day(3), "4", "no_change"),
    ]
