"""The formats of a checkpoint: what the older one did not know, so that it loads as what it was.

Format 1 is of the releases whose model had neither item space nor repeat score nor hashed ids.
"""

from typing import Any

from pydantic import BaseModel

from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.features import FeatureSpec

FORMAT = 2
FORMATS = (1, 2)

_SINCE_2: dict[type[BaseModel], dict[str, Any]] = {
    ModelConfig: {
        "history": "pools",
        "transformer_layers": 1,
        "transformer_heads": 4,
        "transformer_dim": 64,
        "item_space": False,
        "pin_prior": False,
        "repeat_score": False,
        "hashed_ids": False,
        "max_hash_buckets": 2**18,
        "head": "unified",
        "advertiser_loss": "off",
    },
    TrainingConfig: {
        "validation_share": 0.1,
        "max_validation_queries": 2_000,
        "max_validation_pins": 50_000,
        "patience": 4,
        "finish_share": 0.5,
        "max_auto_examples": 2_000_000,
        "advertiser_loss_weight": 0.3,
    },
    FeatureSpec: {"pin_hash_buckets": 0, "first_day": None},
}
"""By config, the fields that format 1 did not have, with the values that say what it did."""


_ADDED: dict[type[BaseModel], dict[str, Any]] = {
    FeatureSpec: {"content_version": None, "longest_history": None},
    ModelConfig: {"direction_scale": 1.0},
    TrainingConfig: {"precision": "float32"},
}
"""Fields that came within a format: at these values they change no version of a model."""

HOW: dict[type[BaseModel], set[str]] = {TrainingConfig: {"processes", "sharded_rows"}}
"""Fields that say how a model is computed: they change no version, whatever they are."""


def training_that_decides(training: dict[str, Any]) -> dict[str, Any]:
    """Fields of a TrainingConfig without those that only say how a model is computed.

    >>> training_that_decides({"epochs": 3, "processes": 2})
    {'epochs': 3}
    """
    return {name: value for name, value in training.items() if name not in HOW[TrainingConfig]}


def legacy_fields(format_number: int) -> dict[str, Any]:
    """What a model config of that format leaves unsaid."""
    since = _SINCE_2[ModelConfig] if format_number == 1 else {}
    return {**_ADDED[ModelConfig], **since}


def version_json(part: BaseModel, *, format_number: int) -> str:
    """A config as its format wrote it: what a model version is made of."""
    unknown = set(_SINCE_2.get(type(part), {})) if format_number == 1 else set()
    unknown |= HOW.get(type(part), set())
    for name, default in _ADDED.get(type(part), {}).items():
        if getattr(part, name) == default:
            unknown.add(name)
    return part.model_dump_json(exclude=unknown)
