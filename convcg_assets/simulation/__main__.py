"""`python -m convcg_assets.simulation`: lands a simulated world's logs, or describes a world."""

import argparse
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from convcg_assets.schema import TASKS
from convcg_assets.simulation.config import WorldConfig
from convcg_assets.simulation.describe import measured_rates, measured_recall
from convcg_assets.simulation.source_file import write_source
from convcg_assets.simulation.world import World

DESCRIBED_DAYS = 7


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command line."""
    options = _parser().parse_args(arguments)
    fields = {"num_days": options.days, "seed": options.seed}
    if options.last_day is not None:
        fields["first_day"] = options.last_day - timedelta(days=options.days - 1)
    config = WorldConfig.scaled(impressions_per_day=options.impressions_per_day, **fields)
    if options.command == "land":
        land(config, into=options.into)
    else:
        describe(config)


def land(config: WorldConfig, *, into: Path) -> None:
    """Writes `source.yaml` and the logs of all days below `into`, with a line every five days."""
    started = time.monotonic()
    source = write_source(config, folder=into)
    world, totals = World(config), dict.fromkeys(("impressions", "engagements", "conversions"), 0)
    for day in range(config.num_days):
        rows = world.write_day(day, into / "landing")
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convcg_assets.simulation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    land_command = commands.add_parser("land", help="write source.yaml and the landing zone")
    land_command.add_argument("--into", type=Path, required=True, help="folder to write to")
    describe_command = commands.add_parser("describe", help="measure rates, delays and recalls")
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
