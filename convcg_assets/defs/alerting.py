"""Telling somebody, once: what was told, what waits for its webhook, and the sensor of both.

What is worth telling is found in `builds/alerts.py`; how it is sent belongs to `webhook.py`.
"""

import datetime as dt
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg
from pydantic import Field, ValidationError

from convcg_assets.builds.alerts import KINDS, Condition, find_conditions
from convcg_assets.builds.status import read_status
from convcg_assets.config import Frozen
from convcg_assets.defs.delay_alerts import find_shifted
from convcg_assets.defs.runs import InstanceRuns
from convcg_assets.defs.webhook import NotTaken, post
from convcg_assets.deployment import current_deployment

WEBHOOK = "CONVCG_ALERT_WEBHOOK"
TICK_S = 60
ROUND_S = 20.0
"""So long a tick sends; Dagster ends one that takes 60 s."""
MAX_WAITING = 100
"""With so many unsent nothing is added: what lasts is found again once they are gone."""
SHOWN_LINES = 10


class Alert(Frozen):
    """What is sent: all that was new of one kind."""

    id: str
    """The same if it is sent again, after a crash between sending and noting it."""
    alert: str
    text: str
    remedy: str
    deployment: str
    found_at: dt.datetime
    conditions: tuple[dict[str, str | None], ...]
    more: int
    """Conditions beyond those listed."""


class Told(Frozen):
    """What the sensor keeps from tick to tick."""

    keys: tuple[str, ...] = ()
    """Of conditions that last and were told, or wait to be."""
    since: dict[str, dt.datetime] = Field(default_factory=dict)
    """When others were first seen, which have not lasted long enough."""
    waiting: tuple[Alert, ...] = ()


def take_in(
    told: Told, conditions: Iterable[Condition], *, deployment: str, now: dt.datetime
) -> Told:
    """What is new joins what waits; what is over is forgotten, so that it is told if it returns."""
    current = {condition.key: condition for condition in conditions}
    known = {key: None for key in told.keys if key in current}
    since = {key: told.since.get(key, now) for key in current if key not in known}
    if len(told.waiting) >= MAX_WAITING:
        return Told(keys=tuple(known), since=since, waiting=told.waiting)
    new = [current[key] for key, first in since.items() if now - first >= current[key].lasting]
    for condition in new:
        del since[condition.key]
    alerts = [
        _alert(kind, of_kind, deployment=deployment, now=now)
        for kind in KINDS
        if (of_kind := [condition for condition in new if condition.kind == kind])
    ]
    return Told(
        keys=(*known, *(condition.key for condition in new)),
        since=since,
        waiting=(*told.waiting, *alerts),
    )


def send(
    told: Told, sender: Callable[[dict[str, Any]], None], *, round_s: float = ROUND_S
) -> tuple[Told, str | None]:
    """Send what waits, oldest first; what is left, and why the last that was not taken was not.

    After one that was not taken for a reason that is not its own, the rest waits for the next tick.
    """
    until, why, left = time.monotonic() + round_s, None, list[Alert]()
    for number, alert in enumerate(told.waiting):
        if time.monotonic() > until:
            left += told.waiting[number:]
            break
        try:
            sender(alert.model_dump(mode="json"))
        except NotTaken as error:
            why = str(error)
            left.append(alert)
            if not error.is_its_own:
                left += told.waiting[number + 1 :]
                break
    return told.model_copy(update={"waiting": tuple(left)}), why


@dg.sensor(
    minimum_interval_seconds=TICK_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells the webhook that CONVCG_ALERT_WEBHOOK names, once each: days that were "
    "given up, tables that fall behind, checks and promotions that refused, delays that shift.",
)
def alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Posts what is new; what the webhook did not take waits in the cursor."""
    url = os.environ.get(WEBHOOK)
    if not url:
        return dg.SensorResult(skip_reason=dg.SkipReason(f"{WEBHOOK} is not set: nobody is told"))
    deployment = current_deployment()
    found = read_status(deployment, runs=InstanceRuns(context.instance, home=deployment.home))
    conditions = [*find_conditions(found), *find_shifted(context.instance)]
    before = _read(context.cursor)
    now = dt.datetime.now(dt.UTC)
    told = take_in(before, conditions, deployment=deployment.source.name, now=now)
    num_due = len(told.waiting)
    told, why = send(told, lambda body: post(url, body))
    said = f"{len(told.keys)} conditions last; {num_due - len(told.waiting)} alerts sent"
    if told.waiting:
        context.log.warning(f"{len(told.waiting)} alerts wait: {why or 'the round was over'}")
        said += f", {len(told.waiting)} wait: {why or 'the round was over'}"
    return dg.SensorResult(skip_reason=dg.SkipReason(said), cursor=told.model_dump_json())


def _read(cursor: str | None) -> Told:
    """What was kept; of another release, nothing: what lasts is then told again."""
    try:
        return Told.model_validate_json(cursor) if cursor else Told()
    except ValidationError:
        return Told()


def _alert(kind: str, of_kind: list[Condition], *, deployment: str, now: dt.datetime) -> Alert:
    keys = "\n".join(sorted(condition.key for condition in of_kind))
    lines = [_line(condition) for condition in of_kind[:SHOWN_LINES]]
    more = len(of_kind) - len(lines)
    title, remedy = KINDS[kind].title, KINDS[kind].remedy
    listed = [*lines, *([f"and {more:,} more"] if more else [])]
    return Alert(
        id=hashlib.sha256(keys.encode()).hexdigest()[:16],
        alert=kind,
        text="\n".join([f"{deployment}: {title}.", *listed, remedy]),
        remedy=remedy,
        deployment=deployment,
        found_at=now,
        conditions=tuple(
            {"table": c.table, "day": c.day and str(c.day), "said": c.said}
            for c in of_kind[:SHOWN_LINES]
        ),
        more=more,
    )


def _line(condition: Condition) -> str:
    day = f" of {condition.day}" if condition.day else ""
    return f"{condition.table}{day}: {condition.said}"
