"""Backtest: models of past days as they would have been on those days, judged by what is known now.

A training set of T holds what was known before T, whenever it is read, so a model of a past day can
be trained today. Nothing here touches the models, indexes and reports that serve.
"""

import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from convcg_assets.builds.build import EXAMPLES
from convcg_assets.builds.ripened import judged_rows, newest_rows
from convcg_assets.builds.staleness import digest_of
from convcg_assets.builds.views import load_whole_state, view_detail
from convcg_assets.days import Days
from convcg_assets.defs.baselines import BASELINES, baseline_scorers
from convcg_assets.defs.model import training_input
from convcg_assets.defs.resources import Warehouse
from convcg_assets.defs.tracking import track_run
from convcg_assets.tables.artifacts import as_of
from convcg_assets.tables.table import ALL_CELLS, DAY
from convcg_model.atomic_folder import atomic_folder
from convcg_model.checkpoint import load_checkpoint, read_description, save_checkpoint
from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.evaluation.over_time import Point, points, rank_day
from convcg_model.evaluation.result import EvaluationConfig
from convcg_model.formats import training_that_decides
from convcg_model.trained_model import TrainedModel

MAX_QUERIES = 5_000
DAILY = ("weighted_labels", "hard_negatives", "example_features")
"""Tables with a day for each day of logs, of which training examples are made."""
RANKS, DONE = "ranks.parquet", "done.json"
Say = Callable[[str], None]


class Candidate(BaseModel):
    """Settings of a model to try: what differs from the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^\w[\w .-]*$", description="of its folder and its column")
    model: dict[str, Any] = Field(default={})
    training: dict[str, Any] = Field(default={})

    @property
    def settings(self) -> str:
        """What differs, in short; empty: nothing."""
        said = {"model": self.model, "training": self.training}
        return (
            json.dumps({k: v for k, v in said.items() if v}, sort_keys=True)
            if any(said.values())
            else ""
        )


def read_candidate(path: Path) -> Candidate:
    """Settings from a YAML file with `model` and `training`; its name is the file's, or `name`.

    ValueError naming the file, the key and what was expected.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        found = Candidate.model_validate({"name": path.stem} | content)
    except ValidationError as error:
        raise _fault(path, error) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as settings: {error}") from None
    if found.name in BASELINES:
        raise ValueError(f"{path}: name: {found.name!r} is a baseline's; give it another `name`")
    sections = {"model": (ModelConfig, found.model), "training": (TrainingConfig, found.training)}
    for section, (kind, values) in sections.items():
        try:
            kind.model_validate(values)
        except ValidationError as error:
            raise _fault(path, error, section) from None
    return found


def _fault(path: Path, error: ValidationError, *section: str) -> ValueError:
    faults = [f"  {'.'.join(map(str, (*section, *e['loc'])))}: {e['msg']}" for e in error.errors()]
    return ValueError("\n".join([f"{path}:", *faults]))


