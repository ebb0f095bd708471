"""The Dagster instance of a deployment: below its home folder, unless `DAGSTER_HOME` says else."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

import dagster as dg

from convcg_assets.deployment import Deployment


@contextmanager
def open_instance(deployment: Deployment) -> Iterator[dg.DagsterInstance]:
    """The instance that `DAGSTER_HOME` names, `dagster` in the home folder by default.

    `dagster dev` with the same `DAGSTER_HOME` shows what a command built.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or deployment.home / "dagster").resolve()
    os.environ["DAGSTER_HOME"] = str(home)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        with as_file(files("convcg_assets") / "defs" / "dagster.yaml") as packaged:
            shutil.copyfile(packaged, home / "dagster.yaml")
    with dg.DagsterInstance.get() as instance:
        yield instance
