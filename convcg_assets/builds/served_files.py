"""What was made for serving, beside the tables: what is old goes, and rows of the forgotten."""

import shutil
from pathlib import Path

from deltalake import DeltaTable
from ibis.backends.duckdb import Backend

from convcg_assets.builds.forgotten import Forgotten
from convcg_assets.deployment import Deployment
from convcg_assets.tables.artifacts import CANDIDATES

KEEP_FEATURE_DAYS = 3
"""A server goes back to an older day where the newest cannot be read."""


def remove_old_features(deployment: Deployment, *, dry_run: bool = False) -> list[Path]:
    """Remove the features of all but the newest days."""
    old = sorted(deployment.features.glob("dt=????-??-??"))[:-KEEP_FEATURE_DAYS]
    if not dry_run:
        for folder in old:
            shutil.rmtree(folder)
    return old


def forget_candidates(deployment: Deployment, people: Forgotten, *, con: Backend) -> int:
    """Remove the rows of people from the candidates, and the files that held them; how many."""
    path = deployment.lake.path(CANDIDATES.name)
    if not people.digests or not DeltaTable.is_deltatable(path):
        return 0
    delta = DeltaTable(path)
    files = ", ".join(f"'{file}'" for file in delta.file_uris())
    if not files:
        return 0
    asked = (
        f"SELECT user_id, count(*) FROM read_parquet([{files}]) WHERE {people.is_user('user_id')}"
    )
    found = con.con.execute(f"{asked} GROUP BY user_id").fetchall()
    for user_id, _num in found:
        literal = user_id if isinstance(user_id, int) else "'" + user_id.replace("'", "''") + "'"
        delta.delete(f"user_id = {literal}")
    delta.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)
    return sum(num for _user_id, num in found)
