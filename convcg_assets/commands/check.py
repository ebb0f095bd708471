"""`convcg check`: how landed logs will be read, and what would be rejected, without a build.

How a stream is looked into belongs to `sources/preview.py`, what is printed of it to
`stream_page.py`.
"""

import datetime as dt
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import ibis
from ibis.backends.duckdb import Backend
from rich.console import Console

from convcg_assets.commands.console import json_option, open_console, print_json, say, working
from convcg_assets.commands.options import DAY
from convcg_assets.commands.stream_page import describe_stream, print_stream
from convcg_assets.days import Days
from convcg_assets.deployment import current_deployment
from convcg_assets.lake.engine import connect
from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.finding import describe_place, stream_layout
from convcg_assets.sources.landed import days_with_folders
from convcg_assets.sources.preview import Preview, preview_stream
from convcg_assets.sources.source import Source, load_source
from convcg_assets.sources.strangers import find_strangers
from convcg_assets.tables.raw import RAW_TABLES
from convcg_assets.tables.settings import Settings
from convcg_assets.tables.table import Check, Inputs, Scope

MAX_DAYS = 31


@click.command()
@click.argument(
    "source_file",
    metavar="[SOURCE]",
    required=False,
    type=click.Path(path_type=Path, dir_okay=False),
)
@click.option("--day", type=DAY, help="The last day to look at.  [default: the newest landed]")
@click.option(
    "--days",
    "num_days",
    type=click.IntRange(1, MAX_DAYS),
    metavar="N",
    default=1,
    help=f"How many landed days up to that day, at most {MAX_DAYS}.",
)
@click.option(
    "--rows",
    "num_rows",
    type=click.IntRange(0, 20),
    metavar="N",
    default=3,
    help="How many of the first rows, at most 20; of these as many as there is room for.",
)
@json_option
def command(
    source_file: Path | None, day: dt.date | None, num_days: int, num_rows: int, as_json: bool
) -> None:
    """Show how landed logs will be read, and what would be rejected; builds nothing.

    SOURCE is a source file (docs/sources.md); without it, the one of CONVCG_SOURCE. Per stream:
    the files found, where each canonical column comes from, the first rows as they will be read,
    how many rows are valid, and why the others would be rejected, with an example and what may be
    done; then the kinds of ids that the streams do not share. Nothing is written.

    Exit status 1 where a stream cannot be read, or so many rows are rejected that a build would
    stop.

    \b
    Example:
      convcg check path/to/source.yaml
      convcg check --day 2026-01-31 --days 7 --rows 5
    """
    source = load_source(source_file) if source_file else current_deployment().source
    console = open_console(as_json=as_json)
    landed = days_with_folders(source)
    days = _choose_days(source, landed, day=day, num_days=num_days)
    _print_title(source, landed, days, console=console)
    present = [stream for stream in STREAMS if source.stream(stream) is not None]
    answers: dict[str, dict[str, Any]] = {}
    valid: dict[str, ibis.Table] = {}
    with tempfile.TemporaryDirectory() as spill:
        con = connect(temp=Path(spill))
        for stream in present:
            with working(console, f"reading {stream}", is_short=True):
                found = preview_stream(source, stream, days, num_rows=num_rows, con=con)
                errors, warnings = _broken_checks(source, found, days, con=con)
            answers[stream] = describe_stream(found, source, errors=errors, warnings=warnings)
            print_stream(answers[stream], console=console)
            if found.rows is not None:
                valid[stream] = found.rows.valid
        warnings = find_strangers(valid, con=con)
        con.disconnect()
    console.print()
    for warning in warnings:
        say(console, f"warning: {warning}", style="yellow")
    for stream in STREAMS:
        if stream not in present and not STREAMS[stream].added:
            say(console, f"{stream}: not in the source file, {_implied(stream, source)}")
    failed = [stream for stream, answer in answers.items() if not answer["ok"]]
    _print_verdict(failed, answers, console=console)
    if as_json:
        about = {"source": source.name, "landing": source.landing, "days": days}
        print_json({**about, "streams": answers, "warnings": warnings, "ok": not failed})
    if failed:
        raise click.exceptions.Exit(1)


