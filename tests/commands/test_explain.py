"""`convcg explain`: labels of a log whose ids are text, with a merge and with adjustments."""

import datetime as dt
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.builds.cleanup import purge
from convcg_assets.commands.label_page import STATUS_MEANS
from convcg_assets.days import Days
from convcg_assets.deployment import current_deployment
from convcg_assets.lake.delta import Lake
from convcg_assets.lake.engine import connect
from convcg_assets.tables.attributed_conversions import STATUSES
from tests.builds.deployment import build_once

from .conftest import Convcg

FIRST = dt.date(2026, 1, 2)
NUM_DAYS = 6
MODEL = FIRST + NUM_DAYS * dt.timedelta(days=1)
SETTINGS = """
attribution: {click_window_days: 7, engagement_window_days: 7, view_window_days: 1}
examples: {training_days: 5, holdout_days: 1}
negatives: {sample_rate: 1}
"""
SOURCE = f"""
name: shop
first_day: {FIRST}
streams:
  impressions: {{}}
  engagements: {{}}
  conversions: {{}}
  conversion_adjustments: {{}}
  user_merges: {{}}
"""
HEADERS = {
    "impressions": "impression_id,user_id,pin_id,advertiser_id,impression_ts,surface,query",
    "engagements": "engagement_id,impression_id,user_id,pin_id,engagement_ts,engagement_type,"
    "duration_s",
    "conversions": "conversion_id,user_id,advertiser_id,pin_id,event_name,event_id,event_ts,"
    "received_ts,value",
    "conversion_adjustments": "adjustment_id,adjustment_type,event_id,adjustment_ts,received_ts,"
    "value",
    "user_merges": "merge_id,from_user_id,to_user_id,merged_ts,received_ts",
}
ROWS = {
    ("impressions", 0): [
        "007,ann,lamp,shop,2026-01-02 10:00:00,search,red lamp",
        "ignored,cid,lamp,shop,2026-01-02 10:00:00,homefeed,",
        "early,cid,lamp,shop,2026-01-01 22:00:00,homefeed,",
    ],
    # Delivered again on the day after: the first counts.
    ("impressions", 1): ["007,ann,lamp,shop,2026-01-02 10:00:00,search,red lamp"],
    ("engagements", 1): ["e1,007,ann,lamp,2026-01-02 23:59:00,click,29"],
    ("user_merges", 1): ["m1,ann,ann@home,2026-01-03 08:00:00,2026-01-03 08:00:00"],
    ("conversions", 2): [
        "c1,ann@home,shop,lamp,checkout,o1,2026-01-03 12:00:00,2026-01-04 01:00:00,50",
        "c2,ann,shop,,lead,,2026-01-02 10:30:00,2026-01-04 02:00:00,",
        "c1-again,ann@home,shop,lamp,checkout,o1,2026-01-03 12:00:00,2026-01-04 03:00:00,50",
        "c3,bob,shop,lamp,checkout,,2026-01-04 12:00:00,2026-01-04 12:00:00,",
    ],
    ("conversion_adjustments", 3): [
        "a1,restatement,o1,2026-01-05 09:00:00,2026-01-05 09:00:00,200"
    ],
    ("conversion_adjustments", 5): ["a2,retraction,o1,2026-01-06 09:00:00,2026-01-07 09:00:00,"],
}


def day(offset: int) -> str:
    return str(FIRST + offset * dt.timedelta(days=1))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose logs have landed."""
    made = tmp_path_factory.mktemp("explained")
    (made / "settings.yaml").write_text(SETTINGS)
    (made / "source.yaml").write_text(SOURCE)
    for offset in range(NUM_DAYS):
        for stream, header in HEADERS.items():
            folder = made / "landing" / stream / f"dt={day(offset)}"
            folder.mkdir(parents=True)
            rows = ROWS.get((stream, offset), [])
            (folder / "log.csv").write_text("\n".join([header, *rows, ""]))
    return made


@pytest.fixture(scope="module")
def con() -> Iterator[Backend]:
    backend = connect(memory_limit="1GB", threads=1)
    yield backend
    backend.disconnect()


@pytest.fixture(scope="module")
def built(home: Path, con: Backend) -> Path:
    """All tables of the logs, and a model that says which it was trained on."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CONVCG_HOME", str(home))
        patched.setenv("CONVCG_SETTINGS", str(home / "settings.yaml"))
        current_deployment.cache_clear()
        deployment = current_deployment()
    current_deployment.cache_clear()
    days = [FIRST + offset * dt.timedelta(days=1) for offset in range(NUM_DAYS)]
    build_once(deployment, days, con=con, models=[MODEL])
    provenance = {
        "table_versions": {table: deployment.lake.version(table) for table in deployment.tables},
        "examples": {"settings": deployment.recipes["training_examples"].settings},
    }
    folder = home / "models" / f"dt={MODEL}"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"provenance": provenance}))
    return home


