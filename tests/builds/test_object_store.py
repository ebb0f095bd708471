"""A lake in an object store holds what one in a folder does, also after repairs."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.cleanup import clean, purge
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import Lake
from convcg_assets.tables.registry import TABLES, VIEWS

from ..object_store import SECRET
from .deployment import build_once, contents, converge, make_deployment
from .logs import Landing, day, make_source

pytestmark = pytest.mark.s3
NUM_DAYS = 3
STORED = [table for table in TABLES if table not in VIEWS]


def opened(home: Path, landing: Landing, root: str | None = None) -> Deployment:
    made = make_deployment(home, make_source(landing.root, adjusts=True, merges=True))
    return made if root is None else dataclasses.replace(made, lake=Lake(root, made.lake.id_types))


def test_tables_are_equal_and_stay_equal(tmp_path: Path, bucket: str, con: Backend) -> None:
    landing = Landing(tmp_path / "landing", Random(3), adjusts=True, merges=True)
    for offset in range(NUM_DAYS):
        landing.land(offset)
    folder = opened(tmp_path / "folder", landing)
    store = opened(tmp_path / "store", landing, f"{bucket}/{tmp_path.name}/lake")
    for deployment in (folder, store):
        build_once(deployment, landing.days, con=con)
    assert contents(store, con=con, tables=STORED) == contents(folder, con=con, tables=STORED)

    landing.add_late_file("conversions", day(2))
    landing.correct(day(1))
    built = [converge(deployment, con=con) for deployment in (folder, store)]
    assert built[0] == built[1], "the digests of rows are the same wherever they lie"
    assert contents(store, con=con, tables=STORED) == contents(folder, con=con, tables=STORED)

    before = contents(store, con=con, tables=STORED)
    clean(store)
    assert sum(purge(store).values()) > 0, "files that were replaced"
    assert contents(store, con=con, tables=STORED) == before


@pytest.mark.usefixtures("bucket")
def test_a_store_that_is_not_there_is_told_without_what_opens_it(tmp_path: Path) -> None:
    """In a process of its own: the libraries wait long for what does not answer."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CONVCG_")}
    environment |= {"CONVCG_HOME": str(tmp_path), "CONVCG_LAKE": "s3://no-such-bucket/lake"}
    done = subprocess.run(
        [sys.executable, "-m", "convcg_assets.commands.main", "status"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "the lake at s3://no-such-bucket/lake does not answer" in said
    assert "AWS_ENDPOINT_URL" in said
    assert "Traceback" not in said
    assert SECRET not in said
