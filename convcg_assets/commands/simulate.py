"""`convcg simulate`: lands a simulated world's logs, lets it go on, or describes it.

How the world works belongs to `convcg_simulation`.
"""

import datetime as dt
from pathlib import Path

import click

from convcg_assets.commands.console import json_option, open_console, print_json, say, working
from convcg_assets.commands.options import DAY, HOME
from convcg_assets.commands.simulated_world import (
    count_rows,
    land_days,
    make_config,
    world_options,
)
from convcg_assets.sources.columns import TASKS
from convcg_simulation.arrivals import write_day
from convcg_simulation.describe import measured_rates, measured_recall
from convcg_simulation.landed import LandedWorld, days_to_land, open_landed
from convcg_simulation.late_file import write_late_file
from convcg_simulation.source_file import write_source
from convcg_simulation.world import World

DESCRIBED_DAYS = 7

into_option = click.option(
    "--into",
    type=HOME,
    envvar="CONVCG_HOME",
    show_envvar=True,
    default=".convcg",
    help="Folder of source.yaml and the logs.",
)


@click.group()
def command() -> None:
    """Land, continue or describe a simulated world.

    Its people, Pins and advertisers are made up, so that what a model ought to find is known
    (docs/simulation.md). `convcg demo` lands one and builds everything from it.

    \b
    Example:
      convcg simulate land --days 14 --impressions-per-day 3000
      convcg simulate next-day
    """


@command.command()
@into_option
@world_options
@click.option(
    "--adjusted-share",
    type=click.FloatRange(min=0, max=1),
    metavar="SHARE",
    default=0.0,
    show_default=True,
    help="Conversions that are taken back or restated later.",
)
@json_option
def land(
    into: Path,
    days: int,
    seed: int,
    adjusted_share: float,
    impressions_per_day: int,
    last_day: dt.date | None,
    as_json: bool,
) -> None:
    """Write source.yaml and the logs of all days.

    \b
    Example:
      convcg simulate land --into /tmp/world --days 14 --last-day 2026-03-14
    """
    config = make_config(
        days=days, seed=seed, impressions_per_day=impressions_per_day, last_day=last_day
    )
    config = config.model_copy(update={"adjusted_share": adjusted_share})
    source = write_source(config, folder=into)
    console = open_console(as_json=as_json)
    landed = LandedWorld(World(config), into / "landing")
    totals = land_days(landed, range(config.num_days), console=console)
    say(console, f"source file: {source}")
    if as_json:
        days_landed = {"first_day": config.first_day, "last_day": config.date_of(days - 1)}
        print_json({"source": source, **days_landed, "rows": totals})


@command.command("next-day")
@into_option
@click.option("--days", type=int, metavar="N", default=1, help="How many days.")
@json_option
def next_day(into: Path, days: int, as_json: bool) -> None:
    """Land the days that come after the newest one.

    A day that was left half landed is landed again. The world may run a week ahead of the clock.

    \b
    Example:
      convcg simulate next-day
    """
    landed = open_landed(into)
    console, rows = open_console(as_json=as_json), {}
    for day in days_to_land(landed, num_days=days, today=dt.datetime.now(dt.UTC).date()):
        date = str(landed.world.config.date_of(day))
        rows[date] = write_day(landed.world, day, landed.landing_dir)
        say(console, f"landed {date}: {count_rows(rows[date])}")
    say(console, f"landing folder: {landed.landing_dir}")
    if as_json:
        print_json({"landing": landed.landing_dir, "rows": rows})


@command.command("late-file")
@into_option
@click.option(
    "--advertiser",
    type=int,
    metavar="ID",
    help="Whose conversions.  [default: one with many clicks]",
)
@click.option(
    "--arrival-day",
    type=DAY,
    help="The day they should have come on.  [default: two before the newest landed]",
)
@click.option(
    "--label-days", type=int, metavar="N", default=3, help="How many label days gain conversions."
)
@click.option(
    "--conversions", type=int, metavar="N", help="How many in all.  [default: 4 per label day]"
)
@json_option
def late_file(
    into: Path,
    advertiser: int | None,
    arrival_day: dt.date | None,
    label_days: int,
    conversions: int | None,
    as_json: bool,
) -> None:
    """Land a file of conversions that comes too late.

    It prints which label days gain how many of them.

    \b
    Example:
      convcg simulate late-file --label-days 2
      convcg status
    """
    batch = write_late_file(
        open_landed(into),
        num_label_days=label_days,
        advertiser_id=advertiser,
        arrival_date=arrival_day,
        num_conversions=conversions,
    )
    gained = {str(day): count for day, count in batch.gained.items()}
    if as_json:
        late = {"advertiser": batch.advertiser_id, "arrival_day": batch.arrival_date}
        print_json({**late, "gained": gained, "file": batch.path})
        return
    console, total = open_console(), sum(gained.values())
    say(
        console,
        f"advertiser {batch.advertiser_id}: {total} conversions late for {batch.arrival_date}",
    )
    listed = ", ".join(f"{day} ({count})" for day, count in gained.items())
    say(console, f"label days that gain conversions: {listed}")
    say(console, f"file: {batch.path}")


@command.command()
@world_options
@json_option
def describe(
    days: int, seed: int, impressions_per_day: int, last_day: dt.date | None, as_json: bool
) -> None:
    """Measure the rates, delays and recalls of a world's last week.

    Writes nothing. The ceiling is the recall that nobody can beat who does not know the future.

    \b
    Example:
      convcg simulate describe --impressions-per-day 3000
    """
    config = make_config(
        days=days, seed=seed, impressions_per_day=impressions_per_day, last_day=last_day
    )
    console, world = open_console(as_json=as_json), World(config)
    week = range(max(0, config.num_days - DESCRIBED_DAYS), config.num_days)
    with working(console, f"measuring the last {len(week)} of {config.num_days} days"):
        recalls = {task: measured_recall(world, days=week, task=task) for task in TASKS}
        rates = measured_rates(world, days=week)
    if as_json:
        print_json({"rates": rates, "recalls": recalls})
        return
    for name, rate in rates.items():
        say(console, f"{name:40}{rate:12.4g}")
    for task, by_scorer in recalls.items():
        for scorer, figures in by_scorer.items():
            numbers = "  ".join(
                f"{name} {figure:.3f}" for name, figure in figures.items() if name != "queries"
            )
            say(console, f"{task}, {scorer:32}{figures['queries']:7} queries  {numbers}")
