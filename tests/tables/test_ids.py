"""Ids are integers or strings, as the log has them: the same rows either way, and none of none."""

from random import Random
from typing import Any

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.tables.settings import (
    AttributionSettings,
    DelaySettings,
    ExampleSettings,
    FeatureSettings,
    LabelSettings,
    NegativeSettings,
)

from . import event_rows, stages
from .tables import INT_IDS, TEXT_IDS, exactly
from .world import Row, World, day, random_world

DAYS = Days(day(0), day(8))


def rename(name: str, value: Any) -> Any:
    """An integer id as text that sorts alike."""
    if name.endswith("_pin_ids") and value is not None:
        return [rename("pin_id", one) for one in value]
    if name.endswith("_id") and name != "event_id" and value is not None:
        return f"id {int(value) + 100:06d}"
    return value


def renamed(rows: list[Row]) -> list[Row]:
    return [{name: rename(name, value) for name, value in row.items()} for row in rows]


def build_all(events: World, con: Backend, id_types: dict[str, str]) -> dict[str, list[Row]]:
    """Every stage's rows, each from those before."""
    out: dict[str, list[Row]] = {}

    def put(stage: Any, *inputs: Any, **options: Any) -> list[Row]:
        case = stage(*inputs, days=DAYS, **options)
        out[case.table] = stages.run(case, con=con, id_types=id_types)
        return out[case.table]

    attribution = AttributionSettings(model="linear", view_window_days=7)
    credited = put(stages.attributed, events, settings=attribution)
    delay = DelaySettings()
    put(stages.delay, credited, settings=delay, horizon_days=attribution.horizon_days)
    put(
        stages.labels,
        events,
        credited,
        settings=LabelSettings(),
        horizon_days=attribution.horizon_days,
    )
    # All are sampled: which ones a smaller share would take depends on the id's text.
    negatives = NegativeSettings(sample_rate=1, max_per_user_day=100)
    put(stages.negatives, events, settings=negatives)
    put(stages.user_features, events, credited, settings=FeatureSettings())
    put(stages.pin_features, events, credited, has_catalogue=True, settings=FeatureSettings())
    examples = ExampleSettings(training_days=5, holdout_days=1)
    put(stages.example_features, events, out)
    put(stages.examples, out, settings=examples, delay=delay)
    return out


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_text_ids_give_the_same_rows_as_integers(con: Backend, seed: int) -> None:
    events = random_world(Random(seed), size=40)
    as_text = World(
        *(
            renamed(rows)
            for rows in (
                events.impressions,
                events.engagements,
                events.conversions,
                events.pins,
                events.users,
            )
        )
    )
    by_number = build_all(events, con, INT_IDS)
    by_text = build_all(as_text, con, TEXT_IDS)
    for table, rows in by_number.items():
        assert exactly(renamed(rows)) == exactly(by_text[table]), table


@pytest.mark.parametrize("id_types", [INT_IDS, TEXT_IDS])
def test_without_events_there_are_no_rows(con: Backend, id_types: dict[str, str]) -> None:
    out = build_all(event_rows.world(), con, id_types)
    assert not any(out.values())
