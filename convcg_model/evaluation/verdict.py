"""What decides on a promotion, as plain values: the limits, each guard, and what follows."""

from typing import Literal

from pydantic import Field

from convcg_model.config import FrozenConfig


class GuardLimits(FrozenConfig):
    """From where on a challenger is too much worse. Margins are shares of what it is held against.

    The margin is that of a non-inferiority test: the challenger passes where the whole interval
    of its difference lies above it.
    """

    non_inferiority_margin: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of the champion's headline recall that the challenger may lack at most",
    )
    guardrail_margin: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share that it may lack on unseen Pins, a surface or engagements; more than "
        "that, beyond chance, is refused",
    )
    baseline_margin: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of a baseline's headline recall that it may lack where chance may be "
        "the reason; beyond chance it may lack nothing",
    )
    min_queries: int = Field(
        default=50, ge=1, description="headline queries below which nothing can be told"
    )
    min_index_recall: float = Field(
        default=0.95, ge=0, le=1, description="recall of its index against exact search"
    )
    max_reach_loss: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="share of the advertisers that the champion reaches that it may reach fewer",
    )
    max_score_shift: float = Field(
        default=1.0,
        gt=0,
        description="population stability index of the scores that it returns, against the "
        "champion's",
    )
    when_undecided: Literal["keep", "promote"] = Field(
        default="keep",
        description="what happens where the queries are too few to tell, and nothing speaks "
        "against the challenger",
    )


class Guard(FrozenConfig):
    """One thing that has to hold. `holds` is None where it cannot be told."""

    name: str
    holds: bool | None
    value: float | None = Field(default=None, description="The challenger's figure.")
    against: float | None = Field(default=None, description="What it is held against.")
    low: float | None = Field(default=None, description="Of the paired difference, lower bound.")
    high: float | None = Field(default=None, description="Of the paired difference, upper bound.")
    says: str = Field(description="In words, with the figures.")


class Verdict(FrozenConfig):
    """What follows from the guards."""

    promote: bool
    reason: str
    guards: tuple[Guard, ...]
