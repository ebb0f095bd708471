"""The page on sizes: its columns are what its formulas give with its rates."""

import math
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "production.md").read_text(encoding="utf-8")
SIZES = ((10, 1), (100, 5), (1_000, 20))
"""Million impressions a day, million Pins."""


def shown(row: str) -> list[float]:
    """The last three cells of the row that begins so."""
    (line,) = re.findall(rf"^\| \**{re.escape(row)}.*$", PAGE, re.MULTILINE)
    cells = [cell.strip(" *").replace(",", "") for cell in line.strip("|").split("|")]
    return [float(cell) for cell in cells[-3:]]


def expected(impressions: float, pins: float) -> dict[str, float]:
    users = impressions / 6.9
    new, labels, checks = (s * impressions / 3600 for s in (21, 37 * (1.4 + 2.6), 3))
    events, replaced = 365 * 48.5 * impressions / 1e3, 7 * 37 * 25.7 * impressions / 1e3
    snapshots = 365 * (132 * users + 134 * pins) / 1e3
    examples, steps = 30 * 0.17 * impressions, 30 * 0.094 * impressions * 1e6 / 2048
    requests = impressions * 1e6 / 10 / 86_400 * 3
    processes = math.ceil(requests / (784 / 2)) + 1
    candidates = users * 1e6 / 2000 / 3600
    dollars = {
        "tables |": 30 * 0.05 * (new + labels + checks),
        "candidates |": 30 * 0.05 * candidates,
        "training |": 30 * 3 * 4 * steps * 0.06 / 3600,
        "server |": processes * 2 * 720 * 0.05,
        "webserver, daemon, code location, metrics: 2 cores": 2 * 720 * 0.05,
        "lake |": (events + snapshots + replaced) * 0.023,
    }
    return {
        "users, millions": users,
        "build of the new day": new,
        "37 label days again": labels,
        "checks |": checks,
        "tables, core-hours": new + labels + checks,
        "landed, GB": (17.9 * impressions + 12.9 * users + 62 * pins) / 1e3,
        "lake of a year": events,
        "and users, Pins": snapshots,
        "replaced files": replaced,
        "lake, GB": events + snapshots + replaced,
        "examples of 30 days": examples,
        "steps of an epoch": steps,
        "memory of the training": 0.83 + 0.147 * examples,
        "index, minutes": 83 * pins / 60,
        "server: Pins and users": 0.54 + 1.5 * pins + 0.33 * users,
        "requests a second": requests,
        "processes of two cores": processes,
        "candidates of all users": candidates,
        **dollars,
        "sum, without": sum(dollars.values()),
    }


@pytest.mark.parametrize("row", expected(*SIZES[0]))
def test_a_row_is_what_its_formula_gives(row: str) -> None:
    for value, (impressions, pins) in zip(shown(row), SIZES, strict=True):
        rounded = 0.5 if value.is_integer() else 0.03
        assert value == pytest.approx(expected(impressions, pins)[row], rel=0.06, abs=rounded)
