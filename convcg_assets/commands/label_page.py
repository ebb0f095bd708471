"""What `convcg explain` says of labels: as JSON, and from that for people.

What is said is found in `builds/explained.py` and `builds/learned.py`.
"""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from convcg_assets.builds.explained import (
    ADJUSTMENT,
    Explained,
    Label,
    Place,
    Report,
    Row,
    known_since,
)
from convcg_assets.builds.learned import Learned
from convcg_assets.builds.raw_files import RawDay
from convcg_assets.commands.console import say
from convcg_assets.tables.conversion_outcomes import outcome_name
from convcg_assets.tables.weighted_label_checks import FACTORS

SHOWN_FILES = 6
Answer = dict[str, Any]
OF_IMPRESSION = (
    *("impression_id", "impression_day", "impression_ts", "user_id", "pin_id", "advertiser_id"),
    *("surface", "subject_pin_id", "query"),
)
OF_LABEL = ("task", "evidence", "evidence_id", "evidence_ts", "evidence_dt", "since_dt", "until_dt")
OF_MATCH = ("touch_type", "match_level")
OF_TOUCH = (
    *("touch_type", "match_level", "touch_pin_id", "touch_ts", "credit"),
    *("engagement_id", "engagement_type", "engagement_dt"),
)
OF_REPORT = (
    *("conversion_id", "event_name", "event_ts", "received_ts", "user_id", "advertiser_id"),
    *("pin_id", "value", "status"),
)
OF_CREDIT = ("impression_id", "impression_day", "touch_type", "match_level", "touch_ts", "credit")
OF_EXAMPLE = (
    *("task", "is_negative", "split", "label_weight", "maturity", "maturity_factor", "weight"),
    "evidence_dt",
)
STATUS_MEANS = {
    "attributed": "credited",
    "no_user": "no user: the report names nobody whose touches could have led to it",
    "no_touch": "no touch: nothing that its user was shown or acted on in the windows is of its "
    "Pin or its advertiser",
    "past_horizon": "past the horizon: it arrived later than the longest reporting lag, and "
    "found no touch",
    "duplicate": "duplicate: it repeats a report that was received before, which counts",
}


def describe_report(report: Report) -> Answer:
    """A conversion as it arrived, and what it was credited to."""
    first = report.rows[0]
    credits = [_pick(row, OF_CREDIT) for row in report.rows if row["impression_id"] is not None]
    return {
        **_pick(first, OF_REPORT),
        "arrived": first["dt"],
        "credits": sorted(credits, key=lambda row: (-row["credit"], row["touch_ts"])),
        "adjustments": [_pick(row, ADJUSTMENT) for row in report.adjustments],
    }


def describe_explained(
    found: Explained, raw_days: Mapping[Place, RawDay], learned: Learned | None
) -> Answer:
    """An impression, its labels, where their rows came from, and what a model knows of them."""
    impression = found.impression
    answer = {
        **_pick(impression, OF_IMPRESSION),
        "arrived": impression["dt"],
        "labels": [_describe_label(label, learned) for label in found.labels],
        "other_labels": [_pick(row, OF_LABEL) for row in found.others],
        "hard_negative": _describe_negative(found.negative, learned),
        "is_label_day": found.is_label_day,
        "stale": found.stale,
        "landed": [_describe_raw_day(raw_days[place]) for place in found.places],
    }
    if learned is not None:
        answer["examples"] = [_pick(row, OF_EXAMPLE) for row in learned.examples_of(impression)]
        labels = [label.row for label in found.labels] + found.others
        gone = learned.gone(impression, labels)
        answer["gone"] = [_pick(row, OF_LABEL) for row in gone]
    return answer


def _describe_label(label: Label, learned: Learned | None) -> Answer:
    row = label.row
    answer = {
        **_pick(row, OF_LABEL),
        "known_since": known_since(row),
        **label.reported,
        **_pick(row, OF_MATCH),
        "touches": [_pick(touch, OF_TOUCH) for touch in label.touches],
        "adjustments": [_pick(adjustment, ADJUSTMENT) for adjustment in label.adjustments],
        "factors": _pick(row, FACTORS),
        "weight": row["weight"],
    }
    if learned is not None:
        why_not, read = learned.why_not(row), learned.label_read(row)
        answer["model_knows"] = why_not is None
        answer["why_not"] = why_not
        answer["weight_read"] = None if read is None else read["weight"]
    return answer


def _describe_negative(negative: Row | None, learned: Learned | None) -> Answer | None:
    if negative is None:
        return None
    answer = {"engaged_dt": negative["engaged_dt"]}
    if learned is not None:
        why_not = learned.why_no_negative(negative)
        answer |= {"model_knows": why_not is None, "why_not": why_not}
    return answer


