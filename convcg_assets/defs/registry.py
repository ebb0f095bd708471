"""The registry of models: which there are, which one serves, and who moved it when and why.

Every model is a version of one registered model of MLflow, with its bundle; the alias `champion`
says which one serves. A move of the alias is an MLflow run of its own, so that the history lies
beside what it is about. All that knows MLflow's registry is here.
"""

import datetime as dt
import getpass
import hashlib
import json
import os
import shutil
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from convcg_assets.defs.tracking import Run, allowed_name, track_run
from convcg_assets.defs.tracking_store import EXPERIMENT, open_client
from convcg_assets.deployment import Deployment
from convcg_serving.champion import Champion

NAME = "convcg"
ALIAS = "champion"
MODEL_CODE = Path(__file__).with_name("serving_model.py")
MOVE, WITHDRAWN = "move of the champion", "withdrawn"
REGISTERED_FILES = "artifacts"


@dataclass(frozen=True)
class Move:
    """One change of who serves; `before` is None for the first."""

    at: dt.datetime
    by: str
    why: str
    before: str | None
    after: str
    day: dt.date
    forced: bool


@dataclass(frozen=True)
class Version:
    """One registered model. `withdrawn` says why it is not to serve again by itself."""

    model: Champion
    registered: dt.datetime
    serves: bool
    has_files: bool
    withdrawn: str | None
    tags: dict[str, str]


