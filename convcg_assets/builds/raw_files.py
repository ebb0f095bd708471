"""Which landed files a day of a raw table was read from, as the ledger has recorded it."""

import datetime as dt
from dataclasses import dataclass

from convcg_assets.builds.state import TableState
from convcg_assets.lake.ledger import Ledger
from convcg_assets.sources.landed import stream_of


@dataclass(frozen=True)
class RawDay:
    """A day of a raw table: by stream the files that it was read from, None where none is known.

    `catalogue` is the older day whose Pins named advertisers where the day had no Pins itself.
    """

    table: str
    day: dt.date
    files: dict[str, list[str]] | None
    catalogue: dt.date | None = None


def read_from(table: str, day: dt.date, *, state: TableState, ledger: Ledger) -> RawDay:
    """What the files were read from that now hold a day of a raw table."""
    detail = ledger.build_detail(table, day, state.key(day))
    if detail is None:
        return RawDay(table, day, None)
    files: dict[str, list[str]] = {}
    for file in sorted(detail["landing"]):
        stream = stream_of(file)
        files.setdefault(stream, []).append(file.removeprefix(f"{stream}/"))
    held = [dt.date.fromisoformat(of) for of in detail.get("pins", ())]
    return RawDay(table, day, files, held[0] if held else None)
