"""What `convcg check` says of one stream: as JSON, and in print."""

import datetime as dt
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from convcg_assets.commands.console import say
from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.preview import Preview
from convcg_assets.sources.repeats import explain_repeats
from convcg_assets.sources.source import Source

SHOWN_FILES = 3
SHOWN_REASONS = 8
VALUE_WIDTH = 19
"""A time to the second; beside the columns stand as many rows as there is room for."""
PADDING = 2
RAW_WIDTH = 200
LONG_AGO = dt.timedelta(days=400)
"""An event that was received so long after it happened is more likely a wrong unit."""


def describe_stream(
    found: Preview, source: Source, *, errors: list[str], warnings: list[str]
) -> dict[str, Any]:
    """All that was found, as `--json` prints it; `ok` is whether it can be built from."""
    if found.rows is not None and found.rows.num_rejected and not found.rows.num_valid:
        errors = [*errors, "no row is valid"]
    errors, options = [*errors, *_many_repeats(found, source)], source.stream(found.stream)
    answer: dict[str, Any] = {
        "stream": found.stream,
        "folder": found.folder,
        "files": {str(day): names for day, names in found.files.items()},
        "missing": {str(day): why for day, why in found.missing.items()},
        "repeats_are": options.repeats if options is not None else None,
        "newest_landed": str(found.newest) if found.newest else None,
        "format": found.format,
        "file_columns": list(found.file_columns),
        "unused_columns": list(found.unused),
        "fault": found.fault,
        "errors": errors,
        "absent": {str(day): columns for day, columns in found.absent.items()},
        "warnings": [*warnings, *_old_times(found), *_absent_columns(found), *_not_selected(found)],
        "ok": not (found.fault or found.missing or errors),
    }
    if found.rows is None:
        return answer
    rows = found.rows
    return answer | {
        "rows": rows.num_rows,
        "valid": rows.num_valid,
        "rejected": rows.num_rejected,
        "ignored": rows.num_ignored,
        "not_selected": rows.num_elsewhere,
        "repeats": sum(repeats.num_repeats for repeats in rows.repeats.values()),
        "times": {name: [str(t) for t in bounds] for name, bounds in rows.times.items()},
        "columns": {c.name: {"type": c.type, "from": c.origin} for c in rows.columns},
        "first_rows": [
            {c.name: c.values[i] for c in rows.columns} for i in range(len(rows.columns[0].values))
        ],
        "reasons": [
            {
                "reason": r.reason,
                "rows": r.num_rows,
                "day": str(r.day),
                "file": r.file,
                "row": r.row,
                "raw": r.raw,
                "hint": r.hint,
            }
            for r in rows.reasons
        ],
    }


def _many_repeats(found: Preview, source: Source) -> list[str]:
    """What a landing says of days with many equal rows, with the line that they rather need."""
    options = source.stream(found.stream)
    if found.rows is None or options is None or options.repeats is not None:
        return []
    return [
        f"a build would stop: dt={day}: "
        + explain_repeats(repeats, stream=found.stream, proposal=found.rows.proposal)
        for day, repeats in found.rows.repeats.items()
        if repeats.are_many
    ]


def _old_times(found: Preview) -> list[str]:
    """Of events, times that lie long before the days that were looked at."""
    if found.rows is None or not STREAMS[found.stream].is_event or not found.files:
        return []
    oldest = dt.datetime.combine(min(found.files), dt.time()) - LONG_AGO
    return [
        f"{name} goes back to {low:%Y-%m-%d %H:%M}: is its time_unit right?"
        for name, (low, _high) in found.rows.times.items()
        if low < oldest
    ]


def _absent_columns(found: Preview) -> list[str]:
    """Columns that the files of some days have and others lack."""
    lines = []
    for day, columns in found.absent.items():
        listed = ", ".join(f"{name} ({rows:,} rows)" for name, rows in columns.items())
        lines.append(f"dt={day}: null, since files lack the column: {listed}")
    return lines


def _not_selected(found: Preview) -> list[str]:
    """What the files hold where `where` selects none of their rows."""
    return [
        f"streams.{found.stream}.where selects no row: {column} is {', '.join(map(repr, values))}"
        for column, values in found.not_selected.items()
    ]