class Registry:
    """The registered models of a deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    @cached_property
    def _client(self) -> Any:
        return open_client(self._deployment.tracking_uri)

    def champion(self) -> Champion | None:
        """What serves; None before the first promotion.

        What the registry raises where it cannot be reached is not caught.
        """
        found = self._by_alias()
        return None if found is None else self._model(found)

    def champion_before(self) -> Champion | None:
        """What served before the champion does; None where nothing did, or its files are gone."""
        moves = self.history()
        before = self.find(moves[0].before) if moves and moves[0].before else None
        return before.model if before is not None and before.has_files else None

    def find(self, version: str) -> Version | None:
        """A registered model by its version."""
        return next((v for v in self.versions() if v.model.version == version), None)

    def withdrawn(self, model_version: str) -> str | None:
        """Why a model was taken out of service, under whatever version; None: it was not."""
        same = (v for v in self.versions() if v.model.model_version == model_version)
        return next((v.withdrawn for v in same if v.withdrawn), None)

    def of_day(self, day: dt.date) -> Version | None:
        """The newest registered model of a day T."""
        return next((v for v in self.versions() if v.model.day == day), None)

    def versions(self) -> list[Version]:
        """All registered models, newest first."""
        champion = self._by_alias()
        found = self._client.search_model_versions(f"name = '{NAME}'")
        listed = [
            Version(
                model=self._model(v),
                registered=_time(v.creation_timestamp),
                serves=champion is not None and champion.version == v.version,
                has_files=self._model(v).bundle.is_dir(),
                withdrawn=v.tags.get(WITHDRAWN),
                tags=dict(v.tags),
            )
            for v in found
            if "day" in v.tags
        ]
        return sorted(listed, key=lambda v: int(v.model.version), reverse=True)

    def register(self, day: dt.date, run: Run) -> Champion:
        """The bundle of day T as a registered model; the one that is there, if it is the same."""
        bundle = self._deployment.indexes / f"dt={day}"
        digest = hashlib.sha256((bundle / "index.json").read_bytes()).hexdigest()
        for version in self.versions():
            if version.tags.get("bundle") == digest and version.has_files:
                return version.model
        tags = {"day": str(day), "bundle": digest, "model_version": _model_version(bundle)}
        number = _log_model(bundle, run_id=run.run_id, tracking_uri=self._deployment.tracking_uri)
        # Without all tags it is none of ours: one whose registration was cut off is never listed.
        for key in ("bundle", "model_version", "day"):
            self._client.set_model_version_tag(NAME, number, key, tags[key])
        return self._model(self._client.get_model_version(NAME, number))

    def tag(self, model: Champion, tags: dict[str, str]) -> None:
        """Say something of a registered model."""
        for key, value in tags.items():
            self._client.set_model_version_tag(NAME, model.version, allowed_name(key), value[:4000])

    def move(self, to: Champion, *, by: str, why: str, forced: bool = False) -> Move:
        """Let a model serve, and keep a record of it.

        The record is begun before the alias moves and ended after: one that was cut off between
        the two is no part of the history.
        """
        before = self._by_alias()
        before_version = None if before is None else str(before.version)
        tags = {
            "asset": MOVE,
            "partition": str(to.day),
            "by": by,
            "why": why,
            "before": before_version or "",
            "after": to.version,
            "forced": str(forced),
        }
        with track_run(
            f"champion: {before_version or 'none'} -> {to.version}",
            tracking_uri=self._deployment.tracking_uri,
            artifacts=(self._deployment.home / "mlartifacts").as_uri(),
            tags=tags,
        ):
            self._client.set_registered_model_alias(NAME, ALIAS, to.version)
            for version in self.versions():
                if version.withdrawn and version.model.model_version == to.model_version:
                    self._client.delete_model_version_tag(NAME, version.model.version, WITHDRAWN)
        return Move(dt.datetime.now(dt.UTC), by, why, before_version, to.version, to.day, forced)

    def withdraw(self, model: Champion, why: str) -> None:
        """Mark a model: no promotion brings it back but a forced one."""
        self.tag(model, {WITHDRAWN: why})

    def history(self) -> list[Move]:
        """Who served when, newest first."""
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return []
        moves, token = [], None
        while True:
            page = self._client.search_runs(
                [experiment.experiment_id],
                f"tags.asset = '{MOVE}' and attributes.status = 'FINISHED'",
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            moves += [_move(run) for run in page]
            token = page.token
            if not token:
                return moves

    def remove_old(self, *, keep: int, dry_run: bool = False) -> list[Champion]:
        """Remove the files of all but the newest registered models, of those that served, and of
        the champion, which always stays; the versions and their tags stay too."""
        with_files = [v for v in self.versions() if v.has_files]
        served = {move.after for move in self.history()[:keep]}
        staying = {v.model.version for v in with_files[:keep]} | served
        gone = [v for v in with_files if v.model.version not in staying and not v.serves]
        if not dry_run:
            for version in gone:
                shutil.rmtree(version.model.bundle)
        return [version.model for version in gone]

    def _by_alias(self) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_model_version_by_alias(NAME, ALIAS)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def _model(self, version: Any) -> Champion:
        tags = version.tags
        root = self._client.get_model_version_download_uri(NAME, version.version)
        return Champion(
            version=str(version.version),
            day=dt.date.fromisoformat(tags["day"]),
            model_version=tags["model_version"],
            bundle=_local(root) / REGISTERED_FILES / f"dt={tags['day']}",
        )


def who() -> str:
    """The person who runs a command: as named, or as the system knows them."""
    named = os.environ.get("CONVCG_USER")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container's user may have no line in /etc/passwd.
        return f"user {os.getuid()}"


def _log_model(bundle: Path, *, run_id: str, tracking_uri: str) -> str:
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec

    mlflow.set_tracking_uri(tracking_uri)
    signature = ModelSignature(params=ParamSchema([ParamSpec("k", "integer", 100)]))
    with warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
        # Advice on hints and examples, which what is read here has no use for.
        warnings.simplefilter("ignore", UserWarning)
        info = mlflow.pyfunc.log_model(
            name=NAME,
            python_model=str(MODEL_CODE),
            artifacts={"bundle": str(bundle)},
            signature=signature,
            pip_requirements=["convcg"],
        )
    client = open_client(tracking_uri)
    try:
        client.create_registered_model(NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(NAME, info.model_uri, run_id, await_creation_for=0)
    return str(made.version)


def _model_version(bundle: Path) -> str:
    return json.loads((bundle / "index.json").read_text(encoding="utf-8"))["model_version"]


def _local(uri: str) -> Path:
    """A file of this machine by its URI; ValueError where a registry keeps them elsewhere."""
    parsed = urlparse(uri)
    if parsed.scheme not in ("", "file"):
        raise ValueError(
            f"registered models lie at {uri}: a folder that this machine can read is expected"
        )
    return Path(unquote(parsed.path))


def _move(run: Any) -> Move:
    tags = run.data.tags
    return Move(
        at=_time(run.info.end_time),
        by=tags["by"],
        why=tags["why"],
        before=tags["before"] or None,
        after=tags["after"],
        day=dt.date.fromisoformat(tags["partition"]),
        forced=tags["forced"] == "True",
    )


def _time(milliseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
