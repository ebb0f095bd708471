"""What cannot end in a model that finds something is refused before it is trained."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest

from convcg_assets.defs.model import check_trainable
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import Lake
from convcg_assets.sources.source import Source
from convcg_assets.tables.settings import Settings

DAY = dt.date(2026, 3, 15)
PINS = pa.table({"pin_id": [1]})


def deployment(home: Path) -> Deployment:
    """Of a log of views alone."""
    streams = {"impressions": {}, "pins": {}}
    source = Source.model_validate(
        {"name": "views", "first_day": "2026-01-01", "streams": streams, "landing": home}
    )
    return Deployment(
        source=source,
        source_file=home / "source.yaml",
        settings=Settings.model_validate({"examples": {"training_days": 8, "holdout_days": 3}}),
        home=home,
        lake=Lake(str(home / "lake"), source.id_types),
        tracking_uri="",
        ledger_url="",
    )


def examples(*task: str | None) -> pa.Table:
    return pa.table({"task": pa.array(task, pa.string())})


@pytest.mark.parametrize("rows", [(), (None,), (None, None)])
def test_without_positives_to_learn_from(tmp_path: Path, rows: tuple) -> None:
    with pytest.raises(ValueError, match="training_examples of 2026-03-15 hold no positives") as e:
        check_trainable(examples(*rows), PINS, day=DAY, deployment=deployment(tmp_path))
    said = str(e.value)
    assert "in the 8 days before 2026-03-12, as known before 2026-03-12" in said
    assert "Map engagements or conversions (the source has impressions, pins)" in said


def test_without_a_pin_to_embed(tmp_path: Path) -> None:
    given = {"day": DAY, "deployment": deployment(tmp_path)}
    with pytest.raises(ValueError, match="pin_features of 2026-03-15 is empty"):
        check_trainable(examples("engagement"), PINS.slice(0, 0), **given)


def test_one_positive_and_one_pin_will_do(tmp_path: Path) -> None:
    rows = examples(None, "conversion")
    check_trainable(rows, PINS, day=DAY, deployment=deployment(tmp_path))
