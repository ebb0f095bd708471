"""What is rebuilt when a conversion is taken back or restated: its label day, and no other."""

import datetime as dt
from pathlib import Path
from random import Random
from typing import Any

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.rows import Rows
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.sources.columns import ADJUSTMENTS

from .deployment import build_once, contents, converge, make_deployment, tables_of_day
from .logs import Landing, Row, at, day, make_source
from .test_exactness import expect_exactly, report_of

NUM_DAYS = 6
MODELS = (5, 6)
LABELS, EXAMPLES, ADJUSTED = "weighted_labels", "training_examples", "adjusted_conversions"


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory, con: Backend) -> tuple[Landing, Deployment]:
    """Six days: user 0 is shown Pin 0 on each, and buys it on days 1 and 3, known on day 4."""
    folder: Path = tmp_path_factory.mktemp("adjusted")
    landing = Landing(folder / "landing", Random(7), adjusts=True)
    for offset in range(NUM_DAYS):
        landing.land(offset)
        shown = {"impression_id": 1000 + offset, "user_id": 0, "pin_id": 0, "advertiser_id": 0}
        shown |= {"impression_ts": at(offset, seconds=100), "surface": "homefeed"}
        landing.write(day(offset), "impressions", [shown])
        for stream in ("engagements", "conversions", ADJUSTMENTS):
            landing.write(day(offset), stream, [])
    bought = [report_of(offset, arrived=4, number=offset) for offset in (1, 3)]
    landing.write(day(4), "conversions", bought)
    deployment = make_deployment(folder / "home", make_source(landing.root, adjusts=True))
    models = [day(offset) for offset in MODELS]
    build_once(deployment, landing.days, con=con, models=models)
    return landing, deployment


@pytest.fixture
def landing(landed: tuple[Landing, Deployment]) -> Landing:
    """No adjustments: those of the test before are gone."""
    for offset in range(NUM_DAYS):
        landed[0].write(day(offset), ADJUSTMENTS, [])
    return landed[0]


@pytest.fixture
def deployment(landed: tuple[Landing, Deployment], landing: Landing, con: Backend) -> Deployment:
    converge(landed[1], con=con)
    return landed[1]


def said(number: int, *, arrived: int, of: int, **given: Any) -> Row:
    row = {"adjustment_id": str(number), "adjustment_type": "retraction", "advertiser_id": 0}
    row |= {"event_name": None, "event_id": f"e{of}", "value": None}
    row |= {"adjustment_ts": at(arrived), "received_ts": at(arrived)}
    return row | given


def spans(deployment: Deployment, con: Backend) -> list[tuple]:
    """Of the label rows: day, value factor, since when and until when it holds."""
    columns = "dt, value_factor, since_dt, until_dt"
    every = Days(day(0), day(NUM_DAYS))
    view = deployment.lake.read(LABELS, every, con=con).get_name()
    order = "ORDER BY dt, since_dt NULLS FIRST"
    rows = con.con.execute(f"SELECT {columns} FROM {view} {order}").fetchall()
    return [(row[0], round(row[1], 2), *row[2:]) for row in rows]


def test_a_retraction_touches_its_own_label_day(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    landing.write(day(5), ADJUSTMENTS, [said(1, arrived=5, of=3)])
    expect_exactly(deployment, con, {day(3)})
    assert spans(deployment, con) == [(day(1), 1.0, None, None), (day(3), 1.0, None, day(5))]
    # Corrected: it was the other one.
    landing.write(day(5), ADJUSTMENTS, [said(1, arrived=5, of=1)])
    expect_exactly(deployment, con, {day(1), day(3)})
    landing.write(day(5), ADJUSTMENTS, [])
    expect_exactly(deployment, con, {day(1)})


def test_a_restatement_and_one_that_says_nothing_new(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    restated = said(1, arrived=4, of=1, adjustment_type="restatement", value=400.0)
    landing.write(day(4), ADJUSTMENTS, [restated])
    expect_exactly(deployment, con, {day(1)})
    # It arrived on the day of its conversion: no other value ever held.
    assert spans(deployment, con)[0] == (day(1), 1.52, day(4), None)
    again = {**restated, "adjustment_id": "2", "adjustment_ts": at(5), "received_ts": at(5)}
    landing.write(day(5), ADJUSTMENTS, [again])
    expect_exactly(deployment, con, set())
    landing.write(day(5), ADJUSTMENTS, [{**again, "value": 50.0}])
    expect_exactly(deployment, con, {day(1)})
    found = spans(deployment, con)[:2]
    assert found == [(day(1), 1.52, day(4), day(5)), (day(1), 1.0, day(5), None)]


def test_what_is_of_no_conversion_is_kept_and_touches_no_label(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    landing.write(day(5), ADJUSTMENTS, [said(1, arrived=5, of=99)])
    expect_exactly(deployment, con, set())
    (row,) = contents(deployment, con=con, tables=[ADJUSTED])[ADJUSTED]
    assert "'e99', 'unmatched', None" in row


def test_before_its_conversion_it_leaves_no_label(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    landing.write(day(3), ADJUSTMENTS, [said(1, arrived=3, of=1)])
    expect_exactly(deployment, con, {day(1)})
    assert spans(deployment, con) == [(day(3), 1.0, None, None)]
    told = contents(deployment, con=con, tables=[ADJUSTED])[ADJUSTED]
    assert ["unmatched" in row for row in told] == [True, False]
    assert ["applied" in row for row in told] == [False, True]


def test_only_models_of_later_days_learn_of_it(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    def trained() -> list[str]:
        """The days of the conversions that T = 6 is trained on."""
        rows = contents(deployment, con=con, tables=[EXAMPLES])[EXAMPLES]
        known = [row for row in tables_of_day(day(6), rows) if "'conversion'" in row]
        return [row.split(", 'train', ")[1][:30] for row in known]

    def converged() -> tuple[dict, list[dt.date]]:
        """The days that were built, and those whose examples are made of something else since."""
        before = Rows(deployment).keys(EXAMPLES, every)
        built = converge(deployment, con=con)
        after = Rows(deployment).keys(EXAMPLES, every)
        return built, [d for d in every if before[d] != after[d]]

    both, every = trained(), Days(day(0), day(NUM_DAYS))
    assert len(both) == 1
    landing.write(day(5), ADJUSTMENTS, [said(1, arrived=5, of=3)])
    built, changed = converged()
    # Training for T = 6 knows what arrived before day 5; its holdout is weighed by the curve of 6.
    assert changed == [day(6)]
    assert trained() == both
    assert built["user_features"] == built["conversion_delay"] == [day(6)]
    landing.write(day(5), ADJUSTMENTS, [])
    landing.write(day(4), ADJUSTMENTS, [said(1, arrived=4, of=3)])
    assert converged()[1] == [day(5), day(6)]
    assert trained() == []
