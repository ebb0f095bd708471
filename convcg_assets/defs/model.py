"""The model: a two-tower model trained on the examples of its day."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field, ValidationInfo, field_validator

from convcg_assets.builds.build import EXAMPLES, Build
from convcg_assets.builds.staleness import digest_of
from convcg_assets.builds.views import view_detail
from convcg_assets.builds.working import working_folder
from convcg_assets.days import Days
from convcg_assets.defs.metadata import inline_figure, markdown_table
from convcg_assets.defs.partitions import daily_by, daily_partitions, run_days, upstream
from convcg_assets.defs.resources import Warehouse
from convcg_assets.defs.tracking import track_run
from convcg_assets.deployment import Deployment
from convcg_assets.lake.engine import stream_rows
from convcg_assets.sources.columns import STREAMS
from convcg_assets.tables.registry import VIEWS


class TwoTowerConfig(dg.Config):
    """Settings of the towers and of their training, by the names of `convcg_model.config`."""

    model: dict[str, Any] = Field(
        default_factory=dict, description="fields of ModelConfig that differ from its defaults"
    )
    training: dict[str, Any] = Field(
        default_factory=dict, description="fields of TrainingConfig that differ from its defaults"
    )

    @field_validator("model", "training")
    @classmethod
    def _known_fields(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        from convcg_model.config import ModelConfig, TrainingConfig

        (ModelConfig if info.field_name == "model" else TrainingConfig).model_validate(value)
        return value


@dg.asset(
    deps=upstream("two_tower_checkpoint"),
    partitions_def=daily_partitions,
    freshness_policy=daily_by(hour=9),
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="model",
    kinds={"pytorch", "mlflow"},
    owners=["team:ads-ml"],
)
def two_tower_checkpoint(
    context: dg.AssetExecutionContext, warehouse: Warehouse, config: TwoTowerConfig
) -> None:
    """A trained model of day T: DCN v2 beside an MLP in both towers, one head for both tasks.

    Tracked in MLflow with the versions of the tables that it was trained on; a training that was
    killed goes on where it stopped. What was trained on the same examples with the same settings
    already is kept: training again would end in the same bytes.
    """
    from convcg_model.formats import training_that_decides

    settings = config.model_dump()
    settings["training"] = training_that_decides(settings["training"])
    for day in run_days(context):
        with warehouse.build(
            "two_tower_checkpoint", Days(day, day), run_id=context.run_id
        ) as build:
            check_looked_at(build, day)
            if build.is_artifact_built(day, settings=settings):
                metadata = _describe_kept(warehouse.deployment.models / f"dt={day}")
            else:
                metadata = _train(day, warehouse, config, build)
                build.record_artifact(day, settings=settings)
        context.add_asset_metadata(
            metadata, asset_key="two_tower_checkpoint", partition_key=str(day)
        )


def _describe_kept(path: Path) -> dict[str, Any]:
    from convcg_model.checkpoint import read_description

    return {
        "model_version": read_description(path)["model_version"],
        "path": dg.MetadataValue.path(str(path)),
        "kept": "trained before on the same examples with the same settings",
    }


@dataclass(frozen=True)
class TrainingInput:
    """What a model of a day is trained on, and what is recorded of that; files lie in `folder`."""

    examples: pa.Table
    pins: pa.Table
    provenance: dict[str, Any]
    folder: Path


@contextmanager
def training_input(build: Build, day: date) -> Iterator[TrainingInput]:
    """The examples of a day as mapped files, for as long as the block lasts, and its Pins.

    `build` is one of `two_tower_checkpoint`. ValueError where there is nothing to learn from.
    """
    from convcg_model.example_file import write_examples

    deployment, con = build.deployment, build.con
    stored = [table for table in deployment.tables if table not in VIEWS]
    versions = {table: deployment.lake.version(table) for table in stored} | {
        table: read.version.number for table, read in build.state.tables.items() if read.version
    }
    provenance = {
        "day": str(day),
        "source": deployment.source.name,
        "table_versions": versions,
        "examples": view_detail(deployment.recipes[EXAMPLES], day, build.state),
    }
    pins = con.to_pyarrow(build.read("pin_features"))
    schema = deployment.lake.schema(EXAMPLES)
    with working_folder(deployment.training_files) as folder:
        with stream_rows(build.training_rows(), schema=schema, con=con) as batches:
            examples = write_examples(batches, schema.to_pyarrow(), folder / "examples.arrow")
        check_trainable(examples, pins, day=day, deployment=deployment)
        yield TrainingInput(examples, pins, provenance, folder)


def _train(day: date, warehouse: Warehouse, config: TwoTowerConfig, build: Build) -> dict[str, Any]:
    from convcg_model.checkpoint import save_checkpoint
    from convcg_model.config import ModelConfig, TrainingConfig
    from convcg_model.content import num_of_other_versions
    from convcg_model.determinism import numerics
    from convcg_model.training import fit

    deployment = warehouse.deployment
    model_config = ModelConfig.model_validate(config.model)
    training_config = TrainingConfig.model_validate(config.training)
    history: list[tuple[int, dict[str, float]]] = []
    with (
        training_input(build, day) as given,
        track_run(
            f"two_tower_checkpoint {day}",
            tracking_uri=deployment.tracking_uri,
            artifacts=(deployment.home / "mlartifacts").as_uri(),
            tags={"asset": "two_tower_checkpoint", "partition": str(day)},
        ) as run,
    ):
        versions = given.provenance["table_versions"]
        run.log_params(
            {"model": model_config.model_dump(), "training": training_config.model_dump()}
        )
        run.log_params({"table_versions": versions})
        model = fit(
            given.examples,
            given.pins,
            config=model_config,
            training=training_config,
            first_day=deployment.source.first_day,
            checkpoint_dir=deployment.models / "partial" / f"dt={day}",
            array_folder=given.folder / "arrays",
            on_step=lambda step, metrics: history.append((step, metrics)),
        )
        run.log_history(history)
        path = deployment.models / f"dt={day}"
        made = {
            "mlflow_run_id": run.run_id,
            "loss_history": history,
            "numerics": numerics(processes=training_config.processes),
        }
        version = save_checkpoint(model, path, provenance=given.provenance | made)
        chosen = ("batch_size", "id_dropout", "min_pin_count", "direction_scale")
        chosen += ("best_step", "search_steps")
        settled = model.training.model_dump() | model.config.model_dump() | model.course
        run.log_params({"model_version": version})
        run.log_params({"chosen": {name: settled.get(name) for name in chosen}})
        run.log_artifacts(str(path), to="checkpoint")
        num_examples, pins = given.examples.num_rows, given.pins
    return {
        "model_version": version,
        "path": dg.MetadataValue.path(str(path)),
        "examples": num_examples,
        "steps": len(history),
        "mlflow_run": run.run_id,
        "content_version": model.spec.content_version or "not named",
        "pins_with_other_content": num_of_other_versions(pins, model.spec.content_version),
        "loss": _plot_losses(history),
        "table_versions": dg.MetadataValue.md(markdown_table([versions])),
        **{f"last_{name}": value for name, value in history[-1][1].items()},
    }


def check_looked_at(build: Build, day: date) -> None:
    """ValueError where no build has looked at the examples as they are: no check has seen them."""
    made_of = view_detail(build.deployment.recipes[EXAMPLES], day, build.state)
    if not build.state[EXAMPLES].is_built_from(day, digest_of(made_of)):
        raise ValueError(
            f"{EXAMPLES} of {day} are not built, or rest on what has changed since: build them "
            f"first (`convcg run --last-day {day - timedelta(days=1)} --only {EXAMPLES} --only "
            "two_tower_checkpoint`), so that their checks see what the model learns from"
        )


def check_trainable(
    examples: pa.Table, pins: pa.Table, *, day: date, deployment: Deployment
) -> None:
    """ValueError where training could not end in a model that finds something.

    `examples` are those of the train split.
    """
    if not pins.num_rows:
        raise ValueError(
            f"pin_features of {day} is empty: there is no Pin to embed, so the index would be "
            "empty. Land a catalogue (a snapshot holds until the next one), or events of the days "
            f"before {day}"
        )
    if examples["task"].null_count == examples.num_rows:
        settings = deployment.settings.examples
        until = day - timedelta(days=settings.holdout_days)
        streams = [name for name in STREAMS if deployment.source.stream(name) is not None]
        raise ValueError(
            f"training_examples of {day} hold no positives to learn from: nothing was engaged with "
            f"or converted on in the {settings.training_days} days before {until}, as known before "
            f"{until}. Map engagements or conversions (the source has {', '.join(streams)}), or "
            "land more days"
        )


def _plot_losses(history: list[tuple[int, dict[str, float]]]) -> dg.MarkdownMetadataValue:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    for name in ("loss_conversion", "loss_engagement"):
        points = [(step, values[name]) for step, values in history if name in values]
        if points:
            axes.plot(*zip(*points, strict=True), label=name.removeprefix("loss_"), linewidth=1)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return inline_figure(figure)
