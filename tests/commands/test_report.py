"""`convcg report`: of which day, what it prints, and what it says where there is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Home, make_home

DAYS = ("2026-03-14", "2026-03-15")


def figure(task: str, scorer: str, recall: float, *, unseen: bool = False) -> dict[str, Any]:
    return {
        "task": task,
        "dimension": "seen before" if unseen else "all",
        "group": "unseen" if unseen else "all",
        "scorer": scorer,
        "num_queries": 40,
        "metrics": {"recall@100": {"value": recall}},
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with the reports of two days, as short as they may be."""
    made = make_home(tmp_path_factory.mktemp("reported"))
    for number, day in enumerate(DAYS):
        folder = made.home / "reports" / f"dt={day}"
        folder.mkdir(parents=True)
        figures = [
            figure("conversion", "model", 0.25 + number / 10),
            figure("conversion", "oracle", 0.75),
            figure("conversion", "model", 0.125, unseen=True),
        ]
        report = {"verdict": ["The model is ahead."], "evaluation": {"figures": figures}}
        (folder / "report.json").write_text(json.dumps(report))
        (folder / "report.html").write_text("<p>")
    return made


def test_the_newest_days_headline_and_page(home: Home) -> None:
    done = home.convcg("report")
    assert done.returncode == 0, done.stderr
    assert "model of 2026-03-15" in done.stdout
    said = " ".join(done.stdout.split())
    assert "all (40) model 0.350" in said
    assert "not seen before (40) model 0.125" in said
    assert "The model is ahead." in said
    for text in ("0.350", "0.750", "0.125", "ceiling"):
        assert text in done.stdout
    assert done.stdout.rstrip().endswith(str(home.home / "reports/dt=2026-03-15/report.html"))


def test_json_of_a_day(home: Home) -> None:
    answer = json.loads(home.convcg("report", "--day", "2026-03-14", "--json").stdout)
    assert answer["day"] == "2026-03-14"
    assert Path(answer["page"]).exists()
    assert answer["headline"][0]["recall@100"] == 0.25


def test_a_day_without_one_names_those_that_have_one(home: Home) -> None:
    failed = home.convcg("report", "--day", "2026-03-01")
    assert failed.returncode == 1
    assert (
        failed.stderr == "error: no report of 2026-03-01; days with one: 2026-03-14, 2026-03-15\n"
    )


def test_without_any_it_says_how_to_make_one(tmp_path: Path) -> None:
    failed = make_home(tmp_path).convcg("report")
    assert failed.returncode == 1
    assert "`convcg run` makes one" in failed.stderr
