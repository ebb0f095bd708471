"""Which models are due: today's from 06:00 on, and those that were missed while nobody looked."""

import dataclasses
import datetime as dt
from pathlib import Path

import pytest

from convcg_assets.builds import retrain
from convcg_assets.builds.retrain import CATCH_UP_DAYS, due_days
from tests.builds.tiny import open_deployment

DAY = dt.timedelta(days=1)
TODAY = dt.date(2026, 3, 1)


@pytest.fixture
def due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is due at an hour of today, where models of some days ago are there."""
    deployment = open_deployment(tmp_path)
    going_on = deployment.source.model_copy(update={"last_day": None})
    deployment = dataclasses.replace(deployment, source=going_on)

    def ask(*trained: int, hour: int = 6, minute: int = 0) -> list[int]:
        for days_ago in trained:
            folder = tmp_path / "models" / f"dt={TODAY - days_ago * DAY}"
            folder.mkdir(parents=True)
            (folder / "model.json").touch()
        at = dt.datetime.combine(TODAY, dt.time(hour, minute), dt.UTC)
        monkeypatch.setattr(retrain, "now", lambda source: at)
        return [(TODAY - day).days for day in due_days(deployment)]

    return ask


def test_the_first_model_is_todays(due) -> None:
    assert due() == [0]


def test_before_the_hour_it_is_yesterdays(due) -> None:
    assert due(hour=5, minute=59) == [1]


def test_what_is_there_is_not_due(due) -> None:
    assert due(1, 0) == []


def test_days_missed_are_due_until_each_is_there(due) -> None:
    """After three days of standstill: the newest first, and it does not hide the others."""
    assert due(3) == [0, 1, 2]
    assert due(0) == [1, 2]
    assert due(1) == [2]
    assert due(2) == []


def test_older_days_nobody_would_serve(due) -> None:
    assert due(30) == list(range(CATCH_UP_DAYS))
