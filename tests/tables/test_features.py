"""Features against brute force; what arrives on day T itself is not known on T."""

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcg_assets.days import Days
from convcg_assets.tables.settings import AttributionSettings, FeatureSettings

from . import oracle_attribution, oracle_features, stages
from .conftest import Build
from .event_rows import engagement, impression, pin, user, world
from .tables import arrived_before, assert_same_rows, exactly
from .world import Row, World, at, day, worlds

ALWAYS = Days(day(-70), day(140))
NO_SALES: list[Row] = []

some_settings = st.builds(
    FeatureSettings,
    max_recent_actions=st.sampled_from((1, 3, 30)),
    active_days=st.sampled_from((1, 7, 40)),
)
some_days = st.sampled_from((0, 1, 7, 30, 45)).map(lambda o: Days(day(o), day(o + 2)))


def credited_of(events: World) -> list[Row]:
    settings = AttributionSettings(model="linear", view_window_days=7)
    return oracle_attribution.attributed(events, settings=settings, days=ALWAYS)


@hypothesis.settings(max_examples=15)
@given(events=worlds(), settings=some_settings, days=some_days)
def test_users_equal_brute_force(build: Build, events: World, settings, days: Days) -> None:
    credited = credited_of(events)
    rows = build(stages.user_features, events, credited, settings=settings, days=days)
    expected = oracle_features.user_features(events, credited, settings=settings, days=days)
    assert_same_rows(rows, expected, key=("dt", "user_id"))


@hypothesis.settings(max_examples=15)
@given(
    events=worlds(),
    settings=some_settings,
    days=some_days,
    has_catalogue=st.booleans(),
)
def test_pins_equal_brute_force(
    build: Build, events: World, settings, days: Days, has_catalogue: bool
) -> None:
    credited, options = credited_of(events), {"has_catalogue": has_catalogue, "settings": settings}
    rows = build(stages.pin_features, events, credited, days=days, **options)
    expected = oracle_features.pin_features(events, credited, days=days, **options)
    assert_same_rows(rows, expected, key=("dt", "pin_id"))


@given(events=worlds(), days=some_days, has_catalogue=st.booleans())
def test_a_range_equals_its_days_and_knows_nothing_later(
    build: Build, events: World, days: Days, has_catalogue: bool
) -> None:
    credited, settings = credited_of(events), FeatureSettings(max_recent_actions=3)
    users, pins = [], []
    for d in days:
        past = World(
            *(
                arrived_before(rows, d)
                for rows in (
                    events.impressions,
                    events.engagements,
                    events.conversions,
                    events.pins,
                    events.users,
                )
            )
        )
        known = arrived_before(credited, d)
        options = {"settings": settings, "days": Days(d, d)}
        users += build(stages.user_features, past, known, **options)
        pins += build(stages.pin_features, past, known, has_catalogue=has_catalogue, **options)
    options = {"settings": settings, "days": days}
    assert exactly(users) == exactly(build(stages.user_features, events, credited, **options))
    assert exactly(pins) == exactly(
        build(stages.pin_features, events, credited, has_catalogue=has_catalogue, **options)
    )


def users_of(build: Build, events: World, offset: int, **settings: int) -> list[Row]:
    return build(
        stages.user_features,
        events,
        NO_SALES,
        settings=FeatureSettings(**settings),
        days=Days(day(offset), day(offset)),
    )


def pins_of(
    build: Build, events: World, offset: int, *, has_catalogue: bool = True, **settings: int
) -> list[Row]:
    return build(
        stages.pin_features,
        events,
        NO_SALES,
        has_catalogue=has_catalogue,
        settings=FeatureSettings(**settings),
        days=Days(day(offset), day(offset)),
    )


@pytest.mark.parametrize(
    ("age", "num_7d", "num_30d"), [(0, None, None), (1, 1, 1), (7, 1, 1), (8, 0, 1), (30, 0, 1)]
)
def test_window_edges(build: Build, age: int, num_7d: int | None, num_30d: int | None) -> None:
    events = world(
        impressions=[impression(1, at(0, seconds=86_399))],
        engagements=[engagement(1, at(0, seconds=86_399))],
    )
    counts = [
        (row["num_impressions_7d"], row["num_impressions_30d"], row["num_clicks_7d"])
        for row in users_of(build, events, age)
    ]
    assert counts == ([] if num_7d is None else [(num_7d, num_30d, num_7d)])
    assert users_of(build, events, 31) == []


