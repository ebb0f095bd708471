"""A world whose logs are landed: which of its days are there, and which come next.

What the logs hold belongs to `arrivals.py`, a late file beside them to `late_file.py`.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from convcg_assets.sources.clock import MAX_DAYS_AHEAD
from convcg_assets.sources.source import load_source
from convcg_simulation.source_file import streams_of, world_from_source
from convcg_simulation.world import World


@dataclass(frozen=True)
class LandedWorld:
    """A world, and the folder that its logs are landed in."""

    world: World
    landing_dir: Path

    def log(self, stream: str, day: int) -> Path:
        """The file of a stream's day as the world writes it."""
        date = self.world.config.date_of(day)
        return self.landing_dir / stream / f"dt={date}" / "part-0.parquet"


def open_landed(home: Path) -> LandedWorld:
    """The world of `source.yaml` in a folder; ValueError where there is none or it is not one."""
    path = home / "source.yaml"
    source = load_source(path)
    return LandedWorld(world_from_source(path), source.landing)


def landed_streams(landed: LandedWorld) -> dict[int, set[str]]:
    """By day, the streams that have landed; days without any are left out."""
    first_day = landed.world.config.first_day
    found: dict[int, set[str]] = {}
    for stream in streams_of(landed.world.config):
        for file in (landed.landing_dir / stream).glob("dt=????-??-??/part-0.parquet"):
            day = (date.fromisoformat(file.parent.name.removeprefix("dt=")) - first_day).days
            if day >= 0:
                found.setdefault(day, set()).add(stream)
    return found


def whole_days(landed: LandedWorld) -> list[int]:
    """The days of which all streams have landed, in order; ValueError if there is none."""
    streams = landed_streams(landed)
    num_streams = len(streams_of(landed.world.config))
    whole = sorted(day for day, found in streams.items() if len(found) == num_streams)
    if not whole:
        raise ValueError(
            f"no day has landed whole in {landed.landing_dir}; first land the world: "
            f"convcg simulate land --into {landed.landing_dir.parent}"
        )
    return whole


def days_to_land(landed: LandedWorld, *, num_days: int, today: date) -> list[int]:
    """The `num_days` days after the newest whole one, and before them older ones left half landed.

    A crash may leave a day without some of its streams: it does not count as landed, so that the
    same command run again ends in the same logs. ValueError beyond `MAX_DAYS_AHEAD` after `today`.
    """
    if num_days < 1:
        raise ValueError(f"{num_days} days cannot be landed: ask for at least 1")
    newest = whole_days(landed)[-1]
    config = landed.world.config
    latest = today + timedelta(days=MAX_DAYS_AHEAD)
    if config.date_of(newest + num_days) > latest:
        left = max(0, (latest - config.date_of(newest)).days)
        raise ValueError(
            f"{config.date_of(newest + num_days)} is too far ahead: a world may run "
            f"{MAX_DAYS_AHEAD} days ahead of the clock ({today} UTC), to {latest}, and has landed "
            f"to {config.date_of(newest)}; "
            + (f"ask for at most {left} more" if left else "wait for the clock")
        )
    half = sorted(
        day
        for day, found in landed_streams(landed).items()
        if day < newest and len(found) < len(streams_of(config))
    )
    return [*half, *range(newest + 1, newest + 1 + num_days)]
