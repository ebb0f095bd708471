"""Rows that break a check, as a person reads them on a console: a small table of text."""

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN_ROWS = 3
MAX_WIDTH = 48
"""Longer values are cut."""
SHARES = ("share", "at_most")
"""Columns that are told in percent."""


def small_table(rows: Sequence[Mapping[str, Any]], *, num_rows: int, elsewhere: str) -> list[str]:
    """Lines: the first few of `num_rows` rows below their columns, and how many more there are.

    `elsewhere` says where they stand.

    >>> rows = [{"dt": "2026-01-05", "user_id": 3}, {"dt": "2026-01-06", "user_id": None}]
    >>> for line in small_table(rows, num_rows=40, elsewhere="in the UI"):
    ...     print(line)
    dt          user_id
    2026-01-05  3
    2026-01-06  null
    and 38 more: in the UI
    """
    shown = rows[:SHOWN_ROWS]
    if not shown:
        return []
    names = list(shown[0])
    cells = [names, *([_cell(name, row.get(name)) for name in names] for row in shown)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    if num_rows > len(shown):
        lines.append(f"and {num_rows - len(shown):,} more: {elsewhere}")
    return lines


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "null"
    form = ".1%" if name in SHARES else ".4g"
    text = format(value, form) if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= MAX_WIDTH else text[: MAX_WIDTH - 1] + "…"
