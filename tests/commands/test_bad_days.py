"""`convcg run` on logs of which a day cannot be read: the others are built, and it says so."""

import datetime as dt
import json
from pathlib import Path

import pytest

from .conftest import Home, make_home

FIRST = dt.date(2026, 1, 2)
NUM_DAYS = 4
SOURCE = f"""
name: shop
first_day: {FIRST}
streams:
  engagements: {{path: "views/{{year}}/{{month}}/{{day}}/{{hour}}/", format: csv}}
  conversions: {{}}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Home:
    """Four days: views in folders of hours, purchases in folders of days."""
    home = make_home(tmp_path / "home")
    (home.home / "source.yaml").write_text(SOURCE)
    for number in range(NUM_DAYS):
        day = FIRST + dt.timedelta(days=number)
        for hour in (3, 22):
            rows = [f"u{u},p{u % 3},{day} {hour:02}:00:0{u},click" for u in range(5)]
            lines = ["user_id,pin_id,engagement_ts,engagement_type", *rows, ""]
            write(home, f"views/{day:%Y/%m/%d}/{hour:02}/part-0", "\n".join(lines))
        rows = [f"c{number}{u},u{u},p{u % 3},{day} 23:00:00,checkout" for u in range(2)]
        lines = ["conversion_id,user_id,pin_id,event_ts,event_name", *rows, ""]
        write(home, f"conversions/dt={day}/a.csv", "\n".join(lines))
    return home


def write(home: Home, name: str, text: str) -> Path:
    path = home.home / "landing" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_good_days_are_built_and_the_bad_one_is_named(shop: Home) -> None:
    bad = write(shop, "views/2026/01/03/03/part-1", "user,pin\n1,2\n")
    last = write(shop, "conversions/dt=2026-01-05/b.csv", "")
    write(shop, "views/2026/01/04/03/part-1.tmp", "half a r")
    done = shop.convcg(
        *("run", "--only", "raw_events", "--only", "attributed_conversions"),
        *("--no-checks", "--json"),
    )
    assert done.returncode == 1
    assert done.stdout, done.stderr
    outcome = json.loads(done.stdout)
    assert set(outcome["failed_days"]) == {"2026-01-03", "2026-01-05"}
    assert f"{bad}: no column 'user_id'; nearest: 'user'" in outcome["failed_days"]["2026-01-03"]
    raw, attributed = outcome["steps"]
    assert raw["rows"]["engagements"] == 20
    assert raw["left_out_files"] == ["engagements: not read: dt=2026-01-04/03/part-1.tmp"]
    # What comes after is built to the last day that has landed; the bad day between has no rows.
    assert (attributed["first_day"], attributed["last_day"]) == ("2026-01-02", "2026-01-04")
    assert attributed["rows"] == {"attributed_conversions": 4}
    assert outcome["model_day"] == "2026-01-05"
    *_, told = done.stderr.partition("error: ")
    assert told.startswith("2 of 4 days cannot be read:")
    assert str(bad) in told
    assert f"{last}: empty file" in told
    assert "Traceback" not in done.stderr


def test_with_checks_the_run_goes_on_after_a_bad_day(shop: Home) -> None:
    bad = write(shop, "conversions/dt=2026-01-03/b.csv", "")
    done = shop.convcg("run", "--only", "raw_events", "--only", "attributed_conversions")
    assert done.returncode == 1
    assert "[2/2] attributed_conversions 2026-01-02...2026-01-05" in done.stdout
    assert done.stderr.count(str(bad)) == 1
    assert "DagsterAssetCheckFailedError" not in done.stderr
