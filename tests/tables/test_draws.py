"""Touches of one moment: each conversion draws one, whatever the order of the ids."""

from collections import Counter

import pytest

from .conftest import Build
from .event_rows import conversion, impression, world
from .test_attribution import attributed
from .world import at


@pytest.mark.parametrize("model", ["last_touch", "first_touch"])
def test_touches_of_one_moment_are_drawn_by_each_conversion(build: Build, model: str) -> None:
    """The smallest MD5 wins: 796a... of 1:8 comes before 9181... of 1:9 and a985... of 1:7."""
    page = [impression(i, at(0), pin_id=10 + i) for i in (7, 8, 9)]
    sold = [conversion(i, at(0, seconds=i), pin_id=None) for i in range(1, 6)]
    rows = attributed(build, world(impressions=page, conversions=sold), model=model)
    won = {row["conversion_id"]: row["impression_id"] for row in rows}
    assert won == {1: 8, 2: 8, 3: 7, 4: 8, 5: 7}
    assert {row["match_level"] for row in rows} == {"advertiser"}


def test_no_pin_of_a_page_wins_more_than_its_share(build: Build) -> None:
    """300 conversions that name no Pin, 10 Pins shown at once: 30 each, give or take 4 sigma."""
    page = [impression(i, at(0), pin_id=i) for i in range(10)]
    sold = [conversion(i, at(0), pin_id=None) for i in range(300)]
    rows = attributed(build, world(impressions=page, conversions=sold))
    counts = Counter(row["touch_pin_id"] for row in rows)
    sigma = (300 * 0.1 * 0.9) ** 0.5
    assert len(counts) == 10
    assert all(abs(count - 30) <= 4 * sigma for count in counts.values())
