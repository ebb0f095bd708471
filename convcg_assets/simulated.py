"""What production asks of a simulated world: the demo's source, and the ceiling of its reports.

The simulation is imported here alone, and only when it is asked for.
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convcg_assets.sources.source import Source

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def default_source(*, landing: Path) -> Source:
    """The source of the world that `convcg demo` lands."""
    from convcg_simulation.config import WorldConfig
    from convcg_simulation.source_file import describe_source

    source = Source.model_validate(describe_source(WorldConfig()))
    return source.model_copy(update={"landing": landing})


def ceiling_scorer(
    simulation: dict[str, Any], *, as_of: dt.date
) -> "Callable[[pa.Table, pa.Table], np.ndarray]":
    """Ranks Pins by the truth of the world that a source's `simulation` describes."""
    from convcg_simulation import scorer
    from convcg_simulation.config import WorldConfig

    return scorer.ceiling_scorer(WorldConfig(**simulation), as_of=as_of)
