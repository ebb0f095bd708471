"""`convcg explain`: why a label weighs what it weighs, from its evidence to the landed files.

What a label is made of is found in `builds/explained.py`, what a model knows of it in
`builds/learned.py`; what is printed of both stands in `label_page.py`.
"""

import datetime as dt
from collections.abc import Sequence

import click

from convcg_assets.builds.explained import (
    ATTRIBUTED,
    Explained,
    Id,
    Look,
    Report,
    days_landed,
    days_of_impression,
    explain_impression,
    find_impressions,
    find_reports,
    open_look,
)
from convcg_assets.builds.learned import model_days, read_learned
from convcg_assets.builds.raw_files import read_from
from convcg_assets.commands.console import Failure, json_option, open_console, print_json
from convcg_assets.commands.ids import read_id
from convcg_assets.commands.label_page import (
    Answer,
    describe_explained,
    describe_model,
    describe_report,
    print_answer,
)
from convcg_assets.commands.options import DAY
from convcg_assets.deployment import Deployment, current_deployment
from convcg_assets.lake.engine import connect

SHOWN_DAYS = 10


@click.command()
@click.option(
    "--impression",
    metavar="ID",
    help="An impression, by its impression_id.  [default: those that --conversion is credited to]",
)
@click.option(
    "--conversion",
    metavar="ID",
    help="A conversion, by its conversion_id.  [default: all that --impression is credited with]",
)
@click.option(
    "--day",
    type=DAY,
    help="Day of the impression, or arrival day of the conversion.  [default: any in the lake]",
)
@click.option(
    "--model",
    "model_day",
    type=DAY,
    help="Day T of a model: also say what it knows.  [default: no model is asked]",
)
@json_option
def command(
    impression: str | None,
    conversion: str | None,
    day: dt.date | None,
    model_day: dt.date | None,
    as_json: bool,
) -> None:
    """Explain the labels of an impression or a conversion, down to the landed files.

    Ids are those of the tables. Per impression: who was shown what, where and when; each piece of
    evidence, when it happened, arrived, was known and until when it holds; the touches that are
    credited with it; every factor of its weight; and the landed files of the days on which all that
    arrived. With --model also which examples of the model of day T that makes: split, maturity,
    weight, as the model read them, and of each label that it does not know why not.

    It shows the rows that the lake holds now, and says so where they are stale. Nothing is computed
    again, and nothing is written.

    \b
    Example:
      convcg explain --impression 1500012
      convcg explain --conversion 4000033 --day 2026-01-28 --model 2026-02-01
    """
    if (impression is None) == (conversion is None):
        raise click.UsageError("say what to explain: either --impression ID or --conversion ID")
    deployment = current_deployment()
    if deployment.lake.snapshot("impressions") is None:
        raise Failure(f"nothing is built below {deployment.lake.root} yet: `convcg run` builds it")
    _check_model(deployment, model_day)
    kind, text = (
        ("impression_id", impression) if conversion is None else ("conversion_id", conversion)
    )
    wanted = read_id(deployment.source, kind, text or "")
    con = connect(temp=deployment.home / "tmp" / "explain")
    try:
        look = open_look(deployment, con=con)
        answer = _explain(look, kind, wanted, day=day, model_day=model_day)
    finally:
        con.disconnect()
    if as_json:
        print_json(answer)
    else:
        print_answer(answer, console=open_console())


def _explain(
    look: Look, kind: str, wanted: Id, *, day: dt.date | None, model_day: dt.date | None
) -> Answer:
    """All that is said, as `--json` prints it."""
    reports: list[Report] = []
    if kind == "impression_id":
        found = _explain_shown(look, wanted, day=day)
    else:
        reports = _find_reports(look, wanted, day=day)
        found = _explain_credited(look, reports)
    learned = None
    if model_day is not None:
        impressions = [one.impression for one in found]
        learned = read_learned(look.deployment, model_day, impressions, con=look.con)
    places = dict.fromkeys(place for one in found for place in one.places)
    raw_days = {
        (table, of): read_from(table, of, state=look.state[table], ledger=look.deployment.ledger)
        for table, of in places
    }
    return {
        "conversions": [describe_report(report) for report in reports],
        "impressions": [describe_explained(one, raw_days, learned) for one in found],
        "model": describe_model(learned),
    }


def _check_model(deployment: Deployment, day: dt.date | None) -> None:
    """Failure where the day that is asked about has no model."""
    if day is None or day in (there := model_days(deployment)):
        return
    if not there:
        raise Failure(f"no day has a model yet below {deployment.models}: `convcg run` trains one")
    raise Failure(f"no model of {day}; days with one: {_listed(there)}")


def _explain_shown(look: Look, impression_id: Id, *, day: dt.date | None) -> list[Explained]:
    """The impressions of an id; Failure where there is none."""
    found = find_impressions(look, impression_id, day=day)
    if found:
        return [explain_impression(look, impression) for impression in found]
    asked = f"no impression {impression_id}"
    looked_in = _looked_in("impressions", days_of_impression(look, day))
    elsewhere = find_impressions(look, impression_id) if day is not None else []
    if elsewhere:
        days = _listed(sorted({row["impression_day"] for row in elsewhere}))
        raise Failure(
            f"{asked} was shown on {day} ({looked_in}). It was on {days}: say so by --day"
        )
    raise Failure(f"{asked} in the lake ({looked_in}). {_remedy('impression_id')}")


def _find_reports(look: Look, conversion_id: Id, *, day: dt.date | None) -> list[Report]:
    """The conversion as it arrived; Failure where it never did."""
    found = find_reports(look, conversion_id, day=day)
    if found:
        return found
    asked = f"no conversion {conversion_id}"
    looked_in = _looked_in(ATTRIBUTED, look.days(ATTRIBUTED) if day is None else [day])
    elsewhere = find_reports(look, conversion_id) if day is not None else []
    if elsewhere:
        days = _listed([report.rows[0]["dt"] for report in elsewhere])
        raise Failure(f"{asked} arrived on {day} ({looked_in}). It did on {days}: say so by --day")
    landed = days_landed(look, conversion_id)
    if landed:
        raise Failure(
            f"{asked} is attributed yet ({looked_in}), though the logs of {_listed(landed)} hold "
            "it: `convcg status` says why these days are stale, `convcg repair` builds them"
        )
    raise Failure(f"{asked} in the lake ({looked_in}). {_remedy('conversion_id')}")


def _explain_credited(look: Look, reports: Sequence[Report]) -> list[Explained]:
    """Of the impressions that a conversion is credited to the labels that it is evidence of."""
    return [
        explain_impression(look, impression, of=report)
        for report in reports
        for impression_id, day in report.impressions
        for impression in find_impressions(look, impression_id, day=day)
    ]


def _looked_in(table: str, days: Sequence[dt.date]) -> str:
    if not days:
        return f"{table} holds no day"
    of = str(days[0]) if len(days) == 1 else f"{len(days)} days, {days[0]} to {days[-1]}"
    return f"looked in {table} of {of}"


def _remedy(kind: str) -> str:
    return (
        f"Is it the {kind} as the log has it? Logs that have landed since are read by `convcg "
        "repair`; rows that break the contract are in rejected_events, and `convcg check` shows why"
    )


def _listed(days: Sequence[dt.date]) -> str:
    more = f" and {len(days) - SHOWN_DAYS} more" if len(days) > SHOWN_DAYS else ""
    return ", ".join(map(str, days[-SHOWN_DAYS:])) + more
