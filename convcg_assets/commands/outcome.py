"""What came out on a day, in print: the model beside the baselines, the verdict, the report."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convcg_assets.commands.console import say
from convcg_assets.deployment import Deployment

MODEL, CEILING = "model", "oracle"
PLACES = {"all": "all", "unseen": "not seen before"}
"""Which Pins a report's headline is told of, in words."""


def report_page(deployment: Deployment, day: dt.date) -> Path:
    """The page of a day's report."""
    return deployment.reports / f"dt={day}" / "report.html"


def read_report(deployment: Deployment, day: dt.date) -> dict[str, Any]:
    """A day's report as JSON."""
    path = report_page(deployment, day).with_name("report.json")
    return json.loads(path.read_text(encoding="utf-8"))


def print_headline(report: dict[str, Any], *, console: Console) -> None:
    """Per task the metrics of every scorer, over all Pins and those not seen; then the verdict."""
    from convcg_assets.defs.evaluation import headline_rows

    rows = headline_rows(report)
    for task in dict.fromkeys(row["task"] for row in rows):
        _print_task([row for row in rows if row["task"] == task], console=console)
    for sentence in report.get("verdict", ()):
        say(console, sentence)


def _print_task(rows: list[dict[str, Any]], *, console: Console) -> None:
    """One table of a task; the best of the scorers that do not know the truth is bold."""
    metrics = [m for m in rows[0] if m not in ("task", "Pins", "scorer", "queries")]
    title = f"Held-out {rows[0]['task']}s (how many in brackets)"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in ("Pins", "scorer"):
        table.add_column(column, no_wrap=True)
    for metric in metrics:
        table.add_column(metric, no_wrap=True, justify="right")
    for place in dict.fromkeys(row["Pins"] for row in rows):
        of_place = [row for row in rows if row["Pins"] == place]
        rated = [row for row in of_place if row["scorer"] != CEILING]
        best = {m: max((row[m] for row in rated), default=0) for m in metrics}
        asked = f"{PLACES[place]} ({of_place[0]['queries']:,})"
        for row in of_place:
            is_rated = row["scorer"] != CEILING
            figures = (
                Text(f"{row[m]:.3f}", style="bold" if is_rated and row[m] == best[m] > 0 else "")
                for m in metrics
            )
            name = row["scorer"] if is_rated else "ceiling"
            table.add_row(asked, name, *figures, style="" if row["scorer"] == MODEL else "dim")
            asked = ""
        table.add_section()
    console.print(table)


def print_page(deployment: Deployment, day: dt.date, *, console: Console) -> None:
    """Where the report's page lies."""
    console.print("Report to open:", style="bold")
    say(console, str(report_page(deployment, day)))
