"""What is in service, as the server is told it."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Champion:
    """A registered model: its version in the registry, day T, model version, and its bundle."""

    version: str
    day: dt.date
    model_version: str
    bundle: Path
