"""`convcg split`: one big log file cut into a folder per day."""

import datetime as dt
from pathlib import Path
from typing import cast

import click

from convcg_assets.commands.console import json_option, open_console, print_json, say, working
from convcg_assets.commands.options import DAY
from convcg_assets.sources.split import split_file
from convcg_assets.sources.stream import Stream, TimeUnit


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--time-column", required=True, help="Column of the time that decides the day.")
@click.option("--stream", required=True, help="Folder below the landing folder.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Landing folder.",
)
@click.option(
    "--time-unit",
    default="iso",
    type=click.Choice(["iso", "s", "ms", "us"]),
    help="Text or timestamps, or a number since 1970.",
)
@click.option("--time-zone", default="UTC", help="Zone of times that name none.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["parquet", "csv", "jsonl"]),
    help="Format of the file.  [default: by its suffix]",
)
@click.option("--delimiter", default=",", help="CSV: what stands between fields.")
@click.option("--quote", default='"', help="CSV: what values stand in; '' for none.")
@click.option("--escape", default="", help="CSV: what stands before a quote that is text.")
@click.option(
    "--line-breaks/--no-line-breaks",
    default=None,
    help="CSV: whether quoted values may hold line breaks.  [default: where it is certain]",
)
@click.option("--encoding", default="utf-8", type=click.Choice(["utf-8", "latin-1"]), help="CSV.")
@click.option("--first-day", type=DAY, help="Rows of days before go to this one.")
@click.option("--last-day", type=DAY, help="Rows of days after go to this one.")
@click.option("--overwrite", is_flag=True, help="Replace days that are there already.")
@json_option
def command(
    file: Path,
    time_column: str,
    stream: str,
    into: Path,
    time_unit: str,
    time_zone: str,
    file_format: str | None,
    delimiter: str,
    quote: str,
    escape: str,
    line_breaks: bool | None,
    encoding: str,
    first_day: dt.date | None,
    last_day: dt.date | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Cut one big log file into a folder per day.

    FILE is CSV, Parquet or JSON lines, also with .gz. Rows and columns stay as they are; days
    without rows are marked as such; a row that cannot be read, or whose time cannot, goes to the
    first day, where it is rejected with its reason.

    \b
    Example:
      convcg split events.csv.gz --time-column timestamp --time-unit ms \\
          --stream events --into landing
    """
    if len(delimiter) != 1:
        raise click.BadParameter("right would be one character", param_hint="--delimiter")
    for name, sign in (("--quote", quote), ("--escape", escape)):
        if len(sign) > 1:
            raise click.BadParameter("right would be one character, or none", param_hint=name)
    console = open_console(as_json=as_json)
    options = Stream.model_validate(
        {
            "format": file_format,
            "delimiter": delimiter,
            "encoding": encoding,
            "quote": quote,
            "escape": escape,
            "line_breaks": line_breaks,
        }
    )
    with working(console, f"cutting {file}"):
        counts = split_file(
            file,
            into=into,
            stream=stream,
            time_column=time_column,
            time_unit=cast(TimeUnit, time_unit),
            time_zone=time_zone,
            first_day=first_day,
            last_day=last_day,
            options=options,
            overwrite=overwrite,
        )
    if as_json:
        rows = {str(day): count for day, count in counts.items()}
        print_json({"folder": into / stream, "rows": rows})
        return
    empty = sum(1 for rows in counts.values() if not rows)
    say(
        console,
        f"{sum(counts.values()):,} rows, {min(counts)} to {max(counts)}, {empty} of "
        f"{len(counts)} days empty: {into / stream}",
    )
