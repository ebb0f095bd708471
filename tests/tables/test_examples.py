"""Training examples against brute force: split, cutoff, negatives, and what was known when."""

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
    NegativeSettings,
)

from . import (
    oracle_attribution,
    oracle_delay,
    oracle_examples,
    oracle_features,
    oracle_labels,
    stages,
)
from .conftest import Build
from .event_rows import conversion, engagement, impression, pin, user, world
from .tables import arrived_before, assert_same_rows, exactly
from .world import DAY, Row, World, at, day, worlds

ALWAYS = Days(day(-70), day(140))
DELAY = DelaySettings(advertiser_kappa=2, segment_kappa=3, maturity_days=2, min_weekly=2)
KEY = ("dt", "impression_id", "is_negative", "task")

some_settings = st.builds(
    ExampleSettings,
    training_days=st.sampled_from((1, 3, 8)),
    holdout_days=st.sampled_from((1, 2)),
)
some_days = st.sampled_from((1, 3, 8)).map(lambda o: Days(day(o), day(o + 2)))


def derive(events: World, days: Days) -> dict[str, list[Row]]:
    """What the stages before give, by brute force."""
    attribution = AttributionSettings(model="linear", view_window_days=7)
    credited = oracle_attribution.attributed(events, settings=attribution, days=ALWAYS)
    looked_at = Days(days.first - 12 * DAY, days.last)
    features = {"settings": FeatureSettings(), "days": looked_at}
    curve_days = Days(days.first - 2 * DAY, days.last + 4 * DAY)
    return {
        "attributed_conversions": credited,
        "conversion_delay": oracle_delay.curves(
            credited, settings=DELAY, horizon_days=attribution.horizon_days, days=curve_days
        ),
        "weighted_labels": oracle_labels.labels(
            events, credited, settings=LabelSettings(), days=ALWAYS
        ),
        "hard_negatives": oracle_labels.negatives(
            events, settings=NegativeSettings(sample_rate=1), days=ALWAYS
        ),
        "user_features": oracle_features.user_features(events, credited, **features),
        "pin_features": oracle_features.pin_features(
            events, credited, has_catalogue=True, **features
        ),
    }


def derive_all(build: Build, events: World, days: Days) -> dict[str, list[Row]]:
    """The same, and the features of the examples as the stage gives them."""
    derived = derive(events, days)
    looked_at = Days(days.first - 11 * DAY, days.last - DAY)
    features = build(stages.example_features, events, derived, days=looked_at)
    return {**derived, "example_features": features}


def examples(build: Build, events: World, days: Days, settings: ExampleSettings) -> list[Row]:
    given = {"settings": settings, "delay": DELAY, "days": days}
    return build(stages.examples, derive_all(build, events, days), **given)


some_maturity = st.sampled_from(("none", "global", "advertiser", "advertiser"))
some_later = st.sampled_from((None, None, 0, 2, 4))


@hypothesis.settings(max_examples=20)
@given(
    events=worlds(),
    settings=some_settings,
    days=some_days,
    maturity=some_maturity,
    later=some_later,
)
def test_equals_brute_force(
    build: Build, events: World, settings, days: Days, maturity, later
) -> None:
    if later is not None:  # One model is judged again, not a range of them.
        days = Days(days.last, days.last)
    derived = derive_all(build, events, days)
    given = {
        "settings": settings,
        "delay": DELAY.model_copy(update={"maturity": maturity}),
        "days": days,
        "known_before": later if later is None else days.last + later * DAY,
    }
    expected = oracle_examples.examples(events, derived, **given)
    assert_same_rows(build(stages.examples, derived, **given), expected, key=KEY)


@hypothesis.settings(max_examples=12)
@given(events=worlds(), days=some_days)
def test_features_equal_brute_force(build: Build, events: World, days: Days) -> None:
    derived = derive(events, days)
    expected = oracle_examples.example_features(events, derived, days=days)
    found = build(stages.example_features, events, derived, days=days)
    assert_same_rows(found, expected, key=("dt", "impression_id"))
    one_by_one = [
        row
        for d in days
        for row in build(stages.example_features, events, derived, days=Days(d, d))
    ]
    assert exactly(found) == exactly(one_by_one)


