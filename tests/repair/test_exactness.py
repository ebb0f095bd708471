"""What is rebuilt: the days that differ, and no others; how often; and what holds a day up."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builders import build_table
from convcg_assets.days import Days
from convcg_assets.project import Project
from convcg_assets.repair.plan import MAX_ATTEMPTS, Plan
from convcg_assets.repair.recipes import RAW_TABLES
from convcg_assets.repair.staleness import RAW
from convcg_assets.repair.survey import survey
from convcg_assets.settings import LabelSettings

from .deployment import (
    DERIVED,
    SETTINGS,
    Idle,
    build_once,
    contents,
    converge,
    look,
    make_project,
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
    project: Project


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
    project = make_project(folder / "home", make_source(landing.root))
    build_once(project, landing.days, con=con)
    return Deployed(landing, project)


@pytest.fixture
def landing(deployed: Deployed) -> Landing:
    """Logs without conversions: those of the test before are gone."""
    for (landed, stream, name), rows in list(deployed.landing.files.items()):
        if stream == "conversions" and rows:
            deployed.landing.write(landed, stream, [], name=name)
    return deployed.landing


@pytest.fixture
def project(deployed: Deployed, landing: Landing, con: Backend) -> Project:
    """Everything built, and repaired since the test before."""
    converge(deployed.project, con=con)
    return deployed.project


def report_of(offset: int, *, arrived: int, number: int) -> Row:
    """A checkout by user 0, a minute after the impression of a day."""
    times = {"event_ts": at(offset, seconds=160), "received_ts": at(arrived, seconds=200)}
    what = {"user_id": 0, "advertiser_id": 0, "pin_id": 0, "event_name": "checkout"}
    return {"conversion_id": number, "event_id": f"e{number}", "value": 50.0, **what, **times}


def label_rows(project: Project, con: Backend) -> dict[dt.date, list[str]]:
    rows = contents(project, con=con, tables=[LABELS])[LABELS]
    return {day(offset): tables_of_day(day(offset), rows) for offset in range(NUM_DAYS)}


def changed_days(before: dict[dt.date, list[str]], after: dict[dt.date, list[str]]) -> set[dt.date]:
    return {d for d in before if before[d] != after[d]}


def days_of(plan: Plan, table: str) -> set[dt.date]:
    return {d for request in plan.requests if request.table == table for d in request.days}


def repair_upstream(project: Project, con: Backend) -> None:
    for table in (RAW, "attributed_conversions"):
        for request in look(project).plan.requests:
            if request.table == table:
                build_table(project, table, request.days, con=con)


def expect_exactly(project: Project, con: Backend, days: set[dt.date]) -> None:
    """After a landing: labels of these days are asked for, and of these alone rows change."""
    repair_upstream(project, con)
    before = label_rows(project, con)
    assert days_of(look(project).plan, LABELS) == days
    assert converge(project, con=con)[LABELS] == sorted(days)
    assert changed_days(before, label_rows(project, con)) == days


def test_late_conversions_touch_their_own_label_days(
    landing: Landing, project: Project, con: Backend
) -> None:
    late = [report_of(offset, arrived=4, number=offset) for offset in (1, 3)]
    landing.write(day(4), "conversions", late, name="late")
    expect_exactly(project, con, {day(1), day(3)})
    # Corrected: the evidence of one day is gone, another's is new, a third's is as it was.
    corrected = [late[1], report_of(2, arrived=4, number=2)]
    landing.write(day(4), "conversions", corrected, name="late")
    expect_exactly(project, con, {day(1), day(2)})
    landing.write(day(4), "conversions", [], name="late")
    expect_exactly(project, con, {day(2), day(3)})


def test_a_file_written_again_leads_to_no_rebuild_but_of_its_day(
    landing: Landing, project: Project, con: Backend
) -> None:
    landing.write(day(2), "conversions", [report_of(1, arrived=2, number=1)])
    converge(project, con=con)
    landing.touch(day(2))
    assert converge(project, con=con) == {RAW: [day(2)]}


def raw_versions(project: Project) -> dict[str, int | None]:
    return {table: project.lake.version(table) for table in RAW_TABLES}


def test_only_streams_with_a_changed_file_are_read_again(
    landing: Landing, project: Project, con: Backend
) -> None:
    before = raw_versions(project)
    landing.write(day(4), "conversions", [report_of(1, arrived=4, number=1)])
    converge(project, con=con)
    after = raw_versions(project)
    assert {t for t in RAW_TABLES if after[t] != before[t]} == {"conversions", "rejected_events"}
    # The catalogue names the advertisers of events, so that a new one reads them again.
    landing.touch_file(day(4), "pins")
    converge(project, con=con)
    unchanged = {t for t, version in raw_versions(project).items() if version == after[t]}
    assert unchanged == {"users"}
    # By hand, where nothing differs, all is read.
    before = raw_versions(project)
    build_table(project, RAW, Days(day(4), day(4)), con=con)
    assert not {t for t, version in raw_versions(project).items() if version == before[t]}


def test_rejected_rows_of_streams_that_are_not_read_again_stay(
    landing: Landing, project: Project, con: Backend
) -> None:
    twice = [report_of(1, arrived=4, number=1), report_of(2, arrived=4, number=1)]
    landing.write(day(4), "conversions", twice)
    converge(project, con=con)
    rejected = contents(project, con=con, tables=["rejected_events"])
    landing.touch_file(day(4), "users")
    build_table(project, RAW, Days(day(4), day(4)), con=con)
    assert "conversions" in str(rejected)
    assert contents(project, con=con, tables=["rejected_events"]) == rejected
    landing.write(day(4), "conversions", twice[:1])
    converge(project, con=con)
    assert "conversions" not in str(contents(project, con=con, tables=["rejected_events"]))


def test_changed_settings_make_what_uses_them_stale(project: Project, con: Backend) -> None:
    settings = SETTINGS.model_copy(update={"labels": LabelSettings(checkout_weight=0.5)})
    changed = make_project(project.home, project.source, settings)
    stale = look(changed).report.stale
    assert {table for table, days in stale.items() if days} == {LABELS}
    assert set(stale[LABELS]) == {day(offset) for offset in range(NUM_DAYS)}
    tolerant = project.source.model_copy(update={"tolerance_minutes": 5})
    reread = look(make_project(project.home, tolerant)).report.stale
    assert {table for table, days in reread.items() if days} == {RAW}
    # No row of these logs means something else by it: what is downstream stays.
    built = converge(make_project(project.home, tolerant), con=con)
    assert set(built) == {RAW}


def ask(project: Project) -> Plan:
    """A tick whose requests all become runs that end without building anything."""
    plan = survey(project, runs=Ended()).plan
    for request in plan.requests:
        request.record(project.ledger)
    return plan


def test_a_build_that_fails_is_given_up_until_its_inputs_change(
    landing: Landing, project: Project
) -> None:
    landing.touch(day(2))
    landing.touch(day(3))
    asked = [[r.days for r in ask(project).requests] for _ in range(MAX_ATTEMPTS)]
    assert asked[0] == [Days(day(2), day(3))]
    assert asked[1:] == [[Days(day(2), day(2)), Days(day(3), day(3))]] * (MAX_ATTEMPTS - 1)
    plan = ask(project)
    assert plan.requests == []
    assert set(plan.given_up[RAW]) == {day(2), day(3)}

    landing.touch(day(3))
    plan = ask(project)
    assert [r.days for r in plan.requests] == [Days(day(3), day(3))]
    assert set(plan.given_up[RAW]) == {day(2)}


def test_inputs_that_come_and_go_are_never_given_up(
    landing: Landing, project: Project, con: Backend
) -> None:
    late = [report_of(1, arrived=4, number=1)]
    built = 0
    for _ in range(2 * MAX_ATTEMPTS + 2):
        landing.write(day(4), "conversions", late, name="late")
        late = [] if late else [report_of(1, arrived=4, number=1)]
        while requests := ask(project).requests:
            for request in requests:
                build_table(project, request.table, request.days, con=con)
                built += request.table == LABELS
        plan = look(project).plan
        assert not any(plan.given_up.values())
    assert built == 2 * MAX_ATTEMPTS + 2


def test_failures_count_anew_once_the_day_has_been_built(
    landing: Landing, project: Project, con: Backend
) -> None:
    def report(*, wanted: bool) -> None:
        rows = [report_of(1, arrived=4, number=1)] if wanted else []
        landing.write(day(4), "conversions", rows, name="late")
        repair_upstream(project, con)

    for _ in range(2):
        report(wanted=True)
        for failed in range(MAX_ATTEMPTS - 1):
            assert days_of(ask(project), LABELS) == {day(1)}, failed
        build_table(project, LABELS, Days(day(1), day(1)), con=con)
        report(wanted=False)
        converge(project, con=con)


def test_a_day_that_was_given_up_does_not_hold_up_the_rest(
    landing: Landing, project: Project, con: Backend
) -> None:
    landing.touch(day(2))
    for _ in range(MAX_ATTEMPTS):
        ask(project)
    landing.write(day(4), "conversions", [report_of(3, arrived=4, number=1)])
    build_table(project, RAW, Days(day(4), day(4)), con=con)
    plan = survey(project, runs=Ended()).plan
    assert days_of(plan, "attributed_conversions") == {
        day(4),
        day(5),
    }  # 5 looks back for duplicates


def fail_check(project: Project, offset: int) -> None:
    key = look(project).state["conversions"].key(day(offset))
    project.ledger.record_failed_check(
        "conversions", "conversions_are_valid", {day(offset): (key, "two of three are null")}
    )


def test_a_failed_check_holds_up_downstream_until_the_files_change(
    landing: Landing, project: Project, con: Backend
) -> None:
    def rebuild(offset: int) -> None:
        build_table(project, RAW, Days(day(offset), day(offset)), con=con)

    for offset in (0, 3):
        landing.write(
            day(offset), "conversions", [report_of(offset, arrived=offset, number=offset)]
        )
        rebuild(offset)
    fail_check(project, 0)
    plan = look(project).plan
    # A report of day 0 may be the first of what days 1 and 2 tell again.
    assert days_of(plan, "attributed_conversions") == {day(3), day(4), day(5)}
    assert set(plan.waiting["attributed_conversions"]) == {day(0), day(1), day(2)}
    assert "conversions_are_valid: two of three are null" in str(plan.waiting)
    assert not any(table in plan.waiting and plan.waiting[table] for table in (RAW, *RAW_TABLES))

    landing.write(day(0), "conversions", [report_of(0, arrived=0, number=8)])
    rebuild(0)
    assert day(0) in days_of(look(project).plan, "attributed_conversions")
    converge(project, con=con)
    assert not any(look(project).report.stale[table] for table in DERIVED)


def test_training_examples_that_came_out_empty_are_kept_up_to_date(
    landing: Landing, project: Project, con: Backend
) -> None:
    build_table(project, "training_examples", Days(day(1), day(1)), con=con)
    assert contents(project, con=con, tables=["training_examples"])["training_examples"] == []
    landing.write(day(0), "conversions", [report_of(0, arrived=0, number=1)])
    assert converge(project, con=con)["training_examples"] == [day(1)]
    found = contents(project, con=con, tables=["training_examples"])["training_examples"]
    assert len(found) == 1