@pytest.fixture
def explain(convcg: Convcg, built: Path, monkeypatch: pytest.MonkeyPatch) -> Convcg:
    """Runs `convcg explain` in the home that is built."""
    monkeypatch.setenv("CONVCG_HOME", str(built))
    monkeypatch.setenv("CONVCG_SETTINGS", str(built / "settings.yaml"))
    return lambda *arguments: convcg("explain", *arguments)


def answer_of(explain: Convcg, *arguments: str) -> dict[str, Any]:
    done = explain(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


PAGE = """\
impression 007 of 2026-01-02
  user ann was shown Pin lamp of advertiser shop on search for 'red lamp'
  2026-01-02 10:00:00, arrived 2026-01-02
conversion label: lead c2
  2026-01-02 10:30:00, arrived 2026-01-04; known since 2026-01-04
  credit 1 by view of its advertiser, 2026-01-02 10:00:00
  event_weight 0.3 x value_factor 1 x credit 1 x match_factor 0.3 x duration_factor 1 = weight 0.09
conversion label: checkout c1, value 50
  2026-01-03 12:00:00, arrived 2026-01-04; known since 2026-01-04, holds until 2026-01-05
  by user ann@home, by then known to be the same person
  restated to 200 from 2026-01-05 on (restatement a1, 2026-01-05 09:00:00, arrived 2026-01-05)
  credit 1 by click on the Pin, 2026-01-02 23:59:00 (click e1, arrived 2026-01-03)
  event_weight 1 x value_factor 1 x credit 1 x match_factor 1 x duration_factor 1 = weight 1
conversion label: checkout c1 (restated on 2026-01-05), value 200
  2026-01-03 12:00:00, arrived 2026-01-04; known since 2026-01-05, holds until 2026-01-07
  by user ann@home, by then known to be the same person
  restated to 200 from 2026-01-05 on (restatement a1, 2026-01-05 09:00:00, arrived 2026-01-05)
  taken back from 2026-01-07 on (retraction a2, 2026-01-06 09:00:00, arrived 2026-01-07)
  credit 1 by click on the Pin, 2026-01-02 23:59:00 (click e1, arrived 2026-01-03)
  event_weight 1 x value_factor 1.34881 x credit 1 x match_factor 1 x duration_factor 1 = weight \
1.34881
engagement label: click e1, 29 s
  2026-01-02 23:59:00, arrived 2026-01-03; known since 2026-01-03
  event_weight 1 x value_factor 1 x credit 1 x match_factor 1 x duration_factor 0.827366 = weight \
0.827366
hard negative, for days T up to 2026-01-03: then it was engaged with
landed files that this rests on
  impressions of 2026-01-02: impressions/log.csv
  engagements of 2026-01-03: engagements/log.csv
  conversions of 2026-01-04: conversions/log.csv
  conversion_adjustments of 2026-01-05: conversion_adjustments/log.csv
  conversion_adjustments of 2026-01-07: conversion_adjustments/log.csv
  user_merges of 2026-01-03: user_merges/log.csv
"""
OF_MODEL = """\
model of 2026-01-08
  examples of 2026-01-02 to 2026-01-07, the holdout from the cutoff 2026-01-07 on
  conversion, train: label_weight 1.43881 x maturity_factor 1.66667 (maturity 1) = weight 2.39802
  engagement, train: label_weight 0.827366 x maturity_factor 1 (maturity 1) = weight 0.827366
  lead c2 is known to it
  checkout c1 is not known to it: it held until 2026-01-05, and training took what was known \
before 2026-01-07
  checkout c1 (restated on 2026-01-05) is known to it
  click e1 is known to it
  as a hard negative it is not known to it: it was engaged with by 2026-01-03, and training took \
what was known before 2026-01-07
"""


def test_an_impression_in_print(explain: Convcg) -> None:
    done = explain("--impression", "007")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == PAGE
    assert explain("--impression", "007", "--model", MODEL).stdout == PAGE + OF_MODEL


def test_everything_as_json(explain: Convcg, con: Backend, built: Path) -> None:
    answer = answer_of(explain, "--impression", "007", "--day", day(0), "--model", str(MODEL))
    (impression,) = answer["impressions"]
    assert (impression["impression_id"], impression["arrived"]) == ("007", day(0))
    lead, reported, restated, click = impression["labels"]
    named = [label["evidence_id"] for label in impression["labels"]]
    assert named == ["c2", "c1", "c1", "e1"]
    assert (reported["value"], reported["since_dt"], reported["until_dt"]) == (50, None, day(3))
    assert (restated["value"], restated["since_dt"], restated["until_dt"]) == (200, day(3), day(5))
    assert [a["adjustment_id"] for a in restated["adjustments"]] == ["a1", "a2"]
    assert (lead["touch_type"], lead["match_level"], lead["touches"][0]["credit"]) == (
        "view",
        "advertiser",
        1,
    )
    (touch,) = restated["touches"]
    assert (touch["engagement_id"], touch["engagement_dt"]) == ("e1", day(1))
    assert click["duration_s"] == 29
    view = Lake(str(built / "lake"), {}).read("weighted_labels", [FIRST], con=con).get_name()
    names = ", ".join(restated["factors"])
    held = con.con.execute(f"SELECT {names}, weight FROM {view} WHERE since_dt IS NOT NULL")
    assert held.fetchall() == [(*restated["factors"].values(), restated["weight"])]
    assert [label["model_knows"] for label in impression["labels"]] == [True, False, True, True]
    conversion, engagement = impression["examples"]
    assert (conversion["task"], conversion["split"]) == ("conversion", "train")
    assert conversion["label_weight"] == pytest.approx(lead["weight"] + restated["weight"])
    assert engagement["label_weight"] == click["weight"]
    assert answer["model"] == {
        "day": str(MODEL),
        "first_day": day(0),
        "cutoff": day(5),
        "last_day": day(5),
        "other_settings": False,
    }
    assert impression["landed"][1] == {
        "table": "engagements",
        "day": day(1),
        "files": {"engagements": ["log.csv"]},
        "catalogue": None,
    }
    assert (impression["stale"], impression["is_label_day"]) == (None, True)


def test_a_conversion_and_the_labels_that_it_is_evidence_of(explain: Convcg) -> None:
    done = explain("--conversion", "c1", "--model", MODEL)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(
        "conversion c1: checkout\n"
        "  by user ann@home of Pin lamp, reported by advertiser shop, value 50\n"
        "  2026-01-03 12:00:00, arrived 2026-01-04\n"
        "  restated to 200 from 2026-01-05 on (restatement a1, "
    )
    credited = "    1 to impression 007 of 2026-01-02: click on the Pin, 2026-01-02 23:59:00"
    assert credited in done.stdout.splitlines()
    assert "lead c2" not in done.stdout
    assert "and 2 more labels of the impression: `convcg explain --impression 007`" in done.stdout
    answer = answer_of(explain, "--conversion", "c1", "--day", day(2))
    (impression,) = answer["impressions"]
    assert [label["evidence_id"] for label in impression["labels"]] == ["c1", "c1"]
    assert [label["evidence_id"] for label in impression["other_labels"]] == ["c2", "e1"]


@pytest.mark.parametrize(("conversion", "status"), [("c1-again", "duplicate"), ("c3", "no_touch")])
def test_why_a_conversion_has_no_label(explain: Convcg, conversion: str, status: str) -> None:
    done = explain("--conversion", conversion, "--model", MODEL)
    assert done.stdout.splitlines()[-1] == f"  {STATUS_MEANS[status]}"
    answer = answer_of(explain, "--conversion", conversion)
    assert (answer["conversions"][0]["status"], answer["impressions"]) == (status, [])


def test_every_status_has_words() -> None:
    assert set(STATUS_MEANS) == set(STATUSES)


def test_a_hard_negative(explain: Convcg) -> None:
    done = explain("--impression", "ignored", "--model", MODEL)
    lines = done.stdout.splitlines()
    assert "  no label: weighted_labels hold none" in lines
    assert "hard negative" in lines
    example = "label_weight 1 x maturity_factor 1 (maturity 1) = weight 1"
    assert lines[-1] == f"  hard negative, train: {example}"


def test_an_impression_of_before_the_logs(explain: Convcg) -> None:
    done = explain("--impression", "early", "--day", FIRST - dt.timedelta(days=1))
    assert done.exit_code == 0, done.stderr
    assert "  no log has this day: no labels are made of it" in done.stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--impression", "7"),
            "no impression 7 in the lake (looked in impressions of 2 days, 2026-01-02 to "
            "2026-01-03). Is it the impression_id as the log has it? ",
        ),
        (
            ("--impression", "007", "--day", day(2)),
            f"no impression 007 was shown on {day(2)} (looked in impressions of 4 days, "
            f"{day(1)} to {day(4)}). It was on {day(0)}: say so by --day",
        ),
        (
            ("--conversion", "c9"),
            "no conversion c9 in the lake (looked in attributed_conversions of 2026-01-04). Is it "
            "the conversion_id as the log has it? ",
        ),
        (
            ("--conversion", "c1", "--day", day(3)),
            f"no conversion c1 arrived on {day(3)} (looked in attributed_conversions of {day(3)}). "
            f"It did on {day(2)}: say so by --day",
        ),
        (
            ("--impression", "007", "--model", day(4)),
            f"no model of {day(4)}; days with one: {MODEL}",
        ),
    ],
)
def test_what_is_not_there_is_told_with_where_it_was_looked_for(
    explain: Convcg, arguments: tuple[str, ...], said: str
) -> None:
    failed = explain(*arguments)
    assert failed.exit_code == 1
    assert failed.stderr.startswith(f"error: {said}")


