"""Which impression an engagement belongs to, against brute force."""

import datetime as dt

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from convcg_assets.days import Days

from . import oracle_labels, stages
from .conftest import Build
from .event_rows import engagement, impression, world
from .tables import assert_same_rows, exactly
from .world import LATE_DAYS, World, at, day, worlds

HOUR = 3600
KEY = ("dt", "engagement_id")
some_days = st.sampled_from((0, 1, 2, 8)).map(lambda o: Days(day(o), day(o + 2)))


@hypothesis.settings(max_examples=25)
@given(events=worlds(), days=some_days)
def test_equals_brute_force(build: Build, events: World, days: Days) -> None:
    found = build(stages.linked, events, days=days)
    expected = [row for row in oracle_labels.linked(events) if row["dt"] in days]
    assert_same_rows(found, expected, key=KEY)


@given(events=worlds(), days=some_days)
def test_a_range_equals_its_days_one_by_one(build: Build, events: World, days: Days) -> None:
    one_by_one = [row for d in days for row in build(stages.linked, events, days=Days(d, d))]
    assert exactly(build(stages.linked, events, days=days)) == exactly(one_by_one)


def test_what_arrives_again_counts_where_it_arrived_first(build: Build) -> None:
    """Also where the impression that it was linked to by then is another than it would be now."""
    events = world(
        impressions=[
            impression(1, at(1, seconds=9 * HOUR)),
            impression(2, at(1, seconds=11 * HOUR), late=2),  # Shown nearer, but known later.
        ],
        engagements=[
            engagement(1, at(1, seconds=12 * HOUR)),
            engagement(1, at(1, seconds=12 * HOUR), late=2),
        ],
    )
    (row,) = build(stages.linked, events, days=Days(day(0), day(9)))
    assert (row["dt"], row["impression_id"]) == (day(1), 1)
    assert build(stages.linked, events, days=Days(day(3), day(3))) == []


def test_links_reach_as_far_as_labels_do(build: Build) -> None:
    """Two days more than events may be late: clocks, and an engagement after midnight."""
    most = LATE_DAYS + 2
    shown = at(1, seconds=12 * HOUR)
    events = world(
        impressions=[impression(1, shown)],
        engagements=[
            engagement(n, shown + dt.timedelta(days=n), impression_id=1) for n in range(most + 2)
        ],
    )
    found = build(stages.linked, events, days=Days(day(0), day(20)))
    assert sorted(row["engagement_id"] for row in found) == list(range(most + 1))
