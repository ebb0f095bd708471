"""Windows to the second, who gets the credit and how much, duplicates, and time."""

import datetime as dt

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcg_assets.days import Days
from convcg_assets.tables.credit_models import CREDIT_MODELS
from convcg_assets.tables.settings import AttributionSettings

from . import oracle_attribution, stages
from .conftest import Build
from .event_rows import conversion, engagement, impression, world
from .tables import assert_same_rows, exactly, of_days
from .world import DAY, SECOND, Row, World, at, day, worlds

ALWAYS = Days(day(-70), day(140))
KEY = ("dt", "conversion_id", "status", "touch_type", "match_level", "impression_id", "touch_ts")
WINDOWS = ("click_window_days", "engagement_window_days", "view_window_days")
HOUR = dt.timedelta(hours=1)

some_settings = st.builds(
    AttributionSettings,
    click_window_days=st.sampled_from((1, 7, 14, 30)),
    engagement_window_days=st.sampled_from((0, 1, 7)),
    view_window_days=st.sampled_from((0, 1, 7)),
    model=st.sampled_from(sorted(CREDIT_MODELS)),
    half_life_hours=st.sampled_from((1.0, 24.0, 168.0)),
    dedup_window_hours=st.sampled_from((0, 24, 48)),
    max_reporting_lag_days=st.sampled_from((0, 1, 8)),
)


def attributed(build: Build, events: World, **settings) -> list[Row]:
    return build(
        stages.attributed,
        events,
        settings=AttributionSettings.model_validate(settings),
        days=ALWAYS,
    )


def credits_of(rows: list[Row]) -> dict:
    """Credit by impression."""
    return {row["impression_id"]: row["credit"] for row in rows}


@hypothesis.settings(max_examples=15)
@given(events=worlds(), settings=some_settings)
def test_equals_brute_force(build: Build, events: World, settings: AttributionSettings) -> None:
    rows = build(stages.attributed, events, settings=settings, days=ALWAYS)
    expected = oracle_attribution.attributed(events, settings=settings, days=ALWAYS)
    assert_same_rows(rows, expected, key=KEY)
    sums: dict = {}
    for row in rows:
        if row["status"] == "attributed":
            key = row["dt"], row["conversion_id"]
            sums[key] = sums.get(key, 0.0) + row["credit"]
    assert list(sums.values()) == pytest.approx([1.0] * len(sums))


@given(events=worlds(), settings=some_settings)
def test_a_range_equals_its_days_one_by_one(
    build: Build, events: World, settings: AttributionSettings
) -> None:
    days = Days(day(0), day(2))
    at_once = build(stages.attributed, events, settings=settings, days=days)
    one_by_one = [
        row
        for d in days
        for row in build(stages.attributed, events, settings=settings, days=Days(d, d))
    ]
    assert exactly(at_once) == exactly(one_by_one)


