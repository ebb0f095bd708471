"""No model is trained on examples that no build has looked at as they are."""

from pathlib import Path
from random import Random

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table, open_build
from convcg_assets.days import Days
from convcg_assets.defs.model import check_looked_at

from ..builds.deployment import build_once, make_deployment
from ..builds.logs import Landing, day, make_source

NUM_DAYS = 4
MODEL = day(NUM_DAYS)
ONE = Days(MODEL, MODEL)


def test_examples_that_have_changed_since_are_refused(tmp_path: Path, con: Backend) -> None:
    landing = Landing(tmp_path / "landing", Random(11))
    for offset in range(NUM_DAYS):
        landing.land(offset)
    deployment = make_deployment(tmp_path / "home", make_source(landing.root))
    build_once(deployment, landing.days, con=con)

    def check() -> None:
        with open_build(deployment, "two_tower_checkpoint", ONE, con=con) as build:
            check_looked_at(build, MODEL)

    with pytest.raises(ValueError, match=f"training_examples of {MODEL} are not built"):
        check()
    build_table(deployment, "training_examples", ONE, con=con)
    check()
    landing.add_late_file("impressions", day(2))
    landing.add_late_file("engagements", day(2))
    for table in ("raw_events", "hard_negatives", "weighted_labels"):
        build_table(deployment, table, Days(day(1), day(3)), con=con)
    with pytest.raises(ValueError, match=r"--only training_examples --only two_tower_checkpoint"):
        check()