def _describe_raw_day(found: RawDay) -> Answer:
    described = {"table": found.table, "day": found.day, "files": found.files}
    return described | {"catalogue": found.catalogue}


def describe_model(learned: Learned | None) -> Answer | None:
    """The model that was asked, and which days it learned from."""
    if learned is None:
        return None
    return {
        "day": learned.day,
        "first_day": learned.window.first,
        "cutoff": learned.cutoff,
        "last_day": learned.window.last,
        "other_settings": learned.other_settings,
    }


def print_answer(answer: Answer, *, console: Console) -> None:
    """All of it for people; `answer` is what `--json` prints."""
    there = {(one["impression_id"], one["impression_day"]) for one in answer["impressions"]}
    for report in answer["conversions"]:
        _print_report(report, there, console=console)
    for number, impression in enumerate(answer["impressions"]):
        if number or answer["conversions"]:
            console.print()
        _print_impression(impression, console=console)
        if answer["model"] is not None:
            _print_examples(impression, answer["model"], console=console)


def _print_report(report: Answer, there: set[tuple], *, console: Console) -> None:
    """A conversion and its credits; `there` are the impressions that the lake still holds."""
    say(console, f"conversion {report['conversion_id']}: {report['event_name']}", style="bold")
    what = "" if report["pin_id"] is None else f" of Pin {report['pin_id']}"
    by = "" if report["advertiser_id"] is None else f", reported by {_advertiser(report)}"
    who = "nobody" if report["user_id"] is None else f"user {report['user_id']}"
    say(console, f"  by {who}{what}{by}{_reported(report)}")
    say(console, f"  {_happened(report['event_ts'], report['arrived'])}")
    for adjustment in report["adjustments"]:
        say(console, f"  {_adjusted(adjustment)}")
    is_credited = report["status"] == "attributed"
    say(console, f"  {STATUS_MEANS[report['status']]}", style=None if is_credited else "yellow")
    for credit in report["credits"]:
        is_there = (credit["impression_id"], credit["impression_day"]) in there
        gone = "" if is_there else ", gone from the lake: `convcg status` says what is stale"
        touched = f"impression {credit['impression_id']} of {credit['impression_day']}{gone}"
        say(console, f"    {credit['credit']:.6g} to {touched}: {_touched(credit)}")


def _print_impression(found: Answer, *, console: Console) -> None:
    title = f"impression {found['impression_id']} of {found['impression_day']}"
    say(console, title, style="bold")
    owner = "" if found["advertiser_id"] is None else f" of {_advertiser(found)}"
    beside = "" if found["subject_pin_id"] is None else f" beside Pin {found['subject_pin_id']}"
    query = "" if found["query"] is None else f" for {found['query']!r}"
    where = f"on {found['surface']}{beside}{query}"
    say(console, f"  user {found['user_id']} was shown Pin {found['pin_id']}{owner} {where}")
    say(console, f"  {_happened(found['impression_ts'], found['arrived'])}")
    if found["stale"] is not None:
        text = f"  labels of {found['impression_day']} are stale, `convcg repair` builds them: "
        say(console, text + found["stale"], style="yellow")
    if not found["is_label_day"]:
        say(console, "  no log has this day: no labels are made of it", style="yellow")
    elif not found["labels"]:
        say(console, "  no label: weighted_labels hold none", style="yellow")
    for label in found["labels"]:
        _print_label(label, found["user_id"], console=console)
    if found["other_labels"]:
        num, rest = len(found["other_labels"]), f"--impression {found['impression_id']}"
        labels = "1 more label" if num == 1 else f"{num} more labels"
        say(console, f"and {labels} of the impression: `convcg explain {rest}`")
    if found["hard_negative"] is not None:
        engaged = found["hard_negative"]["engaged_dt"]
        until = "" if engaged is None else f", for days T up to {engaged}: then it was engaged with"
        say(console, f"hard negative{until}", style="bold")
    say(console, "landed files that this rests on", style="bold")
    for raw_day in found["landed"]:
        _print_raw_day(raw_day, console=console)


def _print_label(label: Answer, shown_to: Any, *, console: Console) -> None:
    """A piece of evidence: what it is, what it was credited by, and its factors."""
    say(console, f"{label['task']} label: {_named(label)}{_reported(label)}", style="bold")
    since = f"known since {label['known_since']}"
    until = "" if label["until_dt"] is None else f", holds until {label['until_dt']}"
    happened = _happened(label["evidence_ts"], label["evidence_dt"])
    say(console, f"  {happened}; {since}{until}")
    if label.get("user_id") not in (None, shown_to):
        say(console, f"  by user {label['user_id']}, by then known to be the same person")
    for adjustment in label["adjustments"]:
        say(console, f"  {_adjusted(adjustment)}")
    for touch in label["touches"]:
        say(console, f"  credit {touch['credit']:.6g} by {_touched(touch)}{_acted(touch)}")
    product = " x ".join(f"{name} {value:.6g}" for name, value in label["factors"].items())
    say(console, f"  {product} = weight {label['weight']:.6g}")


