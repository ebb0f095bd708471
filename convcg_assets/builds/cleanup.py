"""Housekeeping of the lake: old files go, but never one that a kept model was trained on."""

import datetime as dt
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable

from convcg_assets.builds.state import artifact_keys
from convcg_assets.builds.views import load_whole_state
from convcg_assets.builds.working import remove_left_behind
from convcg_assets.deployment import Deployment
from convcg_assets.tables.registry import ARTIFACTS, TABLES, VIEWS

KEEP_DAYS = 7
"""Files that were replaced so long ago are read by no run any more."""


@dataclass(frozen=True)
class Cleaned:
    """What was removed of a table, or would be: files of the lake and facts of the ledger."""

    table: str
    num_files: int
    num_facts: int
    kept_versions: tuple[int, ...]


def clean(
    deployment: Deployment, *, keep_days: int = KEEP_DAYS, dry_run: bool = False
) -> list[Cleaned]:
    """Vacuum every table of the lake, and forget facts about files that are gone.

    Stays: the current version, whatever was replaced in the last `keep_days`, and each version that
    a model in the models folder records as what it was trained on. Raises ValueError for less than
    a day, since a run may still read what another has just replaced.
    """
    if keep_days < 1:
        raise ValueError(
            f"keep_days is {keep_days}; it must be at least 1: runs may read old files"
        )
    kept = trained_versions(deployment)
    cleaned = []
    before = dt.datetime.now(dt.UTC).replace(tzinfo=None) - dt.timedelta(days=keep_days)
    for table in (*TABLES, *ARTIFACTS):
        files: list[str] = []
        if table in VIEWS:
            files = _remove_stored(deployment, table, dry_run=dry_run)
        elif table in TABLES and deployment.lake.exists(table):
            files = DeltaTable(deployment.lake.path(table)).vacuum(
                retention_hours=keep_days * 24,
                enforce_retention_duration=False,
                dry_run=dry_run,
                keep_versions=sorted(kept.get(table, ())),
                # Files that no version names were left by a writer that was killed.
                full=True,
            )
        facts = 0 if dry_run else _forget(deployment, table, before=before)
        cleaned.append(Cleaned(table, len(files), facts, tuple(sorted(kept.get(table, ())))))
    if not dry_run:
        remove_left_behind(deployment.training_files)
    return cleaned


def purge(deployment: Deployment) -> dict[str, int]:
    """Remove every file of the lake that is not current, those of kept models' versions too.

    By table the files removed. Nothing else may run: what it reads would be gone.
    """
    removed, now = {}, dt.datetime.now(dt.UTC).replace(tzinfo=None)
    for table in (*TABLES, *ARTIFACTS):
        if table in VIEWS:
            removed[table] = len(_remove_stored(deployment, table, dry_run=False))
        elif table in TABLES and deployment.lake.exists(table):
            removed[table] = len(_vacuum(deployment, table))
        _forget(deployment, table, before=now)
    remove_left_behind(deployment.training_files, older_than_s=0)
    return removed


def trained_versions(deployment: Deployment) -> dict[str, set[int]]:
    """By table, the versions that the kept models were trained on."""
    versions: dict[str, set[int]] = {}
    for path in deployment.models.glob("dt=*/model.json"):
        provenance = json.loads(path.read_text(encoding="utf-8"))["provenance"]
        for table, version in provenance.get("table_versions", {}).items():
            if version is not None and table not in VIEWS:
                versions.setdefault(table, set()).add(version)
    return versions


def _remove_stored(deployment: Deployment, view: str, *, dry_run: bool) -> list[str]:
    """Remove the rows that a release stored in which the view was a table; by file."""
    if not deployment.lake.exists(view):
        return []
    stored = DeltaTable(deployment.lake.path(view))
    files = stored.file_uris()
    if not dry_run:
        if files:
            stored.delete()
        # Also where one that was killed has deleted already: files stay until they are vacuumed.
        _vacuum(deployment, view)
        if Path(deployment.lake.path(view)).is_dir():
            shutil.rmtree(deployment.lake.path(view))
    return files


def _vacuum(deployment: Deployment, table: str) -> list[str]:
    """Remove all files of a table that are not current."""
    return DeltaTable(deployment.lake.path(table)).vacuum(
        retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True
    )


def _forget(deployment: Deployment, table: str, *, before: dt.datetime) -> int:
    if table in ARTIFACTS:
        current = artifact_keys(table, home=deployment.home)
    elif table in VIEWS:
        current = _recorded_keys(deployment, table)
    else:
        version = deployment.lake.snapshot(table)
        current = {day: version.key(day) for day in version.files} if version else {}
    return deployment.ledger.forget(table, current=current, before=before)


def _recorded_keys(deployment: Deployment, view: str) -> dict[dt.date, str]:
    """Of every day that a view was looked at the newest key that is recorded, or its own."""
    if view not in deployment.recipes:
        return {}
    state = load_whole_state(deployment, [view])[view]
    own = {day: key for day, key, _ in state.builds if state.key(day) == key}
    return deployment.ledger.newest_keys(view) | own