@pytest.fixture
def copied(built: Path, explain: Convcg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home again, to be changed: `explain` runs in it."""
    copy = tmp_path / "copied"
    shutil.copytree(built, copy)
    monkeypatch.setenv("CONVCG_HOME", str(copy))
    return copy


def model_says(home: Path, **changed: Any) -> None:
    path = home / "models" / f"dt={MODEL}" / "model.json"
    provenance = json.loads(path.read_text())["provenance"]
    path.write_text(json.dumps({"provenance": provenance | changed}))


def test_a_model_of_other_settings(explain: Convcg, copied: Path) -> None:
    model_says(copied, examples={"settings": "other"})
    done = explain("--impression", "007", "--model", MODEL)
    assert "settings have changed since it was trained" in done.stdout


def test_a_model_that_does_not_say_what_it_was_trained_on(explain: Convcg, copied: Path) -> None:
    model_says(copied, table_versions={})
    failed = explain("--impression", "007", "--model", MODEL)
    assert failed.exit_code == 1
    assert "does not say which versions of the tables it was trained on" in failed.stderr


def test_a_model_whose_files_are_gone(explain: Convcg, copied: Path, con: Backend) -> None:
    current_deployment.cache_clear()
    deployment = current_deployment()
    only = Days(FIRST, FIRST)
    build_table(deployment, "weighted_labels", only, con=con)
    purge(deployment)
    failed = explain("--impression", "007", "--model", MODEL)
    assert failed.exit_code == 1
    assert "`convcg forget --retrain` trains such models again" in failed.stderr
    assert explain("--impression", "007").stdout == PAGE


def test_what_has_landed_and_is_not_built_yet(explain: Convcg, copied: Path, con: Backend) -> None:
    """A new day: a conversion of the lamp, and a click on what nobody had clicked on."""
    new = FIRST + NUM_DAYS * dt.timedelta(days=1)
    rows = {
        "conversions": ["c4,ann,shop,lamp,checkout,,2026-01-07 10:00:00,2026-01-08 10:00:00,"],
        "impressions": ["i2,bob,sofa,shop,2026-01-08 10:00:00,homefeed,"],
    }
    for stream, header in HEADERS.items():
        folder = copied / "landing" / stream / f"dt={new}"
        folder.mkdir(parents=True)
        (folder / "log.csv").write_text("\n".join([header, *rows.get(stream, []), ""]))
    assert "no conversion c4 in the lake" in explain("--conversion", "c4").stderr
    current_deployment.cache_clear()
    build_table(current_deployment(), "raw_events", Days(new, new), con=con)
    failed = explain("--conversion", "c4")
    assert f"no conversion c4 is attributed yet (looked in attributed_conversions of {day(2)})" in (
        failed.stderr
    )
    assert f"though the logs of {new} hold it: `convcg status`" in failed.stderr
    stale = explain("--impression", "i2")
    assert f"labels of {new} are stale, `convcg repair` builds them: not built yet" in stale.stdout
