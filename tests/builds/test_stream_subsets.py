"""Every set of streams that a log can consist of gives every table."""

from pathlib import Path
from random import Random

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.days import Days
from convcg_assets.sources.columns import ADJUSTMENTS, MERGES
from convcg_assets.sources.source import Source
from convcg_assets.tables.raw import RAW
from convcg_assets.tables.registry import DERIVED
from convcg_assets.tables.table import DAY

from .deployment import look, make_deployment
from .logs import FIRST_DAY, ID_TYPES, Landing

EVENTS = (
    ("impressions",),
    ("engagements",),
    ("impressions", "engagements"),
    ("impressions", "conversions"),
    ("engagements", "conversions"),
    ("impressions", "engagements", "conversions"),
)
EVERY = EVENTS[-1]
SUBSETS = [
    *((events, ()) for events in EVENTS),
    (("engagements",), ("pins", "users")),
    *((EVERY, snapshots) for snapshots in (("pins",), ("users",), ("pins", "users"))),
    ((*EVERY, ADJUSTMENTS, MERGES), ("pins", "users")),
]
NUM_DAYS = 6
LOGS = Days(FIRST_DAY, FIRST_DAY + (NUM_DAYS - 1) * DAY)
MODEL_DAY = LOGS.last + DAY


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("landing")
    landing = Landing(root, Random(5), adjusts=True, merges=True)
    for offset in range(NUM_DAYS):
        landing.land(offset)
    return root


@pytest.mark.parametrize(("events", "snapshots"), SUBSETS)
def test_every_table_is_built(
    landing: Path,
    tmp_path: Path,
    con: Backend,
    events: tuple[str, ...],
    snapshots: tuple[str, ...],
) -> None:
    streams = (*events, *snapshots)
    given = {"name": "part", "first_day": FIRST_DAY, "landing": landing, "id_types": ID_TYPES}
    source = Source.model_validate({**given, "streams": {stream: {} for stream in streams}})
    deployment = make_deployment(tmp_path / "home", source)
    build_table(deployment, RAW, LOGS, con=con)
    domains = {"logs": LOGS, "knowledge": Days(LOGS.first + DAY, MODEL_DAY)}
    derived = {name: t for name, t in deployment.tables.items() if name in DERIVED}
    assert ("adjusted_conversions" in derived) == (ADJUSTMENTS in streams)
    assert ("user_persons" in derived) == (MERGES in streams)
    for table, entry in derived.items():
        days = domains.get(entry.domain, Days(MODEL_DAY, MODEL_DAY))
        build_table(deployment, table, days, con=con)
    assert not any(look(deployment).staleness.stale.values())

    def num_rows(table: str) -> int:
        days = LOGS.widen(after=1)
        return sum(deployment.lake.num_rows(table, days, con=con).values())

    found = {table: num_rows(table) for table in deployment.tables}
    implied = {"impressions", "pins", "users"}
    assert all(found[stream] for stream in (*streams, *implied)), found
    for stream in {"engagements", "conversions"} - {*streams}:
        assert found[stream] == 0
    if "impressions" not in streams:
        assert found["impressions"] == found["engagements"]
    assert bool(found["attributed_conversions"]) == ("conversions" in streams)
    assert bool(found["weighted_labels"]) == (events != ("impressions",))
    assert bool(found["hard_negatives"]) == ("impressions" in streams)
    assert found["user_features"]
    assert found["pin_features"]