@hypothesis.settings(max_examples=8)
@given(events=worlds(), settings=some_settings, days=some_days)
def test_a_range_equals_its_days_one_by_one(
    build: Build, events: World, settings, days: Days
) -> None:
    derived = derive_all(build, events, days)
    given = {"settings": settings, "delay": DELAY}
    one_by_one = [
        row for d in days for row in build(stages.examples, derived, **given, days=Days(d, d))
    ]
    at_once = build(stages.examples, derived, **given, days=days)
    assert exactly(at_once) == exactly(one_by_one)


@hypothesis.settings(max_examples=8)
@given(events=worlds(), settings=some_settings, today=st.sampled_from((1, 2, 3, 8)))
def test_rebuilt_later_they_are_as_on_the_day_itself(
    build: Build, events: World, settings, today: int
) -> None:
    past = World(
        *(
            arrived_before(rows, day(today))
            for rows in (
                events.impressions,
                events.engagements,
                events.conversions,
                events.pins,
                events.users,
            )
        )
    )
    days = Days(day(today), day(today))
    later = examples(build, events, days, settings)
    assert exactly(later) == exactly(examples(build, past, days, settings))


def known(build: Build, events: World, offset: int) -> set[tuple]:
    """Examples of a day with two training days before a holdout of one."""
    settings = ExampleSettings(training_days=2, holdout_days=1)
    rows = examples(build, events, Days(day(offset), day(offset)), settings)
    return {(row["impression_id"], row["split"], row["is_negative"]) for row in rows}


def test_split_by_impression_day(build: Build) -> None:
    events = world(
        impressions=[impression(o, at(o), pin_id=o) for o in range(5)],
        engagements=[engagement(o, at(o), impression_id=o, pin_id=o) for o in range(5)],
    )
    assert known(build, events, 4) == {
        (1, "train", False),
        (2, "train", False),
        (3, "holdout", False),
    }


def test_training_knows_nothing_that_arrived_during_the_holdout(build: Build) -> None:
    events = world(
        impressions=[impression(1, at(2)), impression(2, at(2), pin_id=8)],
        engagements=[
            engagement(1, at(2), impression_id=1, late=1),
            engagement(2, at(2), impression_id=2, pin_id=8),
        ],
    )
    assert known(build, events, 4) == {(1, "train", True), (2, "train", False)}


def test_an_impression_that_arrived_during_the_holdout_is_not_trained_on(build: Build) -> None:
    """Its engagement came with an earlier log than it did."""
    events = world(
        impressions=[impression(1, at(2), late=1)],
        engagements=[engagement(1, at(2), impression_id=1)],
    )
    assert known(build, events, 4) == set()


def test_a_negative_that_its_user_liked_elsewhere_is_dropped(build: Build) -> None:
    events = world(
        impressions=[impression(1, at(1)), impression(2, at(2)), impression(3, at(2), user_id=2)],
        engagements=[engagement(1, at(1), impression_id=1)],
    )
    assert known(build, events, 4) == {(1, "train", False), (3, "train", True)}


def test_a_like_outside_the_days_looked_at_is_forgotten_in_a_range_too(build: Build) -> None:
    """Day 4 looks back to day 1; a range that begins with day 3 also reads day 0."""
    events = world(
        impressions=[impression(1, at(0)), impression(2, at(2))],
        engagements=[engagement(1, at(0), impression_id=1)],
    )
    settings = ExampleSettings(training_days=2, holdout_days=1)
    alone = examples(build, events, Days(day(4), day(4)), settings)
    ranged = examples(build, events, Days(day(3), day(4)), settings)
    assert [row["impression_id"] for row in alone] == [2]
    assert [row["impression_id"] for row in ranged if row["dt"] == day(4)] == [2]


def test_seen_before_means_a_log_before_the_impression_day(build: Build) -> None:
    events = world(
        impressions=[
            impression(1, at(1)),
            impression(2, at(2)),
            impression(3, at(2), pin_id=8),
            impression(4, at(2), pin_id=9),
            impression(5, at(1), pin_id=9, late=1),
        ],
    )
    settings = ExampleSettings(training_days=2, holdout_days=1)
    rows = examples(build, events, Days(day(4), day(4)), settings)
    assert {row["impression_id"]: row["seen_before"] for row in rows} == {
        1: False,
        2: True,
        3: False,
        4: False,
        5: False,
    }