def _choose_days(
    source: Source, landed: Sequence[dt.date], *, day: dt.date | None, num_days: int
) -> list[dt.date]:
    """The last landed days up to a day, which is one of them whether or not it has landed."""
    if day is None and not landed:
        folders = ", ".join(
            describe_place(source, name) if options.table else stream_layout(source, name).template
            for name in STREAMS
            if (options := source.stream(name)) is not None
        )
        raise ValueError(f"nothing has landed below {source.landing}: looked for {folders}")
    last = day or landed[-1]
    return sorted({last, *(d for d in landed if d <= last)})[-num_days:]


def _print_title(
    source: Source, landed: Sequence[dt.date], days: Sequence[dt.date], *, console: Console
) -> None:
    say(console, f"{source.name}: {source.landing}", style="bold")
    if landed:
        num_all = (landed[-1] - landed[0]).days + 1
        gaps = f", of {num_all}" if len(landed) < num_all else ""
        days_landed = "1 day" if len(landed) == 1 else f"{len(landed)} days"
        say(console, f"landed: {days_landed}{gaps}, {landed[0]} to {landed[-1]}")
    say(console, f"looked at: {', '.join(map(str, days))}")
    last = source.last_day or dt.date.max
    outside = [day for day in landed if not source.first_day <= day <= last]
    if outside:
        bounds = f"first_day {source.first_day}" + (
            f" to last_day {source.last_day}" if source.last_day else ""
        )
        text = f"{len(outside)} landed days are outside {bounds}, and are not read: {outside[0]}"
        say(console, f"  warning: {text}{' ...' if len(outside) > 1 else ''}", style="yellow")


def _print_verdict(
    failed: Sequence[str], answers: Mapping[str, dict[str, Any]], *, console: Console
) -> None:
    if failed:
        say(console, f"not ready: see {', '.join(failed)} above", style="bold red")
        return
    num_rejected = sum(answer["rejected"] for answer in answers.values())
    rest = f"; {num_rejected:,} rows would be rejected, as said above" if num_rejected else ""
    say(console, f"ready to be built{rest}", style="bold green")


def _broken_checks(
    source: Source, found: Preview, days: Sequence[dt.date], *, con: Backend
) -> tuple[list[str], list[str]]:
    """What the raw table's own checks would say of the rows: what stops a build, and what warns."""
    rows = found.rows
    if rows is None:
        return [], []

    def read(table: str, _days: Days) -> ibis.Table:
        return rows.valid if table == found.stream else rows.rejected

    inputs = Inputs(
        found.stream, None, Days(days[0], days[-1]), Scope(source, Settings()), read_days=read
    )
    errors: list[str] = []
    warnings: list[str] = []
    for check in RAW_TABLES[found.stream].checks:
        broken = _broken(check, check.error and check.error(inputs), con=con)
        errors += [f"a build would stop: {line}" for line in broken]
        if not broken:
            warnings += _broken(check, check.warning and check.warning(inputs), con=con)
    return errors, warnings


def _broken(check: Check, rows: ibis.Table | None, *, con: Backend) -> Iterable[str]:
    """One line per row that breaks a check, the first few of them."""
    if rows is None:
        return []
    lines = con.to_pyarrow(rows.limit(5)).to_pylist()
    return [f"{check.name}: {_words(row)}" for row in lines]


def _words(row: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.1%}" if name == "share" else f"{name} {value}"
        for name, value in row.items()
        if value is not None
    )


def _implied(stream: str, source: Source) -> str:
    """What the rows of a stream that the log does not have will be."""
    if stream == "impressions":
        return f"each engagement implies one (on {source.implied_surface})"
    if stream == "engagements":
        return "so there are none"
    return f"the {stream} are those that the events name"
