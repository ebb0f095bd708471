"""One advertiser changes to weekly uploads: nothing is lost, and only its reports come later."""

from datetime import date, timedelta

import numpy as np
import pytest

from convcg_simulation import World, WorldConfig
from convcg_simulation.advertisers import REALTIME
from convcg_simulation.arrivals import conversion_log
from convcg_simulation.weekly_uploads import with_weekly_uploads

CONFIG = WorldConfig(
    seed=5,
    first_day=date(2026, 3, 2),
    impressions_per_day=3_000,
    num_users=500,
    num_pins=1_500,
    num_advertisers=12,
    organic_rate=0.01,
)
SINCE = date(2026, 3, 9)
DAYS = range(22)


@pytest.fixture(scope="module")
def world() -> World:
    return World(CONFIG)


def test_reports_of_events_since_a_day_move_to_the_next_weekly_upload(world):
    advertisers = world.advertisers
    (realtime,) = np.flatnonzero(
        (advertisers.reporting == REALTIME) & (advertisers.clock_skew_s == 0)
    )[:1]
    advertiser_id = int(advertisers.advertiser_id[realtime])
    changed = with_weekly_uploads(world, advertiser_id=advertiser_id, since=SINCE, days=DAYS)
    usual = [row for day in DAYS for row in conversion_log(world, day).to_pylist()]

    assert all(row["dt"] == row["received_ts"].date() for row in changed.to_pylist())
    rows = {row["conversion_id"]: row for row in changed.drop(["dt"]).to_pylist()}
    moved = []
    for row in usual:
        if row["advertiser_id"] != advertiser_id or row["event_ts"].date() < SINCE:
            assert rows[row["conversion_id"]] == row
        elif row["conversion_id"] in rows:
            moved.append(rows[row["conversion_id"]])
    assert len(moved) > 5
    assert {row["received_ts"].weekday() for row in moved} == {
        int(advertisers.upload_weekday[realtime])
    }
    for row in moved:
        assert timedelta(0) < row["received_ts"] - row["event_ts"] <= timedelta(days=7)


def test_days_asked_for_alone_are_those_of_the_whole_range(world):
    change = {"advertiser_id": int(world.advertisers.advertiser_id[2]), "since": SINCE}
    whole = with_weekly_uploads(world, **change, days=range(18)).to_pylist()
    alone = [
        with_weekly_uploads(world, **change, days=range(day, day + 1)).to_pylist()
        for day in range(18)
    ]
    assert [row for rows in alone for row in rows] == whole


def test_an_unknown_advertiser_is_refused(world):
    with pytest.raises(ValueError, match="advertiser 1 is unknown"):
        with_weekly_uploads(world, advertiser_id=1, since=SINCE, days=DAYS)
