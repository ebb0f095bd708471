"""People with several ids against brute force: who is one person, from when on, what is theirs."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcg_assets.days import Days
from convcg_assets.tables.settings import (
    AttributionSettings,
    CheckSettings,
    ExampleSettings,
    FeatureSettings,
)
from convcg_assets.tables.user_persons import outsized_persons

from . import oracle_attribution, oracle_examples, oracle_features, oracle_persons, stages
from .conftest import Build
from .event_rows import conversion, impression, world
from .tables import TEXT_IDS, assert_same_rows, exactly, to_table
from .test_attribution import KEY as CREDIT_KEY
from .test_examples import ALWAYS, DELAY, derive
from .test_examples import KEY as EXAMPLE_KEY
from .world import DAY, Row, World, at, day, random_world

ATTRIBUTION = AttributionSettings(model="linear", view_window_days=7)


def merge(one: object, other: object, *, offset: int = 0, merge_id: str = "m") -> Row:
    """A merge that arrived on a day."""
    return {
        "dt": day(offset),
        "merge_id": f"{merge_id}{one}-{other}-{offset}",
        "from_user_id": one,
        "to_user_id": other,
        "merged_ts": at(offset),
        "received_ts": at(offset),
    }


def some_merges(num_users: int, *, most: int) -> st.SearchStrategy[list[Row]]:
    """Merges of some users on few days, again, to and fro and with themselves."""
    user = st.integers(0, num_users - 1)
    one = st.builds(merge, user, user, offset=st.sampled_from((-9, 0, 1, 2, 7, 8, 30)))
    return st.lists(one, max_size=most, unique_by=lambda row: row["merge_id"])


@given(merges=some_merges(12, most=14))
def test_persons_are_all_that_merges_join(build: Build, merges: list[Row]) -> None:
    days = Days(day(-10), day(9))
    rows = build(stages.persons, merges, days=days)
    assert exactly(rows) == exactly(oracle_persons.persons(merges, days))


@given(merges=some_merges(6, most=8))
def test_a_range_of_persons_equals_its_days(build: Build, merges: list[Row]) -> None:
    days = Days(day(0), day(3))
    one_by_one = [row for d in days for row in build(stages.persons, merges, days=Days(d, d))]
    assert exactly(build(stages.persons, merges, days=days)) == exactly(one_by_one)


def test_a_chain_of_any_length_is_one_person(build: Build) -> None:
    """Numbered so that the least id is in the middle of nowhere."""
    order = sorted(range(300), key=lambda n: (n * 7919) % 300)
    merges = [merge(a, b) for a, b in pairwise(order)]
    rows = build(stages.persons, merges, days=Days(day(1), day(1)))
    assert len(rows) == 300
    assert {row["person_id"] for row in rows} == {0}


def test_a_merge_is_known_on_the_day_after_it_arrived(build: Build) -> None:
    rows = build(stages.persons, [merge(1, 2)], days=Days(day(0), day(1)))
    assert [(row["dt"], row["user_id"]) for row in rows] == [(day(1), 1), (day(1), 2)]


def test_ids_that_are_text(con) -> None:
    case = stages.persons([merge("b", "a"), merge("c", "b")], days=Days(day(1), day(1)))
    rows = stages.run(case, con=con, id_types=TEXT_IDS)
    assert {(row["user_id"], row["person_id"]) for row in rows} == {(i, "a") for i in "abc"}


def drawn(seed: int) -> tuple[World, list[Row]]:
    """A world full of events, and merges of most of its few people, some of them later on."""
    rng = Random(seed)
    merges = [
        merge(rng.randrange(4), rng.randrange(3), offset=rng.choice((-9, -9, 0, 1, 2, 7, 8)))
        for _ in range(rng.randint(1, 3))
    ]
    return random_world(rng, size=20), merges


@pytest.mark.parametrize("seed", range(8))
def test_credit_equals_brute_force(build: Build, seed: int) -> None:
    events, merges = drawn(seed)
    people = oracle_persons.persons(merges, ALWAYS.widen(after=1))
    stage = stages.with_persons(stages.attributed, people)
    rows = build(stage, events, settings=ATTRIBUTION, days=ALWAYS)
    expected = oracle_attribution.attributed(
        events, settings=ATTRIBUTION, days=ALWAYS, ids_of=oracle_persons.ids_of(merges)
    )
    assert_same_rows(rows, expected, key=CREDIT_KEY)


@pytest.mark.parametrize(("arrived", "status"), [(0, "attributed"), (1, "no_touch")])
def test_credit_crosses_ids_from_the_day_of_the_merge(
    build: Build, arrived: int, status: str
) -> None:
    shown, bought = impression(5, at(0)), conversion(6, at(0, seconds=60), user_id=2)
    events = world(impressions=[shown], conversions=[bought])
    days = Days(day(0), day(0))
    people = oracle_persons.persons([merge(1, 2, offset=arrived)], days.widen(after=1))
    stage = stages.with_persons(stages.attributed, people)
    (row,) = build(stage, events, settings=ATTRIBUTION, days=days)
    assert (row["status"], row["user_id"]) == (status, 2)


@pytest.mark.parametrize("seed", range(10))
def test_features_equal_brute_force(build: Build, seed: int) -> None:
    events, merges = drawn(seed)
    first = (0, 1, 2, 7, 8)[seed % 5]
    days, settings = Days(day(first), day(first + 2)), FeatureSettings(max_recent_actions=3)
    credited = oracle_attribution.attributed(events, settings=ATTRIBUTION, days=ALWAYS)
    stage = stages.with_persons(stages.user_features, oracle_persons.persons(merges, days))
    rows = build(stage, events, credited, settings=settings, days=days)
    expected = oracle_features.user_features(
        events, credited, settings=settings, days=days, ids_of=oracle_persons.ids_of(merges)
    )
    assert_same_rows(rows, expected, key=("dt", "user_id"))


@pytest.mark.parametrize("seed", range(10))
def test_examples_equal_brute_force(build: Build, seed: int) -> None:
    events, merges = drawn(seed)
    first = (3, 4, 8, 9, 16)[seed % 5]
    days = Days(day(first), day(first + 2))
    settings = ExampleSettings(training_days=8, holdout_days=2)
    derived = derive(events, days)
    people = oracle_persons.persons(merges, days.widen(before=11))
    stage = stages.with_persons(stages.example_features, people)
    known = build(stage, events, derived, days=Days(days.first - 10 * DAY, days.last - DAY))
    derived["example_features"] = known
    stage = stages.with_persons(stages.examples, people)
    rows = build(stage, derived, settings=settings, delay=DELAY, days=days)
    expected = oracle_examples.examples(
        events,
        derived,
        settings=settings,
        delay=DELAY,
        days=days,
        ids_of=oracle_persons.ids_of(merges),
    )
    assert_same_rows(rows, expected, key=EXAMPLE_KEY)


def test_too_many_ids_of_one_person_are_told(con) -> None:
    people = oracle_persons.persons([merge(1, 2), merge(2, 3), merge(7, 8)], Days(day(1), day(1)))
    rows = to_table(people, table="user_persons")
    found = outsized_persons(rows, settings=CheckSettings(max_ids_per_person=2))
    assert con.to_pyarrow(found).to_pylist() == [
        {"dt": day(1), "person_id": 1, "num_ids": 3, "last_id": 3}
    ]
