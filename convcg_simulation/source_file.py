"""The source file that tells the pipeline how to read a simulated world, and back again."""

import os
from pathlib import Path
from typing import Any

import yaml

from convcg_assets.sources.columns import ADJUSTMENTS, ID_KINDS
from convcg_simulation.config import WorldConfig
from convcg_simulation.world import World

STREAMS = ("impressions", "engagements", "conversions", "pins", "users")
"""The streams that every world has."""


def streams_of(config: WorldConfig) -> tuple[str, ...]:
    """The streams of a world."""
    return (*STREAMS, ADJUSTMENTS) if config.adjusted_share else STREAMS


def describe_source(config: WorldConfig, *, landing: str = "landing") -> dict[str, Any]:
    """What a source file says of a simulated world; `landing` is relative to that file."""
    return {
        "name": "simulated",
        "first_day": config.first_day,
        "landing": landing,
        "id_types": dict.fromkeys(ID_KINDS, "int64"),
        "streams": {stream: {} for stream in streams_of(config)},
        "simulation": config.model_dump(mode="json"),
    }


def write_source(config: WorldConfig, *, folder: Path, landing: str = "landing") -> Path:
    """Writes `source.yaml` into `folder`; `landing` is the logs' folder, relative to it."""
    folder.mkdir(parents=True, exist_ok=True)
    source = describe_source(config, landing=landing)
    path = folder / "source.yaml"
    unfinished = folder / "_source.yaml"
    unfinished.write_text(yaml.safe_dump(source, sort_keys=False), encoding="utf-8")
    os.replace(unfinished, path)
    return path


def world_from_source(path: Path) -> World:
    """The world that a source file's `simulation` section describes."""
    source = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(source, dict) or "simulation" not in source:
        raise ValueError(
            f"{path} has no `simulation` section: the logs it describes are not simulated"
        )
    return World(WorldConfig(**source["simulation"]))
