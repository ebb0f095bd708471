"""`convcg demo`: a simulated world landed in the home folder, and everything built from it."""

import datetime as dt
import os
from pathlib import Path

import click
from click.core import ParameterSource
from rich.console import Console

from convcg_assets.commands.console import Failure, json_option, open_console, print_json, say
from convcg_assets.commands.run import run_steps
from convcg_assets.commands.simulated_world import land_days, make_config, world_options
from convcg_assets.commands.steps import STEPS, check_length, log_days
from convcg_assets.days import Days
from convcg_assets.deployment import current_deployment, home_folder
from convcg_assets.sources.source import load_source
from convcg_assets.tables.settings import load_settings
from convcg_simulation.config import WorldConfig
from convcg_simulation.landed import LandedWorld, landed_streams, open_landed
from convcg_simulation.source_file import streams_of, write_source
from convcg_simulation.world import World


@click.command()
@world_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    days: int,
    seed: int,
    impressions_per_day: int,
    last_day: dt.date | None,
    as_json: bool,
) -> None:
    """Land a simulated world and build everything from it.

    All of it lies below CONVCG_HOME. The default world has 2 million impressions and takes two to
    three minutes on two cores; it ends with the model's recall beside simple baselines, and the
    path of the report to open.

    Where a world has landed there already, the demo goes on with it: no day is landed twice, days
    that are missing are landed, up to --last-day if it is given, and all is built again. Options
    that ask for another world than the one that is there are an error.

    \b
    Example:
      convcg demo
      convcg demo --days 14 --impressions-per-day 3000
    """
    for name in ("CONVCG_SOURCE", "CONVCG_LANDING"):
        if os.environ.get(name):
            raise Failure(
                f"{name} is set to {os.environ[name]}, and the demo brings logs of its own: unset "
                "it, or build from your logs by `convcg run`"
            )
    given = {
        name
        for name in ("days", "seed", "impressions_per_day", "last_day")
        if ctx.get_parameter_source(name) != ParameterSource.DEFAULT
    }
    asked = make_config(
        days=days, seed=seed, impressions_per_day=impressions_per_day, last_day=last_day
    )
    console, home = open_console(as_json=as_json), home_folder()
    if not (home / "source.yaml").exists():
        last = asked.date_of(asked.num_days - 1)
        check_length(load_settings(os.environ.get("CONVCG_SETTINGS")), Days(asked.first_day, last))
    land_missing(asked, given, home=home, console=console)
    deployment = current_deployment()
    logs = log_days(deployment, first=None, last=None)
    outcome = run_steps(deployment, logs, steps=STEPS, config={}, checks=True, console=console)
    if as_json:
        print_json(outcome)


def land_missing(asked: WorldConfig, given: set[str], *, home: Path, console: Console) -> None:
    """Land the days that are not there yet, of the world that is there or else of the one asked.

    `given` are the options that a person named. Raises Failure where these ask for another world.
    """
    if not (home / "source.yaml").exists():
        write_source(asked, folder=home)
        landed = LandedWorld(World(asked), home / "landing")
        land_days(landed, range(asked.num_days), console=console)
        return
    if load_source(home / "source.yaml").simulation is None:
        raise Failure(
            f"{home / 'source.yaml'} describes logs that are not simulated, and the demo would "
            "overwrite it: name another folder in CONVCG_HOME"
        )
    landed = open_landed(home)
    there = landed.world.config
    _compare(asked, there, given, home=home)
    wanted = len(streams_of(landed.world.config))
    whole = {day for day, found in landed_streams(landed).items() if len(found) == wanted}
    last = there.date_of(max({there.num_days - 1} | whole))
    if "last_day" in given:
        last = asked.date_of(asked.num_days - 1)
    wanted = range(there.day_of(last) + 1)
    missing = [day for day in wanted if day not in whole]
    world = f"a world of {there.impressions_per_day:,} impressions a day, seed {there.seed}"
    say(console, f"{world}, has landed in {home} from {there.first_day} on: going on with it")
    if missing:
        land_days(landed, missing, console=console)
    else:
        say(console, f"every day to {last} is there; `convcg simulate next-day` lands another one")


def _compare(asked: WorldConfig, there: WorldConfig, given: set[str], *, home: Path) -> None:
    """Failure where what was given asks for another world than the one that is there."""
    differs = []
    for name, wanted, found in (
        ("seed", asked.seed, there.seed),
        ("impressions_per_day", asked.impressions_per_day, there.impressions_per_day),
    ):
        if name in given and wanted != found:
            differs.append(f"--{name.replace('_', '-')} is {found} there, not {wanted}")
    if {"days", "last_day"} <= given and asked.first_day != there.first_day:
        differs.append(f"its first day is {there.first_day}, not {asked.first_day}")
    elif "days" in given and "last_day" not in given and asked.num_days != there.num_days:
        differs.append(f"--days is {there.num_days} there, not {asked.num_days}")
    elif "last_day" in given and asked.date_of(asked.num_days - 1) < there.first_day:
        differs.append(f"it begins on {there.first_day}, after --last-day")
    if differs:
        raise Failure(
            f"another world has landed in {home}: {'; '.join(differs)}. Leave those options out to "
            "go on with it, or name another folder in CONVCG_HOME"
        )
