"""What is in service, as the server is told it."""

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Champion:
    """A registered model: its version in the registry, day T, model version, and its bundle.

    The version is empty where no registry knows it.
    """

    version: str
    day: dt.date
    model_version: str
    bundle: Path


def bundle_by_path(bundle: Path) -> Champion:
    """A bundle that no registry names; ValueError where the folder is none."""
    path = bundle / "checkpoint" / "model.json"
    if not path.is_file():
        raise ValueError(f"{bundle} is no index bundle: there is no {path.relative_to(bundle)}")
    made_by = json.loads(path.read_text(encoding="utf-8"))
    day = made_by["provenance"].get("day")
    return Champion(
        version="",
        day=dt.date.fromisoformat(day) if day else dt.date.min,
        model_version=made_by["model_version"],
        bundle=bundle,
    )
