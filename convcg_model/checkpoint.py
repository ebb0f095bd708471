"""A trained model as a folder: weights, static Pins, and a JSON of what made it."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from convcg_model.atomic_folder import atomic_folder, check_files, file_checksums
from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.features import FeatureSpec
from convcg_model.formats import FORMATS, legacy_fields
from convcg_model.towers import TwoTower
from convcg_model.trained_model import TrainedModel

DESCRIPTION, WEIGHTS, PINS = "model.json", "weights.pt", "pins.parquet"


def save_checkpoint(
    model: TrainedModel, path: Path, *, provenance: dict[str, Any] | None = None
) -> str:
    """Write the model as a folder, atomically, and return its model version.

    `provenance` is JSON that says what made it, such as the versions of the tables read.
    """
    with atomic_folder(path) as folder:
        weights = {name: tensor.cpu() for name, tensor in model.network.state_dict().items()}
        torch.save(weights, folder / WEIGHTS)
        pq.write_table(model.static, folder / PINS)
        description = {
            "format": model.format,
            "model_version": model.model_version,
            "config": model.config.model_dump(mode="json"),
            "training": model.training.model_dump(mode="json"),
            "course": model.course,
            "provenance": provenance or {},
            "checksums": file_checksums(folder, [WEIGHTS, PINS]),
            "features": model.spec.model_dump(mode="json"),
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1))
    return model.model_version


def load_checkpoint(path: Path, *, device: str = "cpu") -> TrainedModel:
    """The model of a checkpoint; ValueError where a file is missing, damaged or was changed."""
    description = read_description(path)
    check_files(path, description["checksums"])
    unsaid = legacy_fields(description["format"])
    config = ModelConfig.model_validate(unsaid | description["config"])
    spec = FeatureSpec.model_validate(description["features"])
    network = TwoTower(spec, config)
    network.load_state_dict(torch.load(path / WEIGHTS, weights_only=True, map_location="cpu"))
    model = TrainedModel(
        network=network.to(device).eval(),
        spec=spec,
        config=config,
        training=TrainingConfig.model_validate(description["training"]),
        static=pq.read_table(path / PINS),
        course=description.get("course", {}),
        format=description["format"],
    )
    if model.model_version != description["model_version"]:
        raise ValueError(
            f"{path / DESCRIPTION}: model_version is {description['model_version'][:12]}..., but "
            f"its contents make {model.model_version[:12]}...; the file was changed"
        )
    return model


def read_description(path: Path) -> dict[str, Any]:
    """What `model.json` of a checkpoint says, without loading the model."""
    if not (path / DESCRIPTION).is_file():
        raise ValueError(f"{path}: no {DESCRIPTION}; a checkpoint is a folder that has one")
    description = json.loads((path / DESCRIPTION).read_text())
    if description.get("format") not in FORMATS:
        raise ValueError(
            f"{path / DESCRIPTION}: format is {description.get('format')!r}, but this release "
            f"reads {' and '.join(map(str, FORMATS))}"
        )
    return description