class Backtest:
    """The models of some days, by the settings of some candidates, below one folder."""

    def __init__(self, warehouse: Warehouse, folder: Path, candidates: Sequence[Candidate]) -> None:
        names = [candidate.name for candidate in candidates]
        if len(set(names)) < len(names):
            raise ValueError(f"two settings have the same name: {', '.join(names)}")
        self.warehouse = warehouse
        self.folder = folder
        self.candidates = candidates
        self.skipped: dict[dt.date, str] = {}
        self.unripe: dict[dt.date, dt.date] = {}

    def run(self, days: Sequence[dt.date], *, say: Say) -> list[Point]:
        """Train and judge what is not there yet; the figures of all days.

        A day that cannot be is told in `skipped`; `unripe` says as of when those were judged whose
        last milestone has not come. What was done stays when this is cut off.
        """
        ranked = {}
        for day in days:
            reason = self._why_not(day)
            if reason is not None:
                self.skipped[day] = reason
                say(f"{day}: left out, {reason}")
                continue
            models = {c.name: self._model(day, c, say=say) for c in self.candidates}
            ranked[day] = self._ranks(day, models, say=say)
        if not ranked:
            return []
        first = next(iter(ranked.values()))
        scorers = [n.removeprefix("rank: ") for n in first.column_names if n.startswith("rank: ")]
        return points(ranked, scorers=scorers, config=self._config())

    def _why_not(self, day: dt.date) -> str | None:
        deployment = self.warehouse.deployment
        state = load_whole_state(deployment, ["training_examples", "impressions"])
        logs = state.tables["impressions"].keys
        if not logs or day > max(logs) + DAY:
            return f"the logs before it end on {max(logs)}" if logs else "there are no logs"
        holdout = deployment.settings.examples.holdout_days
        if (day - min(logs)).days <= holdout:
            return f"the last {holdout} days before it are the holdout: none is left to learn from"
        # A view reads what is there: without this a model would learn from fewer days unsaid.
        recipe = deployment.recipes["training_examples"]
        missing: dict[str, list[dt.date]] = {}
        for table in DAILY:
            built = state.tables[table].built_days()
            window = recipe.input(table).days(Days(day, day))
            lacks = [d for d in window if d in logs and d not in built]
            missing |= {table: lacks} if lacks else {}
        if missing:
            lacking = sorted({d for days in missing.values() for d in days})
            only = " ".join(f"--only {table}" for table in missing)
            return (
                f"{len(lacking)} days before it are not built of {', '.join(missing)}: "
                f"`convcg run --first-day {lacking[0]} --last-day {lacking[-1]} {only}`"
            )
        return None

    def _model(self, day: dt.date, candidate: Candidate, *, say: Say) -> TrainedModel:
        """The model of a day; trained again where its settings or its examples are others."""
        from convcg_model.training import fit

        deployment = self.warehouse.deployment
        folder = self.folder / "models" / candidate.name / f"dt={day}"
        made_of = self._made_of(day, candidate)
        if (folder / "model.json").is_file():
            if read_description(folder)["provenance"].get("backtest") == made_of:
                return load_checkpoint(folder)
            say(f"{day} {candidate.name}: settings or examples have changed, trained again")
        say(f"{day} {candidate.name}: training ...")
        partial = folder.with_name(f"partial-{day}-{made_of}")
        with (
            self.warehouse.build(
                "two_tower_checkpoint", Days(day, day), run_id=f"backtest {day}"
            ) as build,
            training_input(build, day) as given,
            track_run(
                f"backtest {candidate.name} {day}",
                tracking_uri=deployment.tracking_uri,
                artifacts=(deployment.home / "mlartifacts").as_uri(),
                tags={
                    "asset": "backtest",
                    "backtest": self.folder.name,
                    "candidate": candidate.name,
                    "partition": str(day),
                },
            ) as run,
        ):
            run.log_params({"model": candidate.model, "training": candidate.training})
            model = fit(
                given.examples,
                given.pins,
                config=ModelConfig.model_validate(candidate.model),
                training=TrainingConfig.model_validate(candidate.training),
                first_day=deployment.source.first_day,
                checkpoint_dir=partial,
                array_folder=given.folder / "arrays",
                progress=False,
            )
            save_checkpoint(model, folder, provenance=given.provenance | {"backtest": made_of})
        shutil.rmtree(partial, ignore_errors=True)
        return model

    def _made_of(self, day: dt.date, candidate: Candidate) -> str:
        """Digest of what a model follows from."""
        recipe = self.warehouse.deployment.recipes[EXAMPLES]
        state = load_whole_state(self.warehouse.deployment, [EXAMPLES, "pin_features"])
        pins = state["pin_features"].digest(day, ALL_CELLS)
        examples = digest_of(view_detail(recipe, day, state))
        decides = training_that_decides(candidate.training)
        return _digest(candidate.model, decides, examples, pins)

    def _ranks(self, day: dt.date, models: dict[str, TrainedModel], *, say: Say) -> Any:
        """The day's queries ranked by all models and the baselines; kept as a file."""
        from convcg_model.evaluation.scorers import model_scorer

        folder = self.folder / "ranks" / f"dt={day}"
        with self.warehouse.build(
            "evaluation_report", Days(day, day), run_id=f"backtest {day}"
        ) as build:
            settings = self.warehouse.settings.evaluation
            known_before = as_of(day, newest=build.newest, settings=settings)
            versions = {name: model.model_version for name, model in models.items()}
            if known_before < day + max(settings.repeat_after_days, default=0) * DAY:
                self.unripe[day] = known_before
            key = _digest(str(known_before), versions, build.details[day])
            done = folder / DONE
            if done.is_file() and json.loads(done.read_text())["key"] == key:
                return pq.read_table(folder / RANKS)
            say(f"{day}: judged as of {known_before} ...")
            examples, pins = judged_rows(build, day, known_before=known_before)
        catalogue = newest_rows(pins)
        scorers = {n: model_scorer(model, catalogue=catalogue) for n, model in models.items()}
        ranked = rank_day(
            examples,
            pin_features=pins,
            scorers=scorers | baseline_scorers(examples)[0],
            config=self._config(),
        )
        said = {"key": key, "as_of": str(known_before), "models": versions}
        with atomic_folder(folder) as unfinished:
            pq.write_table(ranked, unfinished / RANKS)
            (unfinished / DONE).write_text(json.dumps(said))
        return ranked

    def _config(self) -> EvaluationConfig:
        return EvaluationConfig(
            max_queries=MAX_QUERIES,
            max_maturity_factor=self.warehouse.settings.delay.max_maturity_factor,
        )


def track_points(found: Sequence[Point], warehouse: Warehouse, *, name: str) -> None:
    """Keep the pooled figures, and each day's as a step, in one MLflow run."""
    deployment = warehouse.deployment
    days = sorted({point.day for point in found if point.day is not None})
    with track_run(
        f"backtest {name}",
        tracking_uri=deployment.tracking_uri,
        artifacts=(deployment.home / "mlartifacts").as_uri(),
        tags={"asset": "backtest", "backtest": name},
    ) as run:
        run.log_params({"days": f"{days[0]} to {days[-1]}", "num_days": len(days)})
        for point in found:
            metric = f"{point.task}_recall_{point.place}_{point.scorer}".replace(" ", "_")
            if point.day is None:
                run.log_metrics({f"{metric}_pooled": point.value})
            else:
                run.log_metrics({metric: point.value}, step=days.index(point.day))


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