def test_recent_actions_newest_first_and_no_more_than_asked_for(build: Build) -> None:
    kinds = ("click", "repin", "close_up")
    events = world(
        engagements=[
            engagement(i, at(i, seconds=43_200), pin_id=10 + i, engagement_type=kind)
            for i, kind in enumerate(kinds)
        ]
    )
    (row,) = users_of(build, events, 3, max_recent_actions=2)
    assert row["recent_pin_ids"] == [12, 11]
    assert row["recent_actions"] == ["close_up", "repin"]
    assert row["recent_age_days"] == [0.5, 1.5]
    assert row["days_since_action"] == 1


def test_the_newest_snapshot_before_the_day(build: Build) -> None:
    events = world(
        users=[user(1, 0, country="DE"), user(2, 0), user(1, 2, country="US"), user(1, 3)]
    )
    assert [(row["user_id"], row["country"]) for row in users_of(build, events, 3)] == [(1, "US")]
    assert {row["user_id"] for row in users_of(build, events, 2)} == {1, 2}
    (row,) = users_of(build, world(users=[user(1, 0, created_ts=at(-1, seconds=43_200))]), 1)
    assert row["account_age_days"] == 1.5


@pytest.mark.parametrize("age", [1, 30, 33, 34, 400])
def test_a_snapshot_holds_until_the_next_however_old(build: Build, age: int) -> None:
    events = world(
        pins=[pin(7, 0, created_ts=None), pin(8, 0, price=1.0)], users=[user(1, 0, country="DE")]
    )
    assert [(row["user_id"], row["country"]) for row in users_of(build, events, age)] == [(1, "DE")]
    first, second = sorted(pins_of(build, events, age), key=lambda row: row["pin_id"])
    assert (first["pin_id"], first["age_days"]) == (7, age)
    assert (second["pin_id"], second["price"]) == (8, 1.0)


@pytest.mark.parametrize("offset", [1, 33, 400])
def test_a_pin_leaves_the_catalogue_with_the_snapshot_that_lacks_it(
    build: Build, offset: int
) -> None:
    events = world(pins=[pin(7, 0), pin(8, 0), pin(8, offset)])
    assert {row["pin_id"] for row in pins_of(build, events, offset)} == {7, 8}
    assert {row["pin_id"] for row in pins_of(build, events, offset + 1)} == {8}


def test_a_range_of_days_takes_for_each_the_snapshot_that_holds(build: Build) -> None:
    events = world(pins=[pin(7, 0), pin(8, 60)])
    rows = build(
        stages.pin_features,
        events,
        [],
        has_catalogue=True,
        settings=FeatureSettings(),
        days=Days(day(59), day(62)),
    )
    found = {row["dt"]: row["pin_id"] for row in rows}
    assert found == {day(59): 7, day(60): 7, day(61): 8, day(62): 8}


@pytest.mark.parametrize(("age", "active"), [(0, False), (1, True), (5, True), (6, False)])
def test_without_a_catalogue_the_pins_seen_lately_are_active(
    build: Build, age: int, active: bool
) -> None:
    events = world(pins=[pin(7, 0, created_ts=None)])
    rows = pins_of(build, events, age, has_catalogue=False, active_days=5)
    assert [row["pin_id"] for row in rows] == [7] * active


def test_age_of_a_pin_without_a_creation_time_is_from_first_sight(build: Build) -> None:
    events = world(pins=[pin(7, o, created_ts=None) for o in (0, 1, 2)])
    (seen,) = pins_of(build, events, 3, has_catalogue=False)
    assert seen["age_days"] == 3.0
    (listed,) = pins_of(build, events, 3)
    assert listed["age_days"] == 3.0


def test_an_event_delivered_on_two_days_counts_once(build: Build) -> None:
    shown, clicked = impression(1, at(0)), engagement(1, at(0))
    events = world(
        impressions=[shown, shown | {"dt": day(1)}],
        engagements=[clicked, clicked | {"dt": day(1)}],
    )
    (row,) = users_of(build, events, 2)
    assert row["num_impressions_7d"] == 1
    assert row["num_clicks_30d"] == 1
    assert row["recent_pin_ids"] == [7]


def test_advertiser_counts_are_those_of_all_its_pins(build: Build) -> None:
    events = world(
        pins=[pin(7, 0), pin(8, 0), pin(9, 0, advertiser_id=4), pin(6, 0, advertiser_id=None)],
        impressions=[impression(i, at(0), pin_id=p) for i, p in enumerate((7, 7, 8, 9, 6))],
    )
    rows = pins_of(build, events, 1)
    assert {row["pin_id"]: row["advertiser_num_impressions_30d"] for row in rows} == {
        7: 2 + 1,
        8: 2 + 1,
        9: 1,
        6: None,
    }
