"""Rebuilt when all has arrived, what was known on a day is what it was on that day."""

from pathlib import Path
from random import Random

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.days import Days

from .deployment import build_once, contents, converge, make_deployment, tables_of_day
from .logs import Landing, day, make_source

NUM_DAYS = 6
KNOWN_ON_THE_DAY = (
    "training_examples",
    "user_features",
    "pin_features",
    "conversion_delay",
    "label_maturity",
)


@pytest.mark.parametrize(("seed", "adjusts"), [(0, False), (1, False), (2, True)])
def test_what_was_known_on_a_day_stays_so(
    seed: int, adjusts: bool, tmp_path: Path, con: Backend
) -> None:
    landing = Landing(tmp_path / "landing", Random(seed), adjusts=adjusts)
    lived = make_deployment(tmp_path / "lived", make_source(landing.root, adjusts=adjusts))
    known: dict[tuple[str, int], list[str]] = {}
    for offset in range(NUM_DAYS):
        landing.land(offset)
        tomorrow = day(offset + 1)
        converge(lived, con=con)
        build_table(lived, "training_examples", Days(tomorrow, tomorrow), con=con)
        for table, rows in contents(lived, con=con, tables=KNOWN_ON_THE_DAY).items():
            known[table, offset + 1] = tables_of_day(tomorrow, rows)

    models = [day(offset + 1) for offset in range(NUM_DAYS)]
    later = make_deployment(tmp_path / "later", lived.source)
    build_once(later, landing.days, con=con, models=models)
    rebuilt = contents(later, con=con, tables=KNOWN_ON_THE_DAY)
    for (table, offset), rows in known.items():
        assert rows == tables_of_day(day(offset), rebuilt[table]), (table, offset)
    assert all(known[table, NUM_DAYS] for table in KNOWN_ON_THE_DAY)
