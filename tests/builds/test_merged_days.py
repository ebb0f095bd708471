"""Two ids turn out to be one person: what is built again, and what was known before stays."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.builds.forget import other_ids
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import Lake
from convcg_assets.sources.columns import MERGES
from convcg_assets.tables.raw import RAW

from .deployment import build_once, converge, look, make_deployment
from .logs import Landing, Row, at, day, make_source

NUM_DAYS = 5
LOGS = [day(offset) for offset in range(NUM_DAYS)]
BROWSER, ACCOUNT = 0, 1
SHOWN = {"impression_id": 1000, "user_id": BROWSER, "pin_id": 0, "advertiser_id": 0}
BOUGHT = {"event_name": "checkout", "user_id": ACCOUNT, "advertiser_id": 0, "pin_id": 0}


def merge(one: int, other: int, *, offset: int) -> Row:
    row = {"merge_id": f"{one}-{other}", "from_user_id": one, "to_user_id": other}
    return row | {"merged_ts": at(offset), "received_ts": at(offset)}


def report(number: int, *, offset: int) -> Row:
    row = {"conversion_id": number, "event_ts": at(offset, seconds=60), "event_id": f"e{number}"}
    return BOUGHT | row | {"received_ts": at(offset, seconds=60), "value": 10.0}


@pytest.fixture
def landed(tmp_path: Path, con: Backend) -> tuple[Landing, Deployment]:
    """A Pin is shown in the browser each day; the account buys it on days 2 and 3."""
    landing = Landing(tmp_path / "landing", Random(3), merges=True)
    for offset in range(NUM_DAYS):
        landing.land(offset)
        shown = SHOWN | {"impression_id": 1000 + offset, "impression_ts": at(offset)}
        landing.write(day(offset), "impressions", [shown | {"surface": "homefeed"}])
        for stream in ("engagements", "conversions", MERGES):
            landing.write(day(offset), stream, [])
    for offset in (2, 3):
        landing.write(day(offset), "conversions", [report(offset, offset=offset)])
    deployment = make_deployment(tmp_path / "home", make_source(landing.root, merges=True))
    build_once(deployment, landing.days, con=con, models=[day(NUM_DAYS)])
    return landing, deployment


def statuses(deployment: Deployment, con: Backend) -> list[str]:
    every = Days(day(0), day(NUM_DAYS))
    view = deployment.lake.read("attributed_conversions", every, con=con).get_name()
    return [s for (s,) in con.con.execute(f"SELECT status FROM {view} ORDER BY dt").fetchall()]


def test_a_late_merge_counts_from_its_day_on(
    landed: tuple[Landing, Deployment], con: Backend
) -> None:
    landing, deployment = landed
    assert statuses(deployment, con) == ["no_touch", "no_touch"]
    landing.write(day(3), MERGES, [merge(BROWSER, ACCOUNT, offset=3)])
    built = converge(deployment, con=con)
    assert statuses(deployment, con) == ["no_touch", "attributed"]
    assert built[RAW] == [day(3)]
    after = [day(4), day(5)]
    assert built["user_persons"] == built["user_features"] == after
    assert built["attributed_conversions"] == [day(3), day(4)]
    assert built["weighted_labels"] == [day(3)]
    assert "hard_negatives" not in built
    # The account has the history of the browser.
    view = deployment.lake.read("user_features", Days(day(5), day(5)), con=con).get_name()
    asked = f"SELECT num_impressions_30d FROM {view} WHERE user_id IN (0, 1) ORDER BY user_id"
    assert con.con.execute(asked).fetchall() == [(5,), (5,)]
    # Taken back it is as if it had never been.
    landing.write(day(3), MERGES, [])
    converge(deployment, con=con)
    assert statuses(deployment, con) == ["no_touch", "no_touch"]


def test_a_merge_of_strangers_changes_nothing_further(
    landed: tuple[Landing, Deployment], con: Backend
) -> None:
    landing, deployment = landed
    landing.write(day(3), MERGES, [merge(77, 78, offset=3)])
    built = converge(deployment, con=con)
    assert "weighted_labels" not in built
    assert "pin_features" not in built


def test_forgetting_names_the_other_ids(landed: tuple[Landing, Deployment], con: Backend) -> None:
    landing, deployment = landed
    merges = [merge(BROWSER, ACCOUNT, offset=3), merge(7, ACCOUNT, offset=3)]
    landing.write(day(3), MERGES, merges)
    converge(deployment, con=con)
    assert other_ids(deployment, [str(BROWSER)], con=con) == [str(ACCOUNT), "7"]
    assert other_ids(deployment, ["7", str(BROWSER)], con=con) == [str(ACCOUNT)]
    assert other_ids(deployment, ["2"], con=con) == []


def test_a_long_range_is_built_a_few_days_at_a_time(
    landed: tuple[Landing, Deployment], con: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All merges of all days before count on each: of a range they would be held once a day."""
    landing, deployment = landed
    for offset in (0, 2):
        landing.write(day(offset), MERGES, [merge(offset, offset + 1, offset=offset)])
        build_table(deployment, RAW, Days(day(offset), day(offset)), con=con)
    ranges: list[Days] = []
    replace = Lake.replace

    def replace_or_die(lake: Lake, table: str, days: Days, *args: Any, **given: Any) -> Any:
        ranges.append(days)
        if len(ranges) == 3:
            raise KeyboardInterrupt
        return replace(lake, table, days, *args, **given)

    every = Days(day(1), day(NUM_DAYS))
    with monkeypatch.context() as patched:
        patched.setattr(Lake, "replace", replace_or_die)
        with pytest.raises(KeyboardInterrupt):
            build_table(deployment, "user_persons", every, con=con)
    assert ranges == [Days(day(1), day(2)), Days(day(3), day(4)), Days(day(5), day(5))]
    # What was written is recorded: the day that was not is stale, and no other.
    assert set(look(deployment).staleness.stale["user_persons"]) == {day(5)}
    assert converge(deployment, con=con)["user_persons"] == [day(5)]
    view = deployment.lake.read("user_persons", every, con=con).get_name()
    counted = f"SELECT dt, count(*) FROM {view} GROUP BY dt ORDER BY dt"
    ids = {day(1): 2, day(2): 2, day(3): 4, day(4): 4, day(5): 4}
    assert dict(con.con.execute(counted).fetchall()) == ids
