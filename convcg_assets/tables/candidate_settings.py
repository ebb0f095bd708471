"""Which Pins the batch of candidates may hold, and how many; one section of the settings."""

from pathlib import Path

from pydantic import Field

from convcg_assets.config import Frozen


class CandidateSettings(Frozen):
    """Candidates of each active user on the Homefeed; no row of a table depends on it."""

    k: int = Field(default=100, ge=1, le=1000, description="Pins of each user")
    max_per_advertiser: int | None = Field(
        default=None, ge=1, description="Pins of one advertiser for one user; null: no limit"
    )
    bought_days: int = Field(
        default=30,
        ge=0,
        le=365,
        description="what the user bought in so many days before is left out; 0: it is not",
    )
    allow_advertisers: tuple[int | str, ...] | None = Field(
        default=None, description="only Pins of these"
    )
    block_advertisers: tuple[int | str, ...] | None = Field(
        default=None, description="no Pins of these"
    )
    min_price: float | None = Field(default=None, description="least price")
    max_price: float | None = Field(default=None, description="greatest price")
    filter_table: Path | None = Field(
        default=None,
        description="Parquet or CSV with `pin_id` and, where it matters, `country`: only these "
        "Pins, each in these countries; a Pin without a country in all",
    )
