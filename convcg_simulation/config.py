"""The configuration of a simulated world: its size, its rates and its seed.

The shape of the world (how taste, price and trust decide a purchase) is not configured; it stands
in the module that does it.
"""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field


def _first_day(fields: dict[str, Any]) -> date:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    return yesterday - timedelta(days=fields.get("num_days", 1) - 1)


class WorldConfig(BaseModel):
    """Size, rates and seed of a simulated world; equal configs give equal bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=7, ge=0, description="the seed that all randomness comes from")
    num_days: int = Field(default=45, ge=1, description="days usually landed; later days work too")
    first_day: date = Field(
        default_factory=_first_day,
        description="day 0 of the world; by default such that day num_days - 1 is yesterday (UTC)",
    )
    impressions_per_day: int = Field(
        default=40_000, ge=50, description="impressions on an average weekday at the start"
    )
    daily_growth: float = Field(
        default=0.003, ge=-0.05, le=0.05, description="growth of the impressions from day to day"
    )
    num_users: int = Field(default=6_000, ge=20, description="users at the start, bots included")
    new_users_per_day: int = Field(default=30, ge=0, description="accounts created every day")
    bot_share: float = Field(default=0.003, ge=0, le=0.2, description="share of users: bots")
    num_pins: int = Field(default=10_000, ge=100, description="Pins at the start")
    new_pins_per_day: int = Field(default=100, ge=0, description="Pins created every day")
    num_advertisers: int = Field(default=150, ge=5, description="advertisers, the same all along")
    late_share: float = Field(
        default=0.005, ge=0, le=0.5, description="share of impressions logged a day late"
    )
    organic_rate: float = Field(
        default=0.001, ge=0, le=0.1, description="conversions without any touch, per impression"
    )
    adjusted_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of reported conversions that are taken back or restated later",
    )
    broken_rate: float = Field(
        default=1e-4, ge=0, le=0.1, description="rows that break the contract, added to each log"
    )

    @classmethod
    def scaled(cls, *, impressions_per_day: int, **fields: Any) -> Self:
        """The default world at another size.

        Users grow in proportion to the impressions, Pins and advertisers by the square root: a
        larger site has many more people and a catalogue that is only somewhat larger.

        >>> WorldConfig.scaled(impressions_per_day=160_000).num_pins
        20000
        """
        ratio = impressions_per_day / cls.model_fields["impressions_per_day"].default
        root = math.sqrt(ratio)
        sizes = {
            "num_users": max(20, round(6_000 * ratio)),
            "new_users_per_day": round(30 * ratio),
            "num_pins": max(100, round(10_000 * root)),
            "new_pins_per_day": round(100 * root),
            "num_advertisers": max(5, round(150 * root)),
        }
        return cls(impressions_per_day=impressions_per_day, **(sizes | fields))

    def date_of(self, day: int) -> date:
        """Calendar date of day number `day`."""
        return self.first_day + timedelta(days=day)

    def day_of(self, day: date) -> int:
        """Number of a calendar date; ValueError before the world's first day."""
        number = (day - self.first_day).days
        if number < 0:
            raise ValueError(
                f"{day} is before the world's first day; the earliest is {self.first_day}"
            )
        return number