@given(events=worlds(), settings=some_settings, rng=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(build: Build, events: World, settings, rng) -> None:
    mixed = World(
        *(
            rng.sample(rows, len(rows))
            for rows in (
                events.impressions,
                events.engagements,
                events.conversions,
                events.pins,
                events.users,
            )
        )
    )
    rows = build(stages.attributed, events, settings=settings, days=ALWAYS)
    assert exactly(rows) == exactly(build(stages.attributed, mixed, settings=settings, days=ALWAYS))


@given(events=worlds(), settings=some_settings)
def test_what_arrives_later_changes_nothing(build: Build, events: World, settings) -> None:
    days = Days(day(-1), day(3))
    past = World(
        *(
            of_days(rows, Days(day(-70), days.last))
            for rows in (events.impressions, events.engagements, events.conversions, [], [])
        )
    )
    rows = build(stages.attributed, events, settings=settings, days=days)
    assert exactly(rows) == exactly(build(stages.attributed, past, settings=settings, days=days))


@pytest.mark.parametrize("window", [1, 7, 14, 30, 60])
@pytest.mark.parametrize("kind", ["click", "repin", "view"])
def test_window_edges_to_the_second(build: Build, kind: str, window: int) -> None:
    shown, touched = at(0, seconds=43_200), at(0, seconds=43_230)
    acted = [engagement(1, touched, impression_id=10, engagement_type=kind)]
    start = shown if kind == "view" else touched
    events = world(
        impressions=[impression(10, shown)],
        engagements=[] if kind == "view" else acted,
        conversions=[
            conversion(1, start - SECOND),
            conversion(2, start),
            conversion(3, start + window * DAY - SECOND),
            conversion(4, start + window * DAY),
        ],
    )
    name = {"click": "click", "repin": "engagement", "view": "view"}[kind]
    # The other types are off, or, one second before the engagement, would see the impression.
    windows: dict[str, int] = dict.fromkeys(WINDOWS, 0)
    windows[f"{name}_window_days"] = window
    rows = attributed(build, events, **windows)
    assert {row["conversion_id"]: row["touch_type"] for row in rows} == {
        1: None,
        2: name,
        3: name,
        4: None,
    }


def test_with_every_type_switched_off_nothing_is_attributed(build: Build) -> None:
    events = world(impressions=[impression(1, at(0))], conversions=[conversion(1, at(0))])
    windows: dict[str, int] = dict.fromkeys(WINDOWS, 0)
    assert [row["status"] for row in attributed(build, events, **windows)] == ["no_touch"]


def test_horizon_edge(build: Build) -> None:
    horizon = 7 + 2
    shown = at(0, seconds=86_399)
    events = world(
        impressions=[impression(1, shown)],
        conversions=[
            conversion(1, at(0, seconds=86_399), dt=day(horizon), received_ts=at(horizon)),
            conversion(2, at(0, seconds=86_399), dt=day(horizon + 1), received_ts=at(horizon + 1)),
        ],
    )
    rows = attributed(
        build,
        events,
        click_window_days=7,
        engagement_window_days=7,
        view_window_days=7,
        max_reporting_lag_days=2,
    )
    assert {row["conversion_id"]: row["status"] for row in rows} == {
        1: "attributed",
        2: "past_horizon",
    }


def test_last_touch_order(build: Build) -> None:
    clicked, repinned, newer = (at(0, seconds=s) for s in (100, 200, 300))
    shown = [impression(i, clicked) for i in (1, 2)] + [impression(3, newer, pin_id=8)]
    click = engagement(1, clicked, impression_id=1)
    events = {
        "view": world(impressions=shown),
        "engagement": world(
            impressions=shown,
            engagements=[engagement(2, repinned, impression_id=2, engagement_type="repin")],
        ),
        "click": world(
            impressions=shown,
            engagements=[
                click,
                engagement(2, repinned, impression_id=2, engagement_type="repin"),
                engagement(3, newer, impression_id=3, pin_id=8),
            ],
        ),
    }
    expected = {"view": (1, "pin"), "engagement": (2, "pin"), "click": (1, "pin")}
    for touch_type, (impression_id, level) in expected.items():
        sold = conversion(1, at(0, seconds=400))
        one = world(
            impressions=events[touch_type].impressions,
            engagements=events[touch_type].engagements,
            conversions=[sold],
        )
        (row,) = attributed(build, one)
        assert (row["touch_type"], row["impression_id"], row["match_level"]) == (
            touch_type,
            impression_id,
            level,
        )


def test_of_equal_matches_the_latest_touch(build: Build) -> None:
    shown = [impression(5, at(0)), impression(3, at(0, seconds=9))]
    events = world(impressions=shown, conversions=[conversion(1, at(0, seconds=9))])
    assert credits_of(attributed(build, events)) == {3: 1.0}
    assert credits_of(attributed(build, events, model="first_touch")) == {5: 1.0}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("last_touch", [1.0]),
        ("first_touch", [1.0]),
        ("linear", [1 / 4, 1 / 4, 1 / 4, 1 / 4]),
        ("position_based", [0.4, 0.2 / 2, 0.2 / 2, 0.4]),
        ("time_decay", [2**-3 / (15 / 8), 2**-2 / (15 / 8), 2**-1 / (15 / 8), 1 / (15 / 8)]),
    ],
)
def test_credit_models_by_hand(build: Build, model: str, expected: list[float]) -> None:
    shown = [impression(i, at(0) + i * HOUR) for i in range(4)]
    events = world(impressions=shown, conversions=[conversion(1, at(0) + 3 * HOUR)])
    rows = attributed(build, events, model=model, half_life_hours=1)
    credit = [row["credit"] for row in sorted(rows, key=lambda row: row["touch_ts"])]
    assert credit == pytest.approx(expected)


@pytest.mark.parametrize(
    ("num_touches", "expected"), [(1, [1.0]), (2, [0.5, 0.5]), (3, [0.4, 0.2, 0.4])]
)
def test_position_based_with_few_touches(
    build: Build, num_touches: int, expected: list[float]
) -> None:
    shown = [impression(i, at(0, seconds=i)) for i in range(num_touches)]
    events = world(impressions=shown, conversions=[conversion(1, at(0, seconds=9))])
    rows = attributed(build, events, model="position_based")
    assert [credits_of(rows)[i] for i in range(num_touches)] == pytest.approx(expected)


