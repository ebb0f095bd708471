"""Labels against brute force, every factor by hand, and time."""

import math

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcg_assets.days import Days
from convcg_assets.tables.settings import AttributionSettings, LabelSettings

from . import oracle_attribution, oracle_labels, stages
from .conftest import Build
from .event_rows import engagement, impression, world
from .tables import arrived_before, assert_same_rows, exactly
from .world import Row, World, at, day, worlds

ALWAYS = Days(day(-70), day(140))
KEY = ("dt", "impression_id", "evidence", "evidence_id", "evidence_dt")
ATTRIBUTION = AttributionSettings(model="linear", view_window_days=7)

some_settings = st.builds(
    LabelSettings,
    click_formula=st.sampled_from(("log_ratio", "log2_share")),
    click_t_max_s=st.sampled_from((1.0, 60.0)),
    advertiser_match_factor=st.sampled_from((0.0, 0.3, 1.0)),
)


def labels(build: Build, events: World, days: Days, settings: LabelSettings) -> list[Row]:
    credited = oracle_attribution.attributed(events, settings=ATTRIBUTION, days=ALWAYS)
    return build(
        stages.labels,
        events,
        credited,
        settings=settings,
        horizon_days=ATTRIBUTION.horizon_days,
        days=days,
    )


@hypothesis.settings(max_examples=20)
@given(events=worlds(), settings=some_settings)
def test_equals_brute_force(build: Build, events: World, settings: LabelSettings) -> None:
    credited = oracle_attribution.attributed(events, settings=ATTRIBUTION, days=ALWAYS)
    expected = oracle_labels.labels(events, credited, settings=settings, days=ALWAYS)
    assert_same_rows(labels(build, events, ALWAYS, settings), expected, key=KEY)


@given(events=worlds())
def test_a_range_equals_its_days_one_by_one(build: Build, events: World) -> None:
    days = Days(day(0), day(2))
    one_by_one = [row for d in days for row in labels(build, events, Days(d, d), LabelSettings())]
    assert exactly(labels(build, events, days, LabelSettings())) == exactly(one_by_one)


@given(events=worlds(), today=st.sampled_from((1, 2, 3, 8)))
def test_what_was_known_does_not_change(build: Build, events: World, today: int) -> None:
    """Labels that were complete before a day are those that were built on that day."""
    past = World(
        *(
            arrived_before(rows, day(today))
            for rows in (events.impressions, events.engagements, events.conversions, [], [])
        )
    )
    rows = labels(build, events, ALWAYS, LabelSettings())
    known = [row for row in rows if max(row["impression_dt"], row["evidence_dt"]) < day(today)]
    assert exactly(known) == exactly(labels(build, past, ALWAYS, LabelSettings()))


def test_a_late_impression_takes_its_engagement_from_the_day_before(build: Build) -> None:
    """Day 0 built alone must know of the newer impression, whose log came as late as it may."""
    late = stages.SHOWN_DAYS
    events = world(
        impressions=[impression(1, at(0, seconds=86_399)), impression(2, at(1), late=late)],
        engagements=[engagement(1, at(1, seconds=60), late=late)],
    )
    assert labels(build, events, Days(day(0), day(0)), LabelSettings()) == []
    (row,) = labels(build, events, Days(day(1), day(1)), LabelSettings())
    assert row["impression_id"] == 2


@pytest.mark.parametrize(
    ("late", "num_labels"), [(stages.ENGAGEMENT_DAYS, 1), (stages.ENGAGEMENT_DAYS + 1, 0)]
)
def test_an_engagement_counts_that_arrives_in_time(
    build: Build, late: int, num_labels: int
) -> None:
    events = world(
        impressions=[impression(1, at(0))],
        engagements=[engagement(1, at(0), impression_id=1, late=late)],
    )
    # A range reads further than its first day alone does.
    assert len(labels(build, events, Days(day(0), day(9)), LabelSettings())) == num_labels


@pytest.mark.parametrize(
    ("formula", "duration_s", "factor"),
    [
        ("log_ratio", 0.0, 0.0),
        ("log_ratio", 9.0, math.log(10) / math.log(61)),
        ("log_ratio", 60.0, 1.0),
        ("log_ratio", 600.0, 1.0),
        ("log_ratio", None, 0.5),
        ("log2_share", 0.0, 0.0),
        ("log2_share", 15.0, math.log(1 + 15 / 60) / math.log(2)),
        ("log2_share", 60.0, 1.0),
        ("log2_share", 600.0, 1.0),
        ("log2_share", None, 0.5),
    ],
)
def test_click_factor_by_hand(
    build: Build, formula: str, duration_s: float | None, factor: float
) -> None:
    events = world(
        impressions=[impression(1, at(0))],
        engagements=[engagement(1, at(0), impression_id=1, duration_s=duration_s)],
    )
    (row,) = labels(build, events, ALWAYS, LabelSettings.model_validate({"click_formula": formula}))
    assert row["duration_factor"] == pytest.approx(factor)
    assert row["weight"] == pytest.approx(1.0 * factor)


@pytest.mark.parametrize(
    ("value", "factor"),
    [
        (None, 1.0),
        (0.0, 0.5),
        (20.0, math.log(21) / math.log(51)),
        (50.0, 1.0),
        (1e9, 2.0),
    ],
)
def test_value_factor_by_hand(build: Build, value: float | None, factor: float) -> None:
    (row,) = credited_label(build, value=value, match_level="advertiser", credit=0.25)
    assert row["value_factor"] == pytest.approx(factor)
    assert row["weight"] == pytest.approx(1.0 * factor * 0.25 * 0.3)


def test_touches_of_one_impression_are_one_label(build: Build) -> None:
    rows = credited_label(build, touch_type="view", credit=1 / 3) + credited_label(
        build, touch_type="click", credit=2 / 3
    )
    assert [row["credit"] for row in rows] == pytest.approx([1 / 3, 2 / 3])
    (row,) = build_labels(build, credited(touch_type="view", credit=1 / 3), credited(credit=2 / 3))
    assert row["credit"] == pytest.approx(1 / 3 + 2 / 3)
    assert row["touch_type"] == "click"


@pytest.mark.parametrize("status", ["no_user", "no_touch", "past_horizon", "duplicate"])
def test_only_attributed_conversions_are_labels(build: Build, status: str) -> None:
    assert credited_label(build, status=status) == []


def credited(**given: object) -> Row:
    """A conversion credited to impression 1."""
    row = {
        "dt": day(1),
        "conversion_id": 5,
        "event_name": "checkout",
        "user_id": 1,
        "advertiser_id": 3,
        "pin_id": None,
        "event_ts": at(1),
        "received_ts": at(1),
        "value": 50.0,
        "status": "attributed",
        "touch_type": "click",
        "match_level": "pin",
        "impression_id": 1,
        "impression_day": day(0),
        "touch_pin_id": 7,
        "touch_ts": at(0),
        "credit": 1.0,
    }
    return row | given


def build_labels(build: Build, *rows: Row) -> list[Row]:
    return build(
        stages.labels,
        world(impressions=[impression(1, at(0))]),
        list(rows),
        settings=LabelSettings(),
        horizon_days=37,
        days=ALWAYS,
    )


def credited_label(build: Build, **given: object) -> list[Row]:
    return build_labels(build, credited(**given))
