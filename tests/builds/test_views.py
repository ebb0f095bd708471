"""Training examples are a view: never stored, as their inputs are, and as a model saw them."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table, open_build
from convcg_assets.builds.cleanup import clean, purge
from convcg_assets.builds.rows import Rows, ranges
from convcg_assets.builds.trained import EXAMPLES, made_alike, trained_examples
from convcg_assets.builds.views import load_whole_state, view_detail
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment

from .deployment import build_once, contents, converge, look, make_deployment, sorted_rows
from .logs import Landing, at, day, make_source

NUM_DAYS = 4
MODEL = day(NUM_DAYS)
ONE = Days(MODEL, MODEL)


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    landing = Landing(tmp_path / "landing", Random(11))
    for offset in range(NUM_DAYS):
        landing.land(offset)
    return landing


@pytest.fixture
def deployment(landing: Landing, tmp_path: Path, con: Backend) -> Deployment:
    deployment = make_deployment(tmp_path / "home", make_source(landing.root))
    build_once(deployment, landing.days, con=con, models=[MODEL])
    return deployment


def like_another(landing: Landing, offset: int = 2) -> None:
    """A late file of a day: an impression that was clicked on."""
    shown = {"impression_id": 5000, "user_id": 0, "pin_id": 0, "advertiser_id": 0}
    shown |= {"impression_ts": at(offset, seconds=100), "surface": "homefeed"}
    clicked = {"engagement_id": 5000, "impression_id": 5000, "user_id": 0, "pin_id": 0}
    clicked |= {"engagement_ts": at(offset, seconds=160), "engagement_type": "click"}
    landing.write(day(offset), "impressions", [shown], name="late")
    landing.write(day(offset), "engagements", [clicked], name="late")


def examples(deployment: Deployment, con: Backend) -> list[str]:
    rows = contents(deployment, con=con, tables=[EXAMPLES])[EXAMPLES]
    assert rows
    return rows


def test_nothing_is_stored(deployment: Deployment, con: Backend) -> None:
    assert examples(deployment, con)
    assert not deployment.lake.exists(EXAMPLES)
    counts = Rows(deployment).num_rows(EXAMPLES, Days(day(0), MODEL), con=con)
    assert counts[MODEL] == len(examples(deployment, con))
    assert not any(counts[d] for d in Days(day(0), day(NUM_DAYS - 1)))
    assert converge(deployment, con=con) == {}


def test_they_are_as_their_inputs_are_and_stale_until_looked_at(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    before, key = examples(deployment, con), Rows(deployment).keys(EXAMPLES, ONE)
    like_another(landing)
    build_table(deployment, "raw_events", Days(day(2), day(2)), con=con)
    # Nothing that they are made of was built again yet.
    assert Rows(deployment).keys(EXAMPLES, ONE) == key
    built = converge(deployment, con=con)
    after = examples(deployment, con)
    assert after != before
    assert built[EXAMPLES] == [MODEL]
    assert Rows(deployment).keys(EXAMPLES, ONE) != key


def test_why_they_are_stale_is_told(landing: Landing, deployment: Deployment, con: Backend) -> None:
    like_another(landing)
    for table in ("raw_events", "linked_engagements", "weighted_labels"):
        build_table(deployment, table, Days(day(2), day(2)), con=con)
    found = look(deployment)
    assert MODEL in found.staleness.stale[EXAMPLES]
    assert found.why(EXAMPLES, MODEL) == f"weighted_labels of {day(2)} is new"


def test_a_build_reads_what_it_began_with(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    before = examples(deployment, con)
    with open_build(deployment, "evaluation_report", ONE, con=con) as build:
        detail = build.details[MODEL][EXAMPLES]
        like_another(landing)
        converge(deployment, con=con)
        rows = sorted_rows(EXAMPLES, build.read(EXAMPLES).get_name(), con=con)
    assert rows == before
    assert detail != {MODEL.isoformat(): Rows(deployment).keys(EXAMPLES, ONE)[MODEL]}
    assert examples(deployment, con) != before


def model_of(deployment: Deployment, versions: dict[str, int | None], **examples: Any) -> None:
    folder = deployment.models / f"dt={MODEL}"
    folder.mkdir(parents=True)
    said = {"provenance": {"table_versions": versions, "examples": examples}}
    (folder / "model.json").write_text(json.dumps(said))


def test_what_a_model_was_trained_on_can_be_read_again(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    before = examples(deployment, con)
    versions = {table: deployment.lake.version(table) for table in deployment.tables}
    like_another(landing)
    converge(deployment, con=con)
    model_of(deployment, versions)
    assert examples(deployment, con) != before
    clean(deployment)
    rows = trained_examples(deployment, MODEL, con=con)
    assert rows is not None
    assert sorted_rows(EXAMPLES, rows.get_name(), con=con) == before


def test_what_holds_still_is_read_as_it_is_now(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    """Old files may be gone; days that hold what they held then have others."""
    before, recipe = examples(deployment, con), deployment.recipes[EXAMPLES]
    versions = {table: deployment.lake.version(table) for table in deployment.tables}
    state = load_whole_state(deployment, [EXAMPLES])
    model_of(deployment, versions, **view_detail(recipe, MODEL, state))
    build_table(deployment, "weighted_labels", Days(day(0), day(3)), con=con)
    purge(deployment)
    rows = trained_examples(deployment, MODEL, con=con)
    assert rows is not None
    assert sorted_rows(EXAMPLES, rows.get_name(), con=con) == before
    assert made_alike(deployment, MODEL)


def test_merges_of_the_holdout_leave_them_as_they_are(tmp_path: Path, con: Backend) -> None:
    """Training knows the persons of the cutoff alone."""
    landing = Landing(tmp_path / "landing", Random(2), merges=True)
    for offset in range(NUM_DAYS):
        landing.land(offset)
        landing.write(day(offset), "user_merges", [])
    deployment = make_deployment(tmp_path / "home", make_source(landing.root, merges=True))
    build_once(deployment, landing.days, con=con, models=[MODEL])
    before = view_detail(
        deployment.recipes[EXAMPLES], MODEL, load_whole_state(deployment, [EXAMPLES])
    )
    merge = {"merge_id": "m", "from_user_id": 0, "to_user_id": 1}
    landing.write(day(3), "user_merges", [merge | {"merged_ts": at(3), "received_ts": at(3)}])
    built = converge(deployment, con=con)
    assert built["user_persons"] == [MODEL]
    after = view_detail(
        deployment.recipes[EXAMPLES], MODEL, load_whole_state(deployment, [EXAMPLES])
    )
    assert after["user_persons"] == before["user_persons"]


def test_a_model_that_does_not_say_is_told_apart(deployment: Deployment, con: Backend) -> None:
    model_of(deployment, {"impressions": 3})
    assert trained_examples(deployment, MODEL, con=con) is None


def test_facts_of_a_day_that_is_asked_for_are_kept(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    """However old: without them nobody would know that the day is wanted."""
    like_another(landing)
    for table in ("raw_events", "linked_engagements", "weighted_labels"):
        build_table(deployment, table, Days(day(2), day(2)), con=con)
    purge(deployment)
    assert Rows(deployment).days(EXAMPLES) == [MODEL]
    assert MODEL in look(deployment).staleness.stale[EXAMPLES]


def test_days_together() -> None:
    days = [day(3), day(0), day(1), day(5)]
    assert ranges(days) == [Days(day(0), day(1)), Days(day(3), day(3)), Days(day(5), day(5))]
    assert ranges([]) == []
