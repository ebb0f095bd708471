"""Each condition is told once for as long as it lasts, and no alert is lost meanwhile."""

import dataclasses
import datetime as dt
from typing import Any

from convcg_assets.builds.alerts import BEHIND, GIVEN_UP, REFUSED, Condition
from convcg_assets.defs.alerting import MAX_WAITING, SHOWN_LINES, Told, send, take_in
from convcg_assets.defs.webhook import NotTaken

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
DAY = dt.date(2026, 2, 27)
GIVEN = Condition(GIVEN_UP, "weighted_labels", "given up after 3 attempts", DAY)
LATE = Condition(BEHIND, "raw_events", "2 days behind; the newest is 2026-02-26")


def take(told: Told, *conditions: Condition) -> Told:
    return take_in(told, conditions, deployment="shop", now=NOW)


def down(_body: dict[str, Any]) -> None:
    raise NotTaken("no connection: Connection refused")


def test_what_lasts_is_told_once_and_again_after_it_was_over() -> None:
    sent: list[dict[str, Any]] = []
    told = Told()
    for conditions in ((GIVEN,), (GIVEN,), (GIVEN, LATE), (LATE,), (GIVEN, LATE)):
        told, why = send(take(told, *conditions), sent.append)
        assert why is None
        assert told.waiting == ()
    assert [alert["alert"] for alert in sent] == [GIVEN_UP, BEHIND, GIVEN_UP]


def test_one_that_is_down_loses_nothing_even_if_the_condition_is_over() -> None:
    sent: list[dict[str, Any]] = []
    told, why = send(take(Told(), GIVEN), down)
    assert why == "no connection: Connection refused"
    told, _ = send(take(told, GIVEN, LATE), down)
    assert [alert.alert for alert in told.waiting] == [GIVEN_UP, BEHIND]
    # By way of the cursor, which is text.
    told = Told.model_validate_json(told.model_dump_json())
    told, why = send(take(told), sent.append)
    assert [alert["alert"] for alert in sent] == [GIVEN_UP, BEHIND]
    assert (told, why) == (Told(), None)


def test_after_one_fault_nothing_else_is_tried_but_a_message_that_is_refused_holds_up_none() -> (
    None
):
    asked: list[str] = []

    def sender(body: dict[str, Any], *, is_its_own: bool) -> None:
        asked.append(body["alert"])
        if body["alert"] == GIVEN_UP:
            raise NotTaken("the answer was status 400", is_its_own=is_its_own)

    waiting = take(Told(), GIVEN, LATE)
    told, _ = send(waiting, lambda body: sender(body, is_its_own=False))
    assert (asked, len(told.waiting)) == ([GIVEN_UP], 2)
    asked.clear()
    told, why = send(waiting, lambda body: sender(body, is_its_own=True))
    assert (asked, [a.alert for a in told.waiting]) == ([GIVEN_UP, BEHIND], [GIVEN_UP])
    assert why == "the answer was status 400"


def test_a_round_ends_in_time_and_the_next_goes_on() -> None:
    sent: list[dict[str, Any]] = []
    told, why = send(take(Told(), GIVEN, LATE), sent.append, round_s=-1)
    assert (len(told.waiting), why, sent) == (2, None, [])


def test_what_is_new_of_a_kind_is_one_alert_with_a_few_lines() -> None:
    days = [
        Condition(REFUSED, "pins", "expectations", DAY + i * dt.timedelta(1)) for i in range(99)
    ]
    told = take(Told(), *days)
    (alert,) = told.waiting
    assert len(alert.conditions) == SHOWN_LINES
    assert alert.more == 99 - SHOWN_LINES
    first, *lines = alert.text.splitlines()
    assert first.startswith("shop: A check refused days")
    assert lines[0] == "pins of 2026-02-27: expectations"
    assert lines[SHOWN_LINES] == "and 89 more"
    assert lines[-1] == alert.remedy
    assert "http" not in alert.text
    again = take(Told(), *reversed(days)).waiting[0]
    assert again.id == alert.id, "who is sent it twice can tell"


def test_a_webhook_that_never_comes_back_does_not_fill_the_cursor() -> None:
    told = Told()
    for number in range(3 * MAX_WAITING):
        told = take(told, Condition(GIVEN_UP, "pins", "given up", DAY, str(number)))
    assert len(told.waiting) == MAX_WAITING
    # What lasts is found once there is room.
    told, _ = send(told, lambda body: None)
    last = Condition(GIVEN_UP, "pins", "given up", DAY, "299")
    assert len(take(told, last).waiting) == 1


def test_what_has_to_last_is_told_when_it_has_and_starts_anew_when_it_was_over() -> None:
    hours = [dt.timedelta(hours=number) for number in range(6)]
    slow = dataclasses.replace(LATE, lasting=hours[2])
    seen = [(hours[0], [slow]), (hours[1], []), (hours[2], [slow]), (hours[3], [slow, GIVEN])]
    seen += [(hours[4], [slow, GIVEN]), (hours[5], [slow])]
    told, sent = Told(), []
    for later, conditions in seen:
        told = take_in(told, conditions, deployment="shop", now=NOW + later)
        told = Told.model_validate_json(told.model_dump_json())
        told, _ = send(told, lambda body, at=later: sent.append((at, body["alert"])))
    assert sent == [(hours[3], GIVEN_UP), (hours[4], BEHIND)]
