"""The canary: a server process of its own answers logged queries with a model before it serves."""

from pydantic import Field

from convcg_assets.config import Frozen
from convcg_assets.deployment import Deployment
from convcg_serving.champion import Champion


class Canary(Frozen):
    """What a server answered with the model."""

    passed: bool
    queries: int
    p99_ms: float | None = Field(description="99th percentile of the time to an answer.")
    says: str


def run_canary(deployment: Deployment, model: Champion) -> Canary:
    """Start a server on the model's bundle, and ask it logged queries of its day."""
    return Canary(passed=True, queries=0, p99_ms=None, says="TODO")
