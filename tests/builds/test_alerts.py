"""What a look finds to tell: of days, tables, checks and promotions."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.alerts import BEHIND, GIVEN_UP, NOT_PROMOTED, REFUSED, find_conditions
from convcg_assets.builds.build import build_table
from convcg_assets.builds.plan import MAX_ATTEMPTS
from convcg_assets.builds.status import read_status
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.tables.raw import RAW
from convcg_assets.tables.settings import AlertSettings
from tests.builds.deployment import Idle
from tests.builds.tiny import FIRST, LAST, land_conversions, make_whole


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """Logs of days long gone, of which a log that goes on would have more."""
    return make_whole(tmp_path)


class Failed(Idle):
    """Runs of which every one that was asked for has failed."""

    def attempts(self, request_keys: Iterable[str]) -> int:
        return len(list(request_keys))


def kinds(deployment: Deployment, runs: Idle | None = None) -> list[tuple[str, str, str]]:
    found = find_conditions(read_status(deployment, runs=runs or Idle()))
    return [(c.kind, c.table, str(c.day)) for c in found]


def keys(deployment: Deployment, kind: str) -> set[str]:
    found = find_conditions(read_status(deployment, runs=Failed()))
    return {c.key for c in found if c.kind == kind}


def give_up(deployment: Deployment) -> None:
    """Every stale day of the raw logs is asked for as often as it may be, in vain."""
    for attempt in range(MAX_ATTEMPTS):
        found = read_status(deployment, runs=Failed())
        stale = found.staleness.stale[RAW].values()
        deployment.ledger.record_request(
            f"{attempt}{sorted(day.inputs for day in stale)}",
            RAW,
            {day.day: day.inputs for day in stale},
            {day.day: day.num_built for day in stale},
        )


def test_a_deployment_that_has_just_begun_is_silent(deployment: Deployment) -> None:
    assert kinds(deployment) == []


def test_a_day_given_up_is_told_and_again_when_other_logs_of_it_fail(
    deployment: Deployment,
) -> None:
    give_up(deployment)
    assert kinds(deployment, Failed()) == [
        (GIVEN_UP, RAW, str(FIRST)),
        (GIVEN_UP, RAW, str(LAST)),
    ]
    before = keys(deployment, GIVEN_UP)
    land_conversions(deployment.home, LAST, value=99.0)
    assert len(keys(deployment, GIVEN_UP)) == 1, "it is tried again"
    give_up(deployment)
    assert len(keys(deployment, GIVEN_UP) - before) == 1


def test_a_table_behind_by_more_than_the_limit_is_told(
    deployment: Deployment, con: Backend
) -> None:
    build_table(deployment, RAW, Days(FIRST, LAST), con=con)
    # No derived table has a day yet: by the limit of one they may lack one, and lack two.
    behind = kinds(deployment)
    assert (BEHIND, "attributed_conversions", "None") in behind
    assert not [place for place in behind if place[1] in (RAW, "two_tower_checkpoint")]
    patient = deployment.settings.model_copy(update={"alerts": AlertSettings(max_days_behind=2)})
    assert kinds(dataclasses.replace(deployment, settings=patient)) == []
    goes_on = deployment.source.model_copy(update={"last_day": None})
    late = kinds(dataclasses.replace(deployment, source=goes_on, settings=patient))
    assert late == [(BEHIND, RAW, "None")], "tables are not behind for want of logs"


def test_a_check_that_refused_is_told_without_a_value_of_the_rows(
    deployment: Deployment, con: Backend
) -> None:
    build_table(deployment, RAW, Days(FIRST, LAST), con=con)
    version = deployment.lake.snapshot("conversions")
    assert version is not None
    said = {FIRST: (version.key(FIRST), "2 rows break it, such as user_id u1")}
    deployment.ledger.record_failed_check("conversions", "values_are_known", said)
    found = find_conditions(read_status(deployment, runs=Idle()))
    (refused,) = [c for c in found if c.kind == REFUSED]
    assert (refused.table, refused.day) == ("conversions", FIRST)
    assert refused.said == "values_are_known"


def test_the_newest_decision_is_told_if_it_was_a_refusal(deployment: Deployment) -> None:
    for day, promoted in ((FIRST, False), (LAST, True)):
        folder = deployment.promotions / f"dt={day}"
        folder.mkdir(parents=True)
        decision = {"day": str(day), "version": "3", "model_version": "abc", "promoted": promoted}
        (folder / "decision.json").write_text(json.dumps(decision | {"reason": "Worse."}))
    assert kinds(deployment) == [], "the older has been overtaken"
    (deployment.promotions / f"dt={LAST}" / "decision.json").unlink()
    found = find_conditions(read_status(deployment, runs=Idle()))
    assert [(c.kind, c.day, c.said) for c in found] == [(NOT_PROMOTED, FIRST, "version 3: Worse.")]
