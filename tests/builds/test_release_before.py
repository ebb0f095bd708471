"""What the release before has built is read as it is: of it only what has changed is stale.

`release_0_1.tar.xz` is a home that release 0.1.0 built: six simulated days of some 350 impressions,
the model of the day after, and no landed logs (they have moved to an archive).
"""

import dataclasses
import datetime as dt
import tarfile
from pathlib import Path

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.builds.cleanup import clean
from convcg_assets.builds.rows import Rows
from convcg_assets.builds.status import read_status
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import Lake
from convcg_assets.lake.digests import digest_days
from convcg_assets.sources.source import load_source
from convcg_assets.tables.raw import RAW_TABLES
from convcg_assets.tables.registry import DERIVED, TABLES, VIEWS
from convcg_assets.tables.settings import load_settings
from convcg_assets.tables.table import ALL_CELLS
from convcg_model.index import load_bundle

from .deployment import Idle

MODEL_DAY = dt.date(2026, 3, 15)
LOGS = Days(dt.date(2026, 3, 9), dt.date(2026, 3, 14))
KNOWN = Days(dt.date(2026, 3, 10), MODEL_DAY)
ROWS = {
    "impressions": 2185,
    "engagements": 168,
    "conversions": 10,
    "pins": 6150,
    "users": 360,
    "rejected_events": 17,
    "attributed_conversions": 10,
    "conversion_delay": 836,
    "label_maturity": 222,
    "weighted_labels": 175,
    "hard_negatives": 204,
    "user_features": 360,
    "pin_features": 6150,
    "training_examples": 233,
}
"""As that release counted them."""
MODEL_DAYS = Days(MODEL_DAY, MODEL_DAY)
CHANGED = {
    "attributed_conversions": LOGS,
    "linked_engagements": LOGS,
    "weighted_labels": LOGS,
    "hard_negatives": LOGS,
    "user_features": KNOWN,
    "pin_features": KNOWN,
    "daily_user_counts": LOGS,
    "daily_pin_counts": LOGS,
    "daily_actions": LOGS,
    "example_features": LOGS,
    "training_examples": MODEL_DAYS,
    "evaluation_report": MODEL_DAYS,
    "serving_features": MODEL_DAYS,
    "promotion": MODEL_DAYS,
    "candidates": MODEL_DAYS,
}
"""What gives other rows since: touches of one moment are drawn, a catalogue holds until the next,
and what a user had acted on or bought counts as seen. Daily counts and the examples' features
are stored by themselves since, and so is which impression an engagement belongs to; what was stored
of the examples is a view of them. What serves is new."""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    home = tmp_path_factory.mktemp("release_0_1")
    with tarfile.open(Path(__file__).with_name("release_0_1.tar.xz")) as packed:
        packed.extractall(home, filter="data")
    source = load_source(home / "source.yaml")
    return Deployment(
        source=source,
        source_file=home / "source.yaml",
        settings=load_settings(home / "settings.yaml"),
        home=home,
        lake=Lake(str(home / "lake"), source.id_types),
        tracking_uri=f"sqlite:///{home / 'mlflow.db'}",
        ledger_url=f"sqlite:///{home / 'ledger.db'}",
    )


def test_only_what_has_changed_is_stale(before: Deployment) -> None:
    found = read_status(before, runs=Idle())
    assert found.staleness.logs == LOGS
    stale = {table: set(days) for table, days in found.staleness.stale.items() if days}
    assert stale == {table: set(days) for table, days in CHANGED.items()}
    requested = [request.table for request in found.plan.requests]
    daily = ["daily_user_counts", "daily_pin_counts", "daily_actions"]
    assert requested == ["attributed_conversions", "linked_engagements", *daily]


def test_all_rows_are_read(before: Deployment, con: Backend) -> None:
    every = Days(LOGS.first, MODEL_DAY)
    counts = {table: sum(before.lake.num_rows(table, every, con=con).values()) for table in ROWS}
    assert counts == ROWS


@pytest.mark.parametrize("table", ROWS)
def test_rows_have_the_digests_that_they_had(
    before: Deployment, con: Backend, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if table == "impressions":  # They were one cell then.
        monkeypatch.setitem(TABLES, table, dataclasses.replace(TABLES[table], cell=None))
    version = before.lake.snapshot(table)
    assert version is not None
    recorded = before.ledger.facts([table])[table].contents
    files = [file for of_day in version.files.values() for file in of_day]
    for day, cells in digest_days(table, files, con=con).items():
        assert recorded[day, version.key(day)] == cells, day


def test_days_that_were_one_cell_matter_to_all_who_read_a_cell(before: Deployment) -> None:
    found = read_status(before, runs=Idle()).state
    for day in LOGS:
        whole = found["impressions"].digest(day, ALL_CELLS)
        assert whole is not None
        assert found["impressions"].digest(day, (day, day)) == whole
        never = (dt.date(2000, 1, 1), dt.date(2000, 1, 1))
        assert found["impressions"].digest(day, never) == whole
        assert found["attributed_conversions"].digest(day, never) is None


def known_then(rows: Lake | Rows, *, con: Backend, tables: list[str]) -> dict[str, list[str]]:
    """All rows, without the columns that were added since."""
    known = {}
    for table in tables:
        columns = [c for c, column in TABLES[table].columns.items() if not column.added]
        days = MODEL_DAYS if table in VIEWS else Days(LOGS.first, MODEL_DAY)
        every = rows.read(table, days, con=con).select(columns)
        known[table] = sorted(map(repr, con.to_pyarrow(every).to_pylist()))
        assert known[table], table
    return known


def test_built_again_the_rows_are_the_same(before: Deployment, con: Backend) -> None:
    """Stored or not: the view of the examples gives what was stored of them."""
    tables = [table for table in ROWS if table not in RAW_TABLES]
    old = known_then(before.lake, con=con, tables=tables)
    days = {"logs": LOGS, "knowledge": KNOWN, "models": MODEL_DAYS}
    for table in (table for table in before.tables if table not in RAW_TABLES):
        build_table(before, table, days[DERIVED[table].domain], con=con)
    assert known_then(Rows(before), con=con, tables=tables) == old


def test_what_was_stored_of_a_view_goes(before: Deployment) -> None:
    view = "training_examples"
    assert {done.table: done.num_files for done in clean(before, dry_run=True)}[view] == 1
    assert before.lake.days(view) == [MODEL_DAY]
    assert {done.table: done.num_files for done in clean(before)}[view] == 1
    assert before.lake.days(view) == []
    assert {done.table: done.num_files for done in clean(before)}[view] == 0


def test_model_and_index_are_loaded(before: Deployment) -> None:
    model = before.models / f"dt={MODEL_DAY}"
    bundle = load_bundle(before.indexes / f"dt={MODEL_DAY}", checkpoint=model)
    assert len(bundle.pin_ids) == bundle.index.ntotal == 1050
