"""`convcg report`: the headline of a day's evaluation report, and where its page lies."""

import datetime as dt

import click

from convcg_assets.commands.console import Failure, json_option, open_console, print_json, say
from convcg_assets.commands.options import DAY
from convcg_assets.commands.outcome import print_headline, print_page, read_report, report_page
from convcg_assets.deployment import Deployment, current_deployment


@click.command()
@click.option("--day", type=DAY, help="Day T of the model.  [default: the newest with a report]")
@json_option
def command(day: dt.date | None, as_json: bool) -> None:
    """Print the headline of a day's evaluation report, and where the page lies.

    \b
    Example:
      convcg report
      convcg report --day 2026-02-01 --json
    """
    deployment = current_deployment()
    day = _choose_day(deployment, day)
    from convcg_assets.defs.evaluation import headline_rows

    report = read_report(deployment, day)
    if as_json:
        page = report_page(deployment, day)
        print_json({"day": day, "page": page, "headline": headline_rows(report)})
        return
    console = open_console()
    say(console, f"{deployment.source.name}: model of {day}", style="bold")
    print_headline(report, console=console)
    print_page(deployment, day, console=console)


def _choose_day(deployment: Deployment, day: dt.date | None) -> dt.date:
    """The day asked for, or the newest with a report; Failure where there is none."""
    found = sorted(
        dt.date.fromisoformat(path.parent.name.removeprefix("dt="))
        for path in deployment.reports.glob("dt=????-??-??/report.json")
    )
    if not found:
        raise Failure(f"no day has a report yet below {deployment.reports}: `convcg run` makes one")
    if day is not None and day not in found:
        raise Failure(f"no report of {day}; days with one: {', '.join(map(str, found))}")
    return day or found[-1]
