"""What is counted of a day, against brute force: an event counts where it arrived first."""

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcg_assets.days import Days
from convcg_assets.tables.settings import FeatureSettings

from . import oracle_daily, stages
from .conftest import Build
from .event_rows import engagement, impression, world
from .tables import assert_same_rows, exactly
from .world import Row, World, at, day, worlds

some_days = st.sampled_from((0, 1, 7, 30)).map(lambda o: Days(day(o), day(o + 2)))


def of_days(rows: list[Row], days: Days) -> list[Row]:
    return [row for row in rows if row["dt"] in days]


@pytest.mark.parametrize("of", ["user", "pin"])
@hypothesis.settings(max_examples=12)
@given(events=worlds(), days=some_days)
def test_counts_equal_brute_force(build: Build, of: str, events: World, days: Days) -> None:
    found = build(stages.counts, events, of=of, days=days)
    expected = of_days(oracle_daily.counts(events, of=of), days)
    assert_same_rows(found, expected, key=("dt", f"{of}_id"))
    one_by_one = [row for d in days for row in build(stages.counts, events, of=of, days=Days(d, d))]
    assert exactly(found) == exactly(one_by_one)


@hypothesis.settings(max_examples=12)
@given(events=worlds(), days=some_days, most=st.sampled_from((1, 2, 30)))
def test_actions_equal_brute_force(build: Build, events: World, days: Days, most: int) -> None:
    settings = FeatureSettings(max_recent_actions=most)
    found = build(stages.actions, events, settings=settings, days=days)
    expected = of_days(oracle_daily.actions(events, most=most), days)
    assert_same_rows(found, expected, key=("dt", "user_id", "rank"))


def test_what_arrives_again_counts_where_it_arrived_first(build: Build) -> None:
    events = world(
        impressions=[impression(1, at(1)), impression(1, at(1), late=2), impression(2, at(1))],
        engagements=[
            engagement(1, at(1), impression_id=1, duration_s=4.0),
            engagement(1, at(1), impression_id=1, duration_s=4.0, late=1),
        ],
    )
    days = Days(day(1), day(4))
    (row,) = build(stages.counts, events, of="pin", days=days)
    counted = {name: row[name] for name in ("dt", "num_impressions", "num_clicks", "duration_s")}
    expected = {"dt": day(1), "num_impressions": 2, "num_clicks": 1, "duration_s": 4.0}
    assert counted == expected
    later = Days(day(2), day(4))
    assert build(stages.counts, events, of="pin", days=later) == []
    assert build(stages.actions, events, settings=FeatureSettings(), days=later) == []