def test_a_touch_that_arrives_after_the_conversion_gets_nothing(build: Build) -> None:
    shown = [impression(1, at(0)), impression(2, at(0, seconds=5), late=1)]
    events = world(
        impressions=shown,
        conversions=[conversion(1, at(0, seconds=9)), conversion(2, at(1, seconds=3))],
    )
    rows = attributed(build, events)
    assert {row["conversion_id"]: row["impression_id"] for row in rows} == {1: 1, 2: 2}


def test_an_engagement_delivered_twice_is_one_touch(build: Build) -> None:
    """The impression that the second delivery would link to was not known at the first."""
    shown = [impression(1, at(0)), impression(2, at(0, seconds=5), late=1)]
    clicked = engagement(1, at(0, seconds=9))
    events = world(
        impressions=shown,
        engagements=[clicked, clicked | {"dt": day(1)}],
        conversions=[conversion(1, at(1))],
    )
    rows = attributed(build, events, model="linear", view_window_days=0)
    assert credits_of(rows) == {1: 1.0}


def test_an_impression_whose_clock_ran_ahead_is_one_touch_however_often_delivered(
    build: Build,
) -> None:
    """Its first log is that of the day before its time, and its day is that log's."""
    ahead = impression(1, at(1, seconds=5), dt=day(0), impression_day=day(0))
    events = world(
        impressions=[ahead, ahead | {"dt": day(1), "impression_day": day(1)}],
        conversions=[conversion(1, at(1, seconds=9))],
    )
    rows = attributed(build, events, model="linear")
    assert [(row["impression_day"], row["credit"]) for row in rows] == [(day(0), 1.0)]


@pytest.mark.parametrize(
    ("hours", "seconds", "status"),
    [(48, -1, "duplicate"), (48, 0, "duplicate"), (48, 1, "no_touch")],
)
def test_duplicates_to_the_second_over_day_borders(
    build: Build, hours: int, seconds: int, status: str
) -> None:
    ts = at(0, seconds=86_399)
    lag = dt.timedelta(hours=hours, seconds=seconds)
    reports = [conversion(1, ts, event_id="e"), conversion(2, ts, lag=lag, event_id="e")]
    rows = attributed(build, world(conversions=reports))
    assert {row["conversion_id"]: row["status"] for row in rows} == {1: "no_touch", 2: status}


def test_the_first_received_wins_then_the_smaller_conversion_id(build: Build) -> None:
    ts = at(0)
    reports = [
        conversion(3, ts, event_id="e", lag=2 * SECOND),
        conversion(2, ts, event_id="e", lag=SECOND),
        conversion(1, ts, event_id="e", lag=SECOND),
    ]
    rows = attributed(build, world(conversions=reports))
    assert {row["conversion_id"]: row["status"] for row in rows} == {
        1: "no_touch",
        2: "duplicate",
        3: "duplicate",
    }


def test_a_third_report_is_compared_with_the_second(build: Build) -> None:
    reports = [conversion(i, at(0), event_id="e", lag=i * 40 * HOUR) for i in range(3)]
    rows = attributed(build, world(conversions=reports))
    assert [row["status"] for row in sorted(rows, key=lambda row: row["conversion_id"])] == [
        "no_touch",
        "duplicate",
        "duplicate",
    ]


@pytest.mark.parametrize(
    "other", [{"event_name": "lead"}, {"advertiser_id": 4}, {"event_id": "f"}, {"event_id": None}]
)
def test_what_differs_is_no_duplicate(build: Build, other: Row) -> None:
    reports = [conversion(1, at(0), event_id="e"), conversion(2, at(0), event_id="e") | other]
    rows = attributed(build, world(conversions=reports))
    assert [row["status"] for row in rows] == ["no_touch", "no_touch"]


def test_without_an_event_id_only_the_conversion_id_is_compared(build: Build) -> None:
    reports = [conversion(1, at(0)), conversion(2, at(0)), conversion(1, at(0), lag=DAY)]
    rows = attributed(build, world(conversions=reports))
    assert sorted((row["conversion_id"], row["dt"], row["status"]) for row in rows) == [
        (1, day(0), "no_touch"),
        (1, day(1), "duplicate"),
        (2, day(0), "no_touch"),
    ]


def test_a_conversion_without_a_user_stays_visible(build: Build) -> None:
    events = world(
        impressions=[impression(1, at(0))], conversions=[conversion(1, at(0), user_id=None)]
    )
    assert [row["status"] for row in attributed(build, events)] == ["no_user"]


def test_unknown_advertisers_do_not_match_each_other(build: Build) -> None:
    events = world(
        impressions=[impression(1, at(0), advertiser_id=None)],
        conversions=[conversion(1, at(0), pin_id=None, advertiser_id=None)],
    )
    assert [row["status"] for row in attributed(build, events)] == ["no_touch"]