def _print_raw_day(found: Answer, *, console: Console) -> None:
    place = f"  {found['table']} of {found['day']}"
    if found["files"] is None:
        say(console, f"{place}: not recorded; `convcg repair` reads it again", style="yellow")
        return
    names = [f"{stream}/{name}" for stream, of in found["files"].items() for name in of]
    more = f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else ""
    held = "" if found["catalogue"] is None else f", and the Pins of {found['catalogue']}"
    say(console, f"{place}: {', '.join(names[:SHOWN_FILES]) or 'no files'}{more}{held}")


def _print_examples(found: Answer, model: Answer, *, console: Console) -> None:
    """What a model knows of an impression, and of the labels that it does not know why not."""
    say(console, f"model of {model['day']}", style="bold")
    days = f"examples of {model['first_day']} to {model['last_day']}"
    say(console, f"  {days}, the holdout from the cutoff {model['cutoff']} on")
    if model["other_settings"]:
        text = "settings have changed since it was trained: it may have seen this otherwise"
        say(console, f"  {text}", style="yellow")
    for example in found["examples"]:
        say(console, f"  {_example(example)}")
    if not found["examples"]:
        say(console, "  none of its examples is of this impression", style="yellow")
    for label in found["labels"]:
        if label["why_not"] is not None:
            say(
                console, f"  {_named(label)} is not known to it: {label['why_not']}", style="yellow"
            )
            continue
        is_same = label["weight_read"] == label["weight"]
        then = "" if is_same else f", with the weight {label['weight_read']:.6g} that it had then"
        say(console, f"  {_named(label)} is known to it{then}", style=None if is_same else "yellow")
    for label in found["gone"]:
        say(console, f"  {_named(label)} is known to it, and is no label any more", style="yellow")
    negative = found["hard_negative"]
    if negative is not None and negative["why_not"] is not None:
        text = f"as a hard negative it is not known to it: {negative['why_not']}"
        say(console, f"  {text}", style="yellow")


def _example(example: Answer) -> str:
    kind = "hard negative" if example["is_negative"] else example["task"]
    weights = f"label_weight {example['label_weight']:.6g}"
    ripe = f"maturity_factor {example['maturity_factor']:.6g}"
    of = f"(maturity {example['maturity']:.6g})"
    return f"{kind}, {example['split']}: {weights} x {ripe} {of} = weight {example['weight']:.6g}"


def _named(label: Answer) -> str:
    """Evidence by its name and id; one that was restated, by the day since when it has its value.

    >>> _named({"evidence": "checkout", "evidence_id": "7", "since_dt": None})
    'checkout 7'
    """
    since = "" if label["since_dt"] is None else f" (restated on {label['since_dt']})"
    return f"{label['evidence']} {label['evidence_id']}{since}"


def _happened(time: Any, arrived: Any) -> str:
    return f"{time}, arrived {arrived}"


def _touched(touch: Answer) -> str:
    return f"{outcome_name(touch | {'status': 'attributed'})}, {touch['touch_ts']}"


def _acted(touch: Answer) -> str:
    if touch["engagement_id"] is None:
        return ""
    return (
        f" ({touch['engagement_type']} {touch['engagement_id']}, arrived {touch['engagement_dt']})"
    )


def _adjusted(adjustment: Answer) -> str:
    said = "taken back" if adjustment["value"] is None else f"restated to {adjustment['value']:.6g}"
    of = f"{adjustment['adjustment_type']} {adjustment['adjustment_id']}"
    when = f"{_happened(adjustment['adjustment_ts'], adjustment['adjustment_dt'])}"
    return f"{said} from {adjustment['dt']} on ({of}, {when})"


def _reported(row: Answer) -> str:
    """The value or the duration that a factor comes from, where there is one."""
    if row.get("value") is not None:
        return f", value {row['value']:.6g}"
    return f", {row['duration_s']:.6g} s" if row.get("duration_s") is not None else ""


def _advertiser(row: Answer) -> str:
    return f"advertiser {row['advertiser_id']}"


def _pick(row: Mapping[str, Any], names: tuple[str, ...]) -> Answer:
    return {name: row[name] for name in names}