def test_what_was_acted_on_or_bought_before_counts_as_seen(build: Build) -> None:
    """Logs of carts and purchases need not hold a view of what was acted on."""
    liked, bought, credited, on_the_day, late, other = 10, 11, 12, 13, 14, 15
    events = world(
        impressions=[
            *(impression(o, at(4), pin_id=o) for o in (liked, bought, on_the_day, late, other)),
            impression(credited, at(-27), pin_id=credited),
            impression(16, at(4), pin_id=credited),
        ],
        engagements=[
            engagement(1, at(3), pin_id=liked, impression_id=None),
            engagement(2, at(3), pin_id=late, impression_id=None, late=1),
            engagement(3, at(-27), pin_id=credited, impression_id=credited),
            engagement(4, at(3), pin_id=other, impression_id=None, user_id=2),
        ],
        conversions=[
            conversion(1, at(2), lag=DAY, pin_id=bought),
            conversion(2, at(4), pin_id=on_the_day),
            conversion(3, at(2), lag=DAY, pin_id=None),
        ],
    )
    settings = ExampleSettings(training_days=5, holdout_days=1)
    rows = examples(build, events, Days(day(7), day(7)), settings)
    seen = {row["pin_id"]: row["seen_before"] for row in rows if row["example_day"] == day(4)}
    assert seen == {
        liked: True,
        bought: True,
        credited: True,
        on_the_day: False,
        late: False,
        other: False,
    }


def test_features_are_those_of_the_impression_day(build: Build) -> None:
    events = world(
        impressions=[impression(o, at(o)) for o in (0, 1, 2)],
        engagements=[engagement(1, at(2), impression_id=2)],
        pins=[pin(7, o, price=10.0 + o) for o in range(4)],
        users=[user(1, o, country=f"C{o}") for o in range(4)],
    )
    settings = ExampleSettings(training_days=2, holdout_days=1)
    rows = examples(build, events, Days(day(4), day(4)), settings)
    (row,) = (row for row in rows if row["impression_id"] == 2)
    assert (row["user_country"], row["pin_price"]) == ("C1", 11.0)
    assert (row["user_num_impressions_7d"], row["user_num_clicks_7d"]) == (2, 0)
    assert (row["pin_num_impressions_30d"], row["pin_num_clicks_30d"]) == (2, 0)


def held_out(build: Build, events: World, *, known_before: int | None) -> dict[int, Row]:
    """The held-out conversions of day 4, whose holdout is day 3, by impression id."""
    days = Days(day(4), day(4))
    rows = build(
        stages.examples,
        derive_all(build, events, days),
        settings=ExampleSettings(training_days=2, holdout_days=1),
        delay=DELAY,
        days=days,
        known_before=None if known_before is None else day(known_before),
    )
    return {row["impression_id"]: row for row in rows if row["split"] == "holdout"}


def test_holdout_labels_ripen(build: Build) -> None:
    """Of the first impression the report came at once, of the second two days later."""
    events = world(
        impressions=[impression(1, at(3)), impression(2, at(3), user_id=2)],
        conversions=[conversion(1, at(3)), conversion(2, at(3), user_id=2, lag=2 * DAY)],
    )
    assert set(held_out(build, events, known_before=None)) == {1}
    assert set(held_out(build, events, known_before=5)) == {1}
    assert set(held_out(build, events, known_before=6)) == {1, 2}


def test_weight_is_the_label_weight_by_the_maturities_of_its_days(build: Build) -> None:
    """On day 4 two of day 1's conversions are known, one after 0 and one after 1 day."""
    events = world(
        impressions=[impression(i, at(d), user_id=i) for i, d in ((1, 1), (2, 1), (3, 3))],
        conversions=[
            conversion(1, at(1), user_id=1),
            conversion(2, at(1), user_id=2, lag=DAY),
            conversion(3, at(3), user_id=3),
        ],
    )
    row = held_out(build, events, known_before=None)[3]
    # At age 0 the advertiser, its segment (at once) and all are alike: h(1) = 1/2. The holdout has
    # no other age that could share the factor.
    assert row["maturity"] == 1 / 2
    assert row["maturity_factor"] == pytest.approx(2)
    assert row["weight"] == row["label_weight"] * row["maturity_factor"]