def print_stream(answer: dict[str, Any], *, console: Console) -> None:
    """One stream for people; `answer` is what `describe_stream` gives."""
    console.print()
    console.rule(Text(answer["stream"], style="bold"), align="left")
    kind = f"{answer['format']} files below " if answer["format"] else ""
    say(console, f"{kind}{answer['folder']}")
    for day, files in answer["files"].items():
        more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
        say(console, f"  dt={day}: {', '.join(files[:SHOWN_FILES]) or 'no files'}{more}")
    for day, why in answer["missing"].items():
        say(console, f"  dt={day}: missing: {why}", style="red")
    if answer["missing"]:
        say(console, f"  newest day that has landed: {answer['newest_landed'] or 'none'}")
    if answer["fault"] is not None:
        say(console, f"error: {answer['fault']}", style="red")
        return
    if answer["file_columns"]:
        _print_columns(answer, console=console)
        _print_rows(answer, console=console)


def _print_columns(answer: dict[str, Any], *, console: Console) -> None:
    """One line per canonical column: its type, where it comes from, its first values."""
    described = [
        (name, column["type"].removesuffix("(6)"), column["from"])
        for name, column in answer["columns"].items()
    ]
    taken = sum(max(map(len, texts)) + PADDING for texts in zip(*described, strict=True))
    room = (console.width - taken) // (VALUE_WIDTH + PADDING)
    rows = answer["first_rows"][: max(room, 1)]
    table = Table(box=None, pad_edge=False, padding=(0, PADDING, 0, 0), header_style="dim")
    for title in ("column", "type", "from"):
        table.add_column(title, no_wrap=True)
    for number in range(1, len(rows) + 1):
        table.add_column(f"row {number}", no_wrap=True, overflow="ellipsis", max_width=VALUE_WIDTH)
    for name, kind, origin in described:
        is_there = not origin.startswith(("not in the files", "left out"))
        values = (_value(row[name]) for row in rows)
        table.add_row(name, kind, Text(origin), *values, style="" if is_there else "dim")
    say(console, "as it will be read:")
    console.print(table)
    if answer["unused_columns"]:
        say(console, f"columns of the files not used: {', '.join(answer['unused_columns'])}")
    for name, (low, high) in answer["times"].items():
        say(console, f"{name}: {low[:19]} to {high[:19]}")


def _print_rows(answer: dict[str, Any], *, console: Console) -> None:
    """How many rows are valid, and of the others why not."""
    num = answer["valid"] + answer["rejected"]
    share = f" ({answer['rejected'] / num:.1%})" if answer["rejected"] else ""
    parts = [f"{answer['valid']:,} valid", f"{answer['rejected']:,} rejected{share}"]
    if answer["ignored"]:
        parts.append(f"{answer['ignored']:,} of events left out on purpose")
    if answer["not_selected"]:
        parts.append(f"{answer['not_selected']:,} not selected by where")
    if answer["repeats"]:
        parts.append(f"{answer['repeats']:,} equal to one before them{_said_of_repeats(answer)}")
    style = "red" if answer["errors"] else "yellow" if answer["rejected"] else "green"
    say(console, f"{answer['rows']:,} rows: {', '.join(parts)}", style=style)
    for reason in answer["reasons"][:SHOWN_REASONS]:
        say(console, f"  {reason['rows']:,} x {reason['reason']}", style="yellow")
        raw = (
            reason["raw"] if len(reason["raw"]) <= RAW_WIDTH else reason["raw"][:RAW_WIDTH] + "..."
        )
        say(console, f"      dt={reason['day']}/{reason['file']}, row {reason['row']}: {raw}")
        if reason["hint"]:
            say(console, f"      {reason['hint']}", style="cyan")
    if len(answer["reasons"]) > SHOWN_REASONS:
        say(console, f"  and {len(answer['reasons']) - SHOWN_REASONS} more reasons")
    for warning in answer["warnings"]:
        say(console, f"  warning: {warning}", style="yellow")
    for error in answer["errors"]:
        say(console, f"  error: {error}", style="red")


def _said_of_repeats(answer: dict[str, Any]) -> str:
    said = {"keep": ", kept: `repeats: keep`", "drop": ", left out: `repeats: drop`"}
    return said.get(answer["repeats_are"] or "", "")


def _value(value: Any) -> Text:
    if value is None:
        return Text("null", style="dim")
    if isinstance(value, list):
        return Text(f"[{', '.join(f'{x:.3g}' for x in value[:2])}, ...] ({len(value)})")
    if isinstance(value, dt.datetime):
        return Text(value.isoformat(sep=" ", timespec="seconds"))
    return Text(str(value))
