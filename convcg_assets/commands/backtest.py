"""`convcg backtest`: models of past days side by side, before a change of settings is believed."""

import datetime as dt
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table

from convcg_assets.commands.console import Failure, json_option, open_console, print_json, say
from convcg_assets.commands.options import DAY
from convcg_assets.deployment import current_deployment

if TYPE_CHECKING:
    from convcg_model.evaluation.over_time import Point


class Every(click.ParamType):
    """A number of days, such as 7d."""

    name = "Nd"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The number; wrong usage where it is none."""
        found = re.fullmatch(r"([1-9]\d*)d?", str(value))
        if found is None:
            self.fail(f"{value!r} is no number of days; right would be 7d", param, ctx)
        return int(found[1])


@click.command()
@click.option("--from", "first", type=DAY, required=True, help="First day T of a model.")
@click.option("--to", "last", type=DAY, required=True, help="Last day T.")
@click.option("--every", type=Every(), default="7d", help="Days from one model to the next.")
@click.option(
    "--config",
    "configs",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YAML with what differs from the defaults under `model` and `training`; may be repeated.",
)
@click.option("--name", default="backtest", help="Of its folder; the same one goes on.")
@json_option
def command(
    first: dt.date,
    last: dt.date,
    every: int,
    configs: tuple[Path, ...],
    name: str,
    as_json: bool,
) -> None:
    """Train models of past days as they would have been, and compare them.

    Each model is trained on what was known before its day T, and asked the held-out queries of the
    days before T with the labels that have arrived by now. Without --config it is the defaults;
    with several all are asked the same queries, and the first is what the others are compared
    with. What was cut off goes on when it is called again. Nothing that serves is touched.

    \b
    Example:
      convcg backtest --from 2026-01-05 --to 2026-02-02 --every 7d
      convcg backtest --from 2026-01-05 --to 2026-02-02 --config now.yaml --config wider.yaml
    """
    from convcg_assets.defs.backtest import Backtest, Candidate, read_candidate, track_points
    from convcg_assets.defs.resources import Warehouse
    from convcg_model.evaluation.report.backtest import render_backtest

    if last < first:
        raise click.UsageError(f"--to {last} lies before --from {first}")
    if not re.fullmatch(r"[\w.-]+", name):
        raise click.UsageError(f"--name {name!r}: letters, digits, _, . and - make a name")
    console = open_console(as_json=as_json)
    candidates = [read_candidate(path) for path in configs] or [Candidate(name="default")]
    warehouse, folder = Warehouse(), current_deployment().home / "backtests" / name
    test = Backtest(warehouse, folder, candidates)
    days = [first + dt.timedelta(days=n) for n in range(0, (last - first).days + 1, every)]
    found = test.run(days, say=lambda text: say(console, text, style="dim"))
    if not found:
        raise Failure("no day could be judged")
    track_points(found, warehouse, name=name)
    page = folder / "backtest.html"
    notes = [f"{day}: left out, {why}." for day, why in test.skipped.items()]
    if test.unripe:
        notes.append(unripe_note(test.unripe))
    page.write_text(
        render_backtest(
            found,
            name=name,
            models=[candidate.name for candidate in candidates],
            settings={candidate.name: candidate.settings for candidate in candidates},
            headline_k=100,
            notes=notes,
        ),
        encoding="utf-8",
    )
    figures = {
        "page": str(page),
        "skipped": {str(day): why for day, why in test.skipped.items()},
        "unripe": {str(day): str(known) for day, known in test.unripe.items()},
        "points": [point.model_dump(mode="json") for point in found],
    }
    page.with_suffix(".json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if as_json:
        print_json(figures)
        return
    _print(found, console=console)
    if test.unripe:
        say(console, unripe_note(test.unripe), style="dim")
    say(console, f"Page to open:\n{page}")


def unripe_note(unripe: dict[dt.date, dt.date]) -> str:
    """What is said of days that were judged before their last milestone."""
    days = ", ".join(f"{day} (as of {known})" for day, known in unripe.items())
    return f"Judged before their last milestone, so that labels are still arriving: {days}."


def _print(found: "list[Point]", *, console: Console) -> None:
    """Of all days together, and of each day, recall on all Pins and on unseen ones."""
    for task, place in dict.fromkeys((point.task, point.place) for point in found):
        of_slice = [p for p in found if (p.task, p.place) == (task, place)]
        scorers = list(dict.fromkeys(p.scorer for p in of_slice))
        where = "all Pins" if place == "all" else "Pins not seen before"
        table = Table(
            title=f"{task} recall@100, {where}", title_justify="left", box=box.SIMPLE_HEAD
        )
        for column in ("day", "queries", *scorers):
            table.add_column(column, justify="left" if column == "day" else "right")
        for day in dict.fromkeys(p.day for p in of_slice):
            row = {p.scorer: p for p in of_slice if p.day == day}
            num = next(iter(row.values())).num_queries
            cells = [_cell(row[name], first=name == scorers[0]) for name in scorers]
            label = "all days" if day is None else str(day)
            table.add_row(label, f"{num:,}", *cells, style="bold" if day is None else None)
        console.print(table)


def _cell(point: "Point", *, first: bool) -> str:
    if first:
        return f"{point.value:.3f}"
    low, high = point.difference_low, point.difference_high
    mark = "+" if low > 0 else "-" if high < 0 else " "
    return f"{point.value:.3f} {mark}"
