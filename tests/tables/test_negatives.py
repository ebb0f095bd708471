"""Hard negatives against brute force: who qualifies, who is sampled, who is over the cap."""

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from convcg_assets.days import Days
from convcg_assets.tables.settings import NegativeSettings

from . import oracle_labels, stages
from .conftest import Build
from .event_rows import engagement, impression, world
from .tables import arrived_before, assert_same_rows, exactly
from .world import Row, World, at, day, worlds

ALWAYS = Days(day(-70), day(140))

some_settings = st.builds(
    NegativeSettings,
    sample_rate=st.sampled_from((0.0, 0.5, 1.0)),
    max_per_user_day=st.sampled_from((1, 2, 100)),
)


def negatives(build: Build, events: World, days: Days = ALWAYS, **settings: float) -> list[Row]:
    options = NegativeSettings.model_validate({"sample_rate": 1} | settings)
    return build(stages.negatives, events, settings=options, days=days)


@hypothesis.settings(max_examples=20)
@given(events=worlds(), settings=some_settings)
def test_equals_brute_force(build: Build, events: World, settings: NegativeSettings) -> None:
    rows = build(stages.negatives, events, settings=settings, days=ALWAYS)
    expected = oracle_labels.negatives(events, settings=settings, days=ALWAYS)
    assert_same_rows(rows, expected, key=("dt", "impression_id"))


@given(events=worlds())
def test_a_range_equals_its_days_one_by_one(build: Build, events: World) -> None:
    days = Days(day(0), day(2))
    one_by_one = [row for d in days for row in negatives(build, events, Days(d, d))]
    assert exactly(negatives(build, events, days)) == exactly(one_by_one)


@given(events=worlds(), today=st.sampled_from((1, 2, 3, 8)))
def test_what_was_known_does_not_change(build: Build, events: World, today: int) -> None:
    """Only `engaged_dt` is filled in later, by an engagement that arrives then."""
    past = World(
        *(
            arrived_before(rows, day(today))
            for rows in (events.impressions, events.engagements, [], [], [])
        )
    )
    rows = [
        row
        | {
            "engaged_dt": row["engaged_dt"]
            and (row["engaged_dt"] < day(today) or None)
            and row["engaged_dt"]
        }
        for row in negatives(build, events, max_per_user_day=1)
        if row["impression_dt"] < day(today)
    ]
    assert exactly(rows) == exactly(negatives(build, past, max_per_user_day=1))


def test_sampled_by_the_md5_of_the_id(build: Build) -> None:
    shown = [impression(i, at(0), user_id=i) for i in range(200)]
    rows = negatives(build, world(impressions=shown), sample_rate=0.3)
    expected = {i for i in range(200) if oracle_labels.share_of_hash(i) < 0.3}
    assert {row["impression_id"] for row in rows} == expected
    # md5("0") begins cfcd2084, md5("3") eccbc87e, md5("4") a87ff679, md5("17") 70efdf2e.
    assert oracle_labels.share_of_hash(0) == 0xCFCD2084 / 16**8


def test_an_engagement_of_its_arrival_day_counts_and_a_later_one_is_noted(build: Build) -> None:
    events = world(
        impressions=[
            impression(1, at(0)),
            impression(2, at(0), pin_id=8),
            impression(3, at(0), pin_id=9, late=1),
        ],
        engagements=[
            engagement(1, at(0, seconds=86_399), impression_id=1),
            engagement(2, at(1), impression_id=2, pin_id=8),
            engagement(3, at(0), impression_id=3, pin_id=9),
        ],
    )
    rows = negatives(build, events)
    assert {row["impression_id"]: row["engaged_dt"] for row in rows} == {2: day(1)}


def test_cap_per_user_impression_day_and_arrival_day(build: Build) -> None:
    shown = [
        impression(10 * user + i, at(0), user_id=user, late=late)
        for user in (1, 2)
        for i, late in enumerate((0, 0, 0, 1, 1))
    ]
    rows = negatives(build, world(impressions=shown), max_per_user_day=2)
    kept = {
        impression_id
        for user in (1, 2)
        for group in (range(3), range(3, 5))
        for impression_id in sorted(
            (10 * user + i for i in group), key=oracle_labels.share_of_hash
        )[:2]
    }
    assert {row["impression_id"] for row in rows} == kept
