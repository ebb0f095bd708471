"""A simulated shopping world with known truth: what `docs/simulation.md` assumes, as code."""

from convcg_simulation.arrivals import write_day
from convcg_simulation.config import WorldConfig
from convcg_simulation.source_file import world_from_source, write_source
from convcg_simulation.world import World

__all__ = ["World", "WorldConfig", "world_from_source", "write_day", "write_source"]
