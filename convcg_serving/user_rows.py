"""Rows for the user tower: what is stored of the users, and what their requests say."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from convcg_model.features import FeatureSpec
from convcg_model.user_table import user_schema, user_table
from convcg_serving.day_features import DayFeatures
from convcg_serving.requests import Action, CandidateRequest

HISTORY = ("user_recent_pin_ids", "user_recent_actions", "user_recent_age_days")
DAY_SECONDS = 86_400


def user_rows(
    requests: Sequence[CandidateRequest],
    spec: FeatureSpec,
    features: DayFeatures | None,
    *,
    now: dt.datetime,
) -> tuple[pa.Table, np.ndarray]:
    """(the table that the user tower reads, which users are stored as bool [n]).

    As in training, what is stored is as of the beginning of its day T, and so are the ages of the
    actions; one of today has the age 0. Without features the day is that of `now` (UTC).
    """
    stored = np.full(len(requests), -1, dtype=np.int64)
    if features is not None:
        stored = features.rows_of([request.user_id for request in requests])
    known: list[dict[str, Any]] = [{} for _ in requests]
    if features is not None and (stored >= 0).any():
        rows = np.flatnonzero(stored >= 0)
        taken = features.users.take(pa.array(stored[rows])).to_pylist()
        for row, values in zip(rows.tolist(), taken, strict=True):
            known[row] = {f"user_{name}": value for name, value in values.items()}
    names = set(user_schema(spec).names)
    day = now.date() if features is None else features.day
    table = user_table(
        [
            _row({n: v for n, v in of_user.items() if n in names}, request, day=day, now=now)
            for of_user, request in zip(known, requests, strict=True)
        ],
        spec,
    )
    return table, stored >= 0


def _row(
    known: dict[str, Any], request: CandidateRequest, *, day: dt.date, now: dt.datetime
) -> dict[str, Any]:
    row = {
        **known,
        "example_day": day,
        "surface": request.surface,
        "subject_pin_id": request.subject_pin_id,
        "query": request.query,
    }
    if request.profile is not None:
        given = request.profile.model_dump(exclude_unset=True)
        row |= {f"user_{name}": value for name, value in given.items()}
    stored = _stored_actions(known) if not request.replace_history else []
    if request.recent_actions or request.replace_history:
        told = sorted(request.recent_actions, key=lambda a: _time(a, now=now), reverse=True)
        said = [(a.pin_id, a.action, _age_days(_time(a, now=now), day=day)) for a in told]
        anew = {(pin_id, action) for pin_id, action, _ in said}
        stored = [*said, *(each for each in stored if each[:2] not in anew)]
        # Stable: what is of one age, as all of today is, stays in the order of its times.
        stored.sort(key=lambda each: each[2])
        row["user_days_since_action"] = int(stored[0][2]) if stored else None
    row |= {name: [action[i] for action in stored] for i, name in enumerate(HISTORY)}
    return row


def _stored_actions(known: dict[str, Any]) -> list[tuple[Any, str, float]]:
    """Pin, kind and age of each, newest first."""
    return list(zip(*(known.get(name) or () for name in HISTORY), strict=True))


def _time(action: Action, *, now: dt.datetime) -> dt.datetime:
    """When it was, in UTC where it names no zone."""
    at = now if action.at is None else action.at
    return at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)


def _age_days(at: dt.datetime, *, day: dt.date) -> float:
    """How long before the beginning of day T it was, in days; 0 of what was after."""
    begin = dt.datetime.combine(day, dt.time(), dt.UTC)
    return max(0.0, (begin - at).total_seconds() / DAY_SECONDS)
