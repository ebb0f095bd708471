"""`python -m convcg_simulation`: lands a simulated world's logs, or describes a world.

A landed world goes on with its next day, or gets a file that comes too late.
"""

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from convcg_assets.sources.columns import TASKS
from convcg_simulation.arrivals import write_day
from convcg_simulation.config import WorldConfig
from convcg_simulation.describe import measured_rates, measured_recall
from convcg_simulation.landed import LandedWorld, days_to_land, open_landed
from convcg_simulation.late_file import write_late_file
from convcg_simulation.source_file import write_source
from convcg_simulation.world import World

DESCRIBED_DAYS = 7


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command line."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None


def land(config: WorldConfig, *, into: Path) -> None:
    """Writes `source.yaml` and the logs of all days below `into`, with a line every five days."""
    started = time.monotonic()
    source = write_source(config, folder=into)
    world, totals = World(config), dict.fromkeys(("impressions", "engagements", "conversions"), 0)
    for day in range(config.num_days):
        rows = write_day(world, day, into / "landing")
        totals = {stream: total + rows[stream] for stream, total in totals.items()}
        if day % 5 == 4 or day == config.num_days - 1:
            counts = ", ".join(f"{total:,} {stream}" for stream, total in totals.items())
            seconds = time.monotonic() - started
            when = f"day {day + 1}/{config.num_days} ({config.date_of(day)})"
            print(f"{when}: {counts}, {seconds:.1f} s", flush=True)
    print(f"source file: {source}")


def describe(config: WorldConfig) -> None:
    """Prints rates, delays and recalls of the world's last week."""
    world = World(config)
    days = range(max(0, config.num_days - DESCRIBED_DAYS), config.num_days)
    recalls = {task: measured_recall(world, days=days, task=task) for task in TASKS}
    for name, rate in measured_rates(world, days=days).items():
        print(f"{name:40}{rate:12.4g}")
    for task, by_scorer in recalls.items():
        for scorer, figures in by_scorer.items():
            numbers = "  ".join(
                f"{name} {figure:.3f}" for name, figure in figures.items() if name != "queries"
            )
            print(f"{task}, {scorer:32}{figures['queries']:7} queries  {numbers}")


def next_days(landed: LandedWorld, *, num_days: int) -> None:
    """Lands the days that come next, with a line for each."""
    today = datetime.now(UTC).date()
    for day in days_to_land(landed, num_days=num_days, today=today):
        rows = write_day(landed.world, day, landed.landing_dir)
        counts = ", ".join(f"{num_rows:,} {stream}" for stream, num_rows in rows.items())
        print(f"landed {landed.world.config.date_of(day)}: {counts}", flush=True)
    print(f"landing folder: {landed.landing_dir}")


def late_file(options: argparse.Namespace) -> None:
    """Lands a late file and prints which label days it changes."""
    batch = write_late_file(
        open_landed(options.into),
        num_label_days=options.label_days,
        advertiser_id=options.advertiser,
        arrival_date=options.arrival_day,
        num_conversions=options.conversions,
    )
    total = sum(batch.gained.values())
    print(f"advertiser {batch.advertiser_id}: {total} conversions late for {batch.arrival_date}")
    gained = ", ".join(f"{label_day} ({count})" for label_day, count in batch.gained.items())
    print(f"label days that gain conversions: {gained}")
    print(f"file: {batch.path}")


def _config(options: argparse.Namespace) -> WorldConfig:
    fields = {"num_days": options.days, "seed": options.seed}
    if options.last_day is not None:
        fields["first_day"] = options.last_day - timedelta(days=options.days - 1)
    return WorldConfig.scaled(impressions_per_day=options.impressions_per_day, **fields)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convcg_simulation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    land_command = commands.add_parser("land", help="write source.yaml and the landing zone")
    describe_command = commands.add_parser("describe", help="measure rates, delays and recalls")
    next_command = commands.add_parser("next-day", help="land the day after the newest one")
    late_command = commands.add_parser("late-file", help="land conversions that come too late")
    land_command.set_defaults(run=lambda options: land(_config(options), into=options.into))
    describe_command.set_defaults(run=lambda options: describe(_config(options)))
    next_command.set_defaults(
        run=lambda options: next_days(open_landed(options.into), num_days=options.days)
    )
    late_command.set_defaults(run=late_file)
    land_command.add_argument("--into", type=Path, required=True, help="folder to write to")
    for command in (next_command, late_command):
        command.add_argument("--into", type=Path, required=True, help="folder of source.yaml")
    next_command.add_argument("--days", type=int, default=1, help="how many days (default 1)")
    late_command.add_argument(
        "--advertiser", type=int, metavar="ID", help="default: one with many clicks"
    )
    late_command.add_argument(
        "--arrival-day",
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="the day that they should have come on; default: two before the newest landed",
    )
    late_command.add_argument(
        "--label-days", type=int, default=3, metavar="N", help="label days that gain (default 3)"
    )
    late_command.add_argument(
        "--conversions", type=int, metavar="M", help="how many in all; default: 4 per label day"
    )
    defaults = WorldConfig.model_fields
    for command in (land_command, describe_command):
        command.add_argument("--days", type=int, default=defaults["num_days"].default)
        command.add_argument("--seed", type=int, default=defaults["seed"].default)
        command.add_argument(
            "--impressions-per-day",
            type=int,
            default=defaults["impressions_per_day"].default,
            help="users grow with it, Pins and advertisers by its square root",
        )
        command.add_argument("--last-day", type=date.fromisoformat, help="default: yesterday (UTC)")
    return parser


if __name__ == "__main__":
    main()
