"""What a training rests on, made once, and kept in a file where several processes train with it."""

import hashlib
import io
import mmap
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.course import Course, plan_course, settle
from convcg_model.features import FeatureSpec, count_pins
from convcg_model.formats import HOW
from convcg_model.repeat_rates import RepeatRates, count_repeats
from convcg_model.sampling import ORDER
from convcg_model.training_set import (
    TrainingSet,
    count_positives,
    fit_catalogue_and_features,
    training_set,
)
from convcg_model.validation import Validation, hold_out_newest


@dataclass(frozen=True)
class Prepared:
    """The examples encoded, and all that follows from the log; the configs hold numbers.

    `fingerprint` is the training's for its partial states.
    """

    config: ModelConfig
    training: TrainingConfig
    spec: FeatureSpec
    data: TrainingSet
    validation: Validation | None
    course: Course
    repeats: RepeatRates
    fingerprint: str


def prepare(
    examples: pa.Table,
    catalogue: pa.Table,
    *,
    config: ModelConfig,
    training: TrainingConfig,
    first_day: date | None = None,
    array_folder: Path | None = None,
) -> tuple[Prepared, pa.Table]:
    """What a training rests on, and the static Pins; the arguments are those of `fit`."""
    pin_counts = count_pins(examples)["count"].to_pylist()
    config, training = settle(
        config, training, num_positives=count_positives(examples), pin_counts=pin_counts
    )
    static, spec = fit_catalogue_and_features(
        examples, catalogue, config=config, first_day=first_day
    )
    data = training_set(
        examples, static, spec, task_weights=training.task_weights, folder=array_folder
    )
    validation = None
    if training.epochs == "auto":
        validation = hold_out_newest(examples, data, training=training)
    known = validation.known if validation else None
    course = plan_course(
        len(data.positive), num_searched=len(known.positive) if known else 0, training=training
    )
    return Prepared(
        config=config,
        training=training,
        spec=spec,
        data=data,
        validation=validation,
        course=course,
        repeats=count_repeats(known or data, seed=training.seed),
        fingerprint=_fingerprint(config, training, spec, data.digest()),
    ), static


def save_prepared(prepared: Prepared, path: Path) -> None:
    """Write it for the processes of this machine; arrays that are files stay where they are."""
    with path.open("wb") as file:
        _Pickler(file, protocol=5).dump(prepared)


def load_prepared(path: Path) -> Prepared:
    """What `save_prepared` wrote, its mapped arrays mapped again; of one's own files only."""
    with path.open("rb") as file:
        return pickle.load(file)


class _Pickler(pickle.Pickler):
    """Names the file of an array that is mapped whole, where pickle would copy its rows."""

    def __init__(self, file: io.BufferedWriter, *, protocol: int):
        super().__init__(file, protocol=protocol)

    def reducer_override(self, obj: Any) -> tuple[Callable[..., np.ndarray], tuple[Any, ...]]:
        if isinstance(obj, np.memmap) and isinstance(obj.base, mmap.mmap):
            return _map_again, (str(obj.filename), obj.dtype.str, obj.shape)
        return NotImplemented


def _map_again(path: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.memmap(path, dtype=np.dtype(dtype), mode="r", shape=shape)


def _fingerprint(
    config: ModelConfig, training: TrainingConfig, spec: FeatureSpec, data_digest: str
) -> str:
    parts = [part.model_dump_json(exclude=HOW.get(type(part))) for part in (config, training, spec)]
    parts.append(ORDER)
    return hashlib.sha256("\n".join([*parts, data_digest]).encode()).hexdigest()[:16]
