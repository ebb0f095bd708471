"""What came out on a day, in print: rows by stage, the model beside the baselines, the report."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from convcg_assets.commands.console import say
from convcg_assets.deployment import Deployment


def report_page(deployment: Deployment, day: dt.date) -> Path:
    """The page of a day's report."""
    return deployment.reports / f"dt={day}" / "report.html"


def read_report(deployment: Deployment, day: dt.date) -> dict[str, Any]:
    """A day's report as JSON."""
    path = report_page(deployment, day).with_name("report.json")
    return json.loads(path.read_text(encoding="utf-8"))


def print_outcome(deployment: Deployment, day: dt.date, *, console: Console) -> None:
    """The day's rows by stage, recall of the model beside the baselines, and the report's path."""
    report = read_report(deployment, day)
    rows = Table("table", "rows", title="Rows by stage")
    for table in deployment.tables:
        rows.add_row(table, f"{report['context']['row_counts'].get(table, 0):,}")
    console.print(rows)
    print_headline(report, console=console)
    print_page(deployment, day, console=console)


def print_headline(report: dict[str, Any], *, console: Console) -> None:
    """Per task the metrics of every scorer, over all Pins and over those not seen before."""
    from convcg_assets.defs.evaluation import headline_rows

    for task in ("conversion", "engagement"):
        chosen = [row for row in headline_rows(report) if row["task"] == task]
        if not chosen:
            continue
        metrics = [m for m in chosen[0] if m not in ("task", "Pins", "scorer", "queries")]
        counts = {row["Pins"]: row["queries"] for row in chosen}
        asked = ", ".join(f"{number:,} for {pins} Pins" for pins, number in counts.items())
        figures = Table(title=f"Held-out {task} queries: {asked}")
        for column in ("Pins", "scorer", *metrics):
            figures.add_column(column, no_wrap=True)
        for row in chosen:
            named = "ceiling" if row["scorer"] == "oracle" else row["scorer"]
            figures.add_row(row["Pins"], named, *(f"{row[m]:.3f}" for m in metrics))
        console.print(figures)


def print_page(deployment: Deployment, day: dt.date, *, console: Console) -> None:
    """Where the report's page lies."""
    console.print("Report to open:", style="bold")
    say(console, str(report_page(deployment, day)))
