"""The Dagster instance of a deployment: below its home folder, unless `DAGSTER_HOME` says else."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

import dagster as dg

from convcg_assets.commands.console import Failure
from convcg_assets.defs.storage import VARIABLE
from convcg_assets.deployment import Deployment
from convcg_assets.sources.landed import days_with_folders


@contextmanager
def open_instance(deployment: Deployment) -> Iterator[dg.DagsterInstance]:
    """The instance that `DAGSTER_HOME` names, `dagster` in the home folder by default.

    `dagster dev` with the same `DAGSTER_HOME` shows what a command built. Raises Failure where
    there is no home folder, and nothing that could be built in it, or where the environment names a
    storage that this home's `dagster.yaml` does not ask for.
    """
    _make_home(deployment)
    home = Path(os.environ.get("DAGSTER_HOME") or deployment.home / "dagster").resolve()
    os.environ["DAGSTER_HOME"] = str(home)
    home.mkdir(parents=True, exist_ok=True)
    written = home / "dagster.yaml"
    if not written.exists():
        with as_file(files("convcg_assets") / "defs" / "dagster.yaml") as packaged:
            shutil.copyfile(packaged, written)
    elif os.environ.get(VARIABLE) and VARIABLE not in written.read_text(encoding="utf-8"):
        raise Failure(
            f"{VARIABLE} is set, and {written} of an earlier release does not ask for it: remove "
            "that file, and it is written anew"
        )
    with dg.DagsterInstance.get() as instance:
        yield instance


def _make_home(deployment: Deployment) -> None:
    """The home folder, for a deployment that is new; a mistyped one has no logs."""
    if deployment.home.is_dir():
        return
    if not days_with_folders(deployment.source):
        raise Failure(
            f"the home folder {deployment.home} does not exist, and nothing has landed below "
            f"{deployment.source.landing}: name the folder in CONVCG_HOME, or run `convcg demo`"
        )
    deployment.home.mkdir(parents=True)
