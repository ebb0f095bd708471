"""What is rebuilt: the days that differ, and no others; how often; and what holds a day up."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.builds.plan import MAX_ATTEMPTS, Plan
from convcg_assets.builds.status import read_status
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.tables.raw import RAW, RAW_TABLES
from convcg_assets.tables.settings import LabelSettings

from .deployment import (
    DERIVED,
    SETTINGS,
    Idle,
    build_once,
    contents,
    converge,
    look,
    make_deployment,
    tables_of_day,
)
from .logs import Landing, Row, at, day, make_source

NUM_DAYS = 6
LABELS = "weighted_labels"


class Ended(Idle):
    """Runs of which all that were asked for have ended, without what they were to build."""

    def attempts(self, request_keys: Iterable[str]) -> int:
        return len(set(request_keys))


@dataclass(frozen=True)
class Deployed:
    """Six days that are landed and built; user 0 is shown Pin 0 once on each."""

    landing: Landing
    deployment: Deployment


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, con: Backend) -> Deployed:
    folder = tmp_path_factory.mktemp("deployed")
    landing = Landing(folder / "landing", Random(7))
    for offset in range(NUM_DAYS):
        landing.land(offset)
        shown = {"impression_id": 1000 + offset, "user_id": 0, "pin_id": 0, "advertiser_id": 0}
        shown |= {"impression_ts": at(offset, seconds=100), "surface": "homefeed"}
        landing.write(day(offset), "impressions", [shown])
        landing.write(day(offset), "engagements", [])
        landing.write(day(offset), "conversions", [])
    deployment = make_deployment(folder / "home", make_source(landing.root))
    build_once(deployment, landing.days, con=con)
    return Deployed(landing, deployment)


@pytest.fixture
def landing(deployed: Deployed) -> Landing:
    """Logs without conversions: those of the test before are gone."""
    for (landed, stream, name), rows in list(deployed.landing.files.items()):
        if stream == "conversions" and rows:
            deployed.landing.write(landed, stream, [], name=name)
    return deployed.landing


@pytest.fixture
def deployment(deployed: Deployed, landing: Landing, con: Backend) -> Deployment:
    """Everything built, and repaired since the test before."""
    converge(deployed.deployment, con=con)
    return deployed.deployment


def report_of(offset: int, *, arrived: int, number: int) -> Row:
    """A checkout by user 0, a minute after the impression of a day."""
    times = {"event_ts": at(offset, seconds=160), "received_ts": at(arrived, seconds=200)}
    what = {"user_id": 0, "advertiser_id": 0, "pin_id": 0, "event_name": "checkout"}
    return {"conversion_id": number, "event_id": f"e{number}", "value": 50.0, **what, **times}


def label_rows(deployment: Deployment, con: Backend) -> dict[dt.date, list[str]]:
    rows = contents(deployment, con=con, tables=[LABELS])[LABELS]
    return {day(offset): tables_of_day(day(offset), rows) for offset in range(NUM_DAYS)}


def changed_days(before: dict[dt.date, list[str]], after: dict[dt.date, list[str]]) -> set[dt.date]:
    return {d for d in before if before[d] != after[d]}


def days_of(plan: Plan, table: str) -> set[dt.date]:
    return {d for request in plan.requests if request.table == table for d in request.days}


def repair_upstream(deployment: Deployment, con: Backend) -> None:
    for table in (RAW, "attributed_conversions", "adjusted_conversions"):
        for request in look(deployment).plan.requests:
            if request.table == table:
                build_table(deployment, table, request.days, con=con)


def expect_exactly(deployment: Deployment, con: Backend, days: set[dt.date]) -> None:
    """After a landing: labels of these days are asked for, and of these alone rows change."""
    repair_upstream(deployment, con)
    before = label_rows(deployment, con)
    assert days_of(look(deployment).plan, LABELS) == days
    assert converge(deployment, con=con).get(LABELS, []) == sorted(days)
    assert changed_days(before, label_rows(deployment, con)) == days


def test_late_conversions_touch_their_own_label_days(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    late = [report_of(offset, arrived=4, number=offset) for offset in (1, 3)]
    landing.write(day(4), "conversions", late, name="late")
    expect_exactly(deployment, con, {day(1), day(3)})
    # Corrected: the evidence of one day is gone, another's is new, a third's is as it was.
    corrected = [late[1], report_of(2, arrived=4, number=2)]
    landing.write(day(4), "conversions", corrected, name="late")
    expect_exactly(deployment, con, {day(1), day(2)})
    landing.write(day(4), "conversions", [], name="late")
    expect_exactly(deployment, con, {day(2), day(3)})


def test_a_file_written_again_leads_to_no_rebuild_but_of_its_day(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    landing.write(day(2), "conversions", [report_of(1, arrived=2, number=1)])
    converge(deployment, con=con)
    landing.touch(day(2))
    assert converge(deployment, con=con) == {RAW: [day(2)]}


def raw_versions(deployment: Deployment) -> dict[str, int | None]:
    there = (table for table in RAW_TABLES if table in deployment.tables)
    return {table: deployment.lake.version(table) for table in there}


def test_only_streams_with_a_changed_file_are_read_again(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    before = raw_versions(deployment)
    landing.write(day(4), "conversions", [report_of(1, arrived=4, number=1)])
    converge(deployment, con=con)
    after = raw_versions(deployment)
    assert {t for t in after if after[t] != before[t]} == {"conversions", "rejected_events"}
    # The catalogue names the advertisers of events, so that a new one reads them again.
    landing.touch_file(day(4), "pins")
    converge(deployment, con=con)
    unchanged = {t for t, version in raw_versions(deployment).items() if version == after[t]}
    assert unchanged == {"users"}
    # By hand, where nothing differs, all is read.
    before = raw_versions(deployment)
    build_table(deployment, RAW, Days(day(4), day(4)), con=con)
    assert not {t for t, version in raw_versions(deployment).items() if version == before[t]}


def test_rejected_rows_of_streams_that_are_not_read_again_stay(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    twice = [report_of(1, arrived=4, number=1), report_of(2, arrived=4, number=1)]
    landing.write(day(4), "conversions", twice)
    converge(deployment, con=con)
    rejected = contents(deployment, con=con, tables=["rejected_events"])
    landing.touch_file(day(4), "users")
    build_table(deployment, RAW, Days(day(4), day(4)), con=con)
    assert "conversions" in str(rejected)
    assert contents(deployment, con=con, tables=["rejected_events"]) == rejected
    landing.write(day(4), "conversions", twice[:1])
    converge(deployment, con=con)
    assert "conversions" not in str(contents(deployment, con=con, tables=["rejected_events"]))


def test_changed_settings_make_what_uses_them_stale(deployment: Deployment, con: Backend) -> None:
    settings = SETTINGS.model_copy(update={"labels": LabelSettings(checkout_weight=0.5)})
    changed = make_deployment(deployment.home, deployment.source, settings)
    stale = look(changed).staleness.stale
    assert {table for table, days in stale.items() if days} == {LABELS}
    assert set(stale[LABELS]) == {day(offset) for offset in range(NUM_DAYS)}
    tolerant = deployment.source.model_copy(update={"tolerance_minutes": 5})
    reread = look(make_deployment(deployment.home, tolerant)).staleness.stale
    assert {table for table, days in reread.items() if days} == {RAW}
    # No row of these logs means something else by it: what is downstream stays.
    built = converge(make_deployment(deployment.home, tolerant), con=con)
    assert set(built) == {RAW}


def ask(deployment: Deployment) -> Plan:
    """A tick whose requests all become runs that end without building anything."""
    plan = read_status(deployment, runs=Ended()).plan
    for request in plan.requests:
        request.record(deployment.ledger)
    return plan


def test_a_build_that_fails_is_given_up_until_its_inputs_change(
    landing: Landing, deployment: Deployment
) -> None:
    landing.touch(day(2))
    landing.touch(day(3))
    asked = [[r.days for r in ask(deployment).requests] for _ in range(MAX_ATTEMPTS)]
    assert asked[0] == [Days(day(2), day(3))]
    assert asked[1:] == [[Days(day(2), day(2)), Days(day(3), day(3))]] * (MAX_ATTEMPTS - 1)
    plan = ask(deployment)
    assert plan.requests == []
    assert set(plan.given_up[RAW]) == {day(2), day(3)}

    landing.touch(day(3))
    plan = ask(deployment)
    assert [r.days for r in plan.requests] == [Days(day(3), day(3))]
    assert set(plan.given_up[RAW]) == {day(2)}


def test_inputs_that_come_and_go_are_never_given_up(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    late = [report_of(1, arrived=4, number=1)]
    built = 0
    for _ in range(2 * MAX_ATTEMPTS + 2):
        landing.write(day(4), "conversions", late, name="late")
        late = [] if late else [report_of(1, arrived=4, number=1)]
        while requests := ask(deployment).requests:
            for request in requests:
                build_table(deployment, request.table, request.days, con=con)
                built += request.table == LABELS
        plan = look(deployment).plan
        assert not any(plan.given_up.values())
    assert built == 2 * MAX_ATTEMPTS + 2


def test_failures_count_anew_once_the_day_has_been_built(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    def report(*, wanted: bool) -> None:
        rows = [report_of(1, arrived=4, number=1)] if wanted else []
        landing.write(day(4), "conversions", rows, name="late")
        repair_upstream(deployment, con)

    for _ in range(2):
        report(wanted=True)
        for failed in range(MAX_ATTEMPTS - 1):
            assert days_of(ask(deployment), LABELS) == {day(1)}, failed
        build_table(deployment, LABELS, Days(day(1), day(1)), con=con)
        report(wanted=False)
        converge(deployment, con=con)


def test_a_day_that_was_given_up_does_not_hold_up_the_rest(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    landing.touch(day(2))
    for _ in range(MAX_ATTEMPTS):
        ask(deployment)
    landing.write(day(4), "conversions", [report_of(3, arrived=4, number=1)])
    build_table(deployment, RAW, Days(day(4), day(4)), con=con)
    plan = read_status(deployment, runs=Ended()).plan
    assert days_of(plan, "attributed_conversions") == {
        day(4),
        day(5),
    }  # 5 looks back for duplicates


def fail_check(deployment: Deployment, offset: int) -> None:
    key = look(deployment).state["conversions"].key(day(offset))
    deployment.ledger.record_failed_check(
        "conversions", "conversions_are_valid", {day(offset): (key, "two of three are null")}
    )


def test_a_failed_check_holds_up_downstream_until_the_files_change(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    def rebuild(offset: int) -> None:
        build_table(deployment, RAW, Days(day(offset), day(offset)), con=con)

    for offset in (0, 3):
        landing.write(
            day(offset), "conversions", [report_of(offset, arrived=offset, number=offset)]
        )
        rebuild(offset)
    fail_check(deployment, 0)
    plan = look(deployment).plan
    # A report of day 0 may be the first of what days 1 and 2 tell again.
    assert days_of(plan, "attributed_conversions") == {day(3), day(4), day(5)}
    assert set(plan.waiting["attributed_conversions"]) == {day(0), day(1), day(2)}
    assert "conversions_are_valid: two of three are null" in str(plan.waiting)
    assert not any(table in plan.waiting and plan.waiting[table] for table in (RAW, *RAW_TABLES))

    landing.write(day(0), "conversions", [report_of(0, arrived=0, number=8)])
    rebuild(0)
    assert day(0) in days_of(look(deployment).plan, "attributed_conversions")
    converge(deployment, con=con)
    assert not any(look(deployment).staleness.stale[table] for table in DERIVED)


def test_training_examples_that_came_out_empty_are_kept_up_to_date(
    landing: Landing, deployment: Deployment, con: Backend
) -> None:
    build_table(deployment, "training_examples", Days(day(1), day(1)), con=con)
    assert contents(deployment, con=con, tables=["training_examples"])["training_examples"] == []
    landing.write(day(0), "conversions", [report_of(0, arrived=0, number=1)])
    assert converge(deployment, con=con)["training_examples"] == [day(1)]
    found = contents(deployment, con=con, tables=["training_examples"])["training_examples"]
    assert len(found) == 1
