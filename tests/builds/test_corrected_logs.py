"""A corrected log of impressions or engagements touches the label days of its rows, no others."""

from dataclasses import dataclass
from random import Random

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.deployment import Deployment
from convcg_assets.tables.raw import RAW

from .deployment import build_once, contents, converge, make_deployment, tables_of_day
from .logs import Landing, Row, at, day, make_source

NUM_DAYS = 7
OF_IMPRESSIONS = ("weighted_labels", "hard_negatives")


@dataclass(frozen=True)
class Deployed:
    """Days on which user 0 is shown Pin 0 and Pin 1, and clicks Pin 0 at once."""

    landing: Landing
    deployment: Deployment


def shown(offset: int, *, pin: int) -> Row:
    row = {"impression_id": 10 * offset + pin, "user_id": 0, "pin_id": pin, "advertiser_id": 0}
    return row | {"impression_ts": at(offset, seconds=100), "surface": "homefeed"}


def clicked(offset: int, *, pin: int, number: int, named: bool = True) -> Row:
    row = {"engagement_id": number, "user_id": 0, "pin_id": pin, "engagement_type": "click"}
    row |= {"engagement_ts": at(offset, seconds=200), "duration_s": 30.0}
    return row | {"impression_id": 10 * offset + pin if named else None}


def impressions_of(offset: int) -> list[Row]:
    return [shown(offset, pin=0), shown(offset, pin=1)]


@pytest.fixture
def deployed(tmp_path_factory: pytest.TempPathFactory, con: Backend) -> Deployed:
    folder = tmp_path_factory.mktemp("corrected")
    landing = Landing(folder / "landing", Random(7))
    for offset in range(NUM_DAYS):
        landing.land(offset)
        landing.write(day(offset), "impressions", impressions_of(offset))
        landing.write(day(offset), "engagements", [clicked(offset, pin=0, number=offset)])
        landing.write(day(offset), "conversions", [])
    deployment = make_deployment(folder / "home", make_source(landing.root))
    build_once(deployment, landing.days, con=con)
    return Deployed(landing, deployment)


def repaired(deployed: Deployed, con: Backend) -> dict[str, list[int]]:
    """By table the days that a repair builds, as offsets; and what it gives is what is right."""
    built = converge(deployed.deployment, con=con)
    found = contents(deployed.deployment, con=con, tables=OF_IMPRESSIONS)
    home = deployed.deployment.home.with_name("anew")
    anew = make_deployment(home, deployed.deployment.source)
    build_once(anew, deployed.landing.days, con=con)
    assert found == contents(anew, con=con, tables=OF_IMPRESSIONS)
    return {table: [(d - day(0)).days for d in days] for table, days in built.items()}


def test_an_engagement_that_is_reported_later(deployed: Deployed, con: Backend) -> None:
    late = [clicked(3, pin=0, number=3), clicked(2, pin=1, number=99)]
    deployed.landing.write(day(3), "engagements", late)
    built = repaired(deployed, con)
    assert {table: built[table] for table in (RAW, *OF_IMPRESSIONS)} == {
        RAW: [3],
        "weighted_labels": [2],
        "hard_negatives": [2],
    }


def test_an_engagement_that_is_taken_out_of_its_log(deployed: Deployed, con: Backend) -> None:
    deployed.landing.write(day(3), "engagements", [])
    built = repaired(deployed, con)
    assert [built[table] for table in OF_IMPRESSIONS] == [[3], [3]]


def test_a_log_of_the_same_engagements_touches_no_label(deployed: Deployed, con: Backend) -> None:
    """Also where it names the impression that would have been found."""
    unnamed = [clicked(3, pin=0, number=3, named=False)]
    deployed.landing.write(day(3), "engagements", unnamed)
    built = repaired(deployed, con)
    assert 3 in built["linked_engagements"]
    assert not set(built) & set(OF_IMPRESSIONS)


def test_an_impression_that_is_taken_out_of_its_log(deployed: Deployed, con: Backend) -> None:
    deployed.landing.write(day(3), "impressions", [shown(3, pin=1)])
    built = repaired(deployed, con)
    assert [built[table] for table in OF_IMPRESSIONS] == [[3], [3]]
    rows = contents(deployed.deployment, con=con, tables=OF_IMPRESSIONS)
    assert not tables_of_day(day(3), rows["weighted_labels"])


def test_an_impression_that_arrives_late_is_of_its_own_day(
    deployed: Deployed, con: Backend
) -> None:
    late = shown(2, pin=2)
    deployed.landing.write(day(3), "impressions", [*impressions_of(3), late])
    built = repaired(deployed, con)
    assert [built[table] for table in OF_IMPRESSIONS] == [[2], [2]]


def test_what_a_clock_logs_a_day_ahead_is_of_the_day_it_arrived_on(
    deployed: Deployed, con: Backend
) -> None:
    """It was known then; the day that it names has to know that it is not its own."""
    ahead = shown(4, pin=2)
    deployed.landing.write(day(3), "impressions", [*impressions_of(3), ahead])
    deployed.landing.write(day(4), "impressions", [*impressions_of(4), ahead])
    built = repaired(deployed, con)
    assert [built[table] for table in OF_IMPRESSIONS] == [[3, 4], [3, 4]]
    negatives = contents(deployed.deployment, con=con, tables=["hard_negatives"])
    held = [row for row in negatives["hard_negatives"] if f"{ahead['impression_id']}," in row]
    assert len(held) <= 1
