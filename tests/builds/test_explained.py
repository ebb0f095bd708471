"""What is said of a label is what the tables hold; what a model knows is what it learned from."""

import datetime as dt
import json
import math
from itertools import groupby
from pathlib import Path
from random import Random

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import build_table
from convcg_assets.builds.explained import (
    ATTRIBUTED,
    LABELS,
    NEGATIVES,
    Explained,
    Look,
    Row,
    explain_impression,
    find_impressions,
    find_reports,
    known_since,
    open_look,
)
from convcg_assets.builds.learned import Learned, model_days, read_learned
from convcg_assets.builds.raw_files import read_from
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.sources.columns import ADJUSTMENTS, MERGES, STREAMS
from convcg_assets.tables.weighted_label_checks import FACTORS

from .deployment import SETTINGS, build_once, make_deployment
from .logs import DAY, Landing, at, day, make_source

NUM_DAYS = 6
MODELS = [day(offset) for offset in range(3, NUM_DAYS + 1)]
SEED = 18
"""Of a world in which every reason comes up."""
LINEAR = SETTINGS.model_copy(
    update={"attribution": SETTINGS.attribution.model_copy(update={"model": "linear"})}
)
"""Several touches share a conversion."""


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Landing:
    folder: Path = tmp_path_factory.mktemp("explained")
    landing = Landing(folder / "landing", Random(SEED), adjusts=True, merges=True)
    for offset in range(NUM_DAYS):
        landing.land(offset)
    for stream in ("impressions", "engagements", "conversions", ADJUSTMENTS, MERGES):
        for offset in range(NUM_DAYS):
            landing.add_late_file(stream, day(offset))
    return landing


@pytest.fixture(scope="module")
def deployment(landing: Landing, con: Backend) -> Deployment:
    source = make_source(landing.root, adjusts=True, merges=True)
    deployment = make_deployment(landing.root.parent / "home", source, settings=LINEAR)
    build_once(deployment, landing.days, con=con, models=MODELS)
    models_of(deployment)
    return deployment


@pytest.fixture(scope="module")
def look(deployment: Deployment, con: Backend) -> Look:
    return open_look(deployment, con=con)


@pytest.fixture(scope="module")
def found(look: Look) -> list[Explained]:
    """Every impression that there is."""
    return every_impression(look)


def models_of(deployment: Deployment) -> None:
    """Models that say what they were trained on: the tables as they are now."""
    versions = {table: deployment.lake.version(table) for table in deployment.tables}
    for model in MODELS:
        folder = deployment.models / f"dt={model}"
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(json.dumps({"provenance": {"table_versions": versions}}))


def every_row(look: Look, table: str) -> list[Row]:
    found = look.fetch(look.rows(table, look.days(table)))
    assert found, table
    return found


def every_impression(look: Look, *, since: dt.date = dt.date.min) -> list[Explained]:
    """Every impression that was shown on a day or later."""
    every = every_row(look, "impressions")
    ids = {row["impression_id"] for row in every if row["impression_day"] >= since}
    return [
        explain_impression(look, row) for one in sorted(ids) for row in find_impressions(look, one)
    ]


def in_order(rows: list[Row]) -> list[str]:
    return sorted(map(repr, rows))


def test_the_labels_of_all_impressions_are_all_labels(look: Look, found: list[Explained]) -> None:
    labels = [label.row for one in found for label in one.labels]
    assert in_order(labels) == in_order(every_row(look, LABELS))
    negatives = [one.negative for one in found if one.negative is not None]
    assert in_order(negatives) == in_order(every_row(look, NEGATIVES))
    assert {(one.stale, one.is_label_day) for one in found} == {(None, True)}
    for label in labels:
        assert label["weight"] == pytest.approx(math.prod(label[name] for name in FACTORS))


def test_a_label_is_of_its_touches_and_of_what_changed_it(found: list[Explained]) -> None:
    labels = [label for one in found for label in one.labels]
    conversions = [label for label in labels if label.row["task"] == "conversion"]
    assert any(len(label.touches) > 1 for label in conversions)
    for label in conversions:
        row, changed = label.row, {one["dt"] for one in label.adjustments}
        assert row["credit"] == pytest.approx(sum(touch["credit"] for touch in label.touches))
        assert row["touch_type"] == label.touches[0]["touch_type"]
        assert changed == {d for d in (row["since_dt"], row["until_dt"]) if d is not None}
        for touch in label.touches:
            assert (touch["engagement_id"] is None) == (touch["touch_type"] == "view")
        assert row["value_factor"] == pytest.approx(value_factor(label.reported["value"]))
    for label in (label for label in labels if label.row["task"] == "engagement"):
        assert (label.touches, label.adjustments) == ([], [])
        seconds, factor = label.reported["duration_s"], label.row["duration_factor"]
        if label.row["evidence"] == "click" and seconds is not None:
            longest = SETTINGS.labels.click_t_max_s
            expected = math.log1p(min(seconds, longest)) / math.log1p(longest)
            assert factor == pytest.approx(expected)


def value_factor(value: float | None) -> float:
    settings = SETTINGS.labels
    if value is None:
        return 1.0
    factor = math.log1p(value) / math.log1p(settings.value_reference)
    return min(max(factor, settings.value_factor_min), settings.value_factor_max)


def test_what_it_rests_on_arrived_on_those_days(look: Look, found: list[Explained]) -> None:
    """Every id that is named is in the raw day that is named; its file is one that landed."""
    key = {stream: rules.key for stream, rules in STREAMS.items()}
    held = {
        (stream, row["dt"], str(row[key[stream]]))
        for stream in ("impressions", "engagements", "conversions", ADJUSTMENTS)
        for row in every_row(look, stream)
    }
    seen: set[str] = set()
    for one in found:
        named = {("impressions", one.impression["dt"], str(one.impression["impression_id"]))}
        for label in one.labels:
            stream = f"{label.row['task']}s"
            named.add((stream, label.row["evidence_dt"], label.row["evidence_id"]))
            named |= {
                ("engagements", touch["engagement_dt"], str(touch["engagement_id"]))
                for touch in label.touches
                if touch["engagement_id"] is not None
            }
            named |= {
                (ADJUSTMENTS, adjustment["adjustment_dt"], adjustment["adjustment_id"])
                for adjustment in label.adjustments
            }
        assert named <= held
        places = {(stream, arrived) for stream, arrived, _ in named}
        assert {place for place in one.places if place[0] != MERGES} == places
        for table, arrived in one.places:
            seen.add(table)
            ledger = look.deployment.ledger
            raw_day = read_from(table, arrived, state=look.state[table], ledger=ledger)
            folder = look.deployment.source.landing / table / f"dt={arrived}"
            assert raw_day.files is not None
            assert raw_day.files[table] == sorted(path.name for path in folder.glob("*.parquet"))
            assert raw_day.catalogue is None
    assert {"impressions", "engagements", "conversions", ADJUSTMENTS} <= seen


def test_a_conversion_of_another_id_of_the_person_names_the_merges(
    look: Look, found: list[Explained]
) -> None:
    merged = {row["dt"] for row in every_row(look, MERGES)}
    num_merged = 0
    for one in found:
        for label in one.labels:
            days = {arrived for table, arrived in label.places if table == MERGES}
            user = label.reported.get("user_id", one.impression["user_id"])
            assert bool(days) == (user != one.impression["user_id"])
            assert days <= {d for d in merged if d <= label.row["evidence_dt"]}
            num_merged += bool(days)
    assert num_merged


def test_the_labels_of_all_conversions_are_their_labels(look: Look, found: list[Explained]) -> None:
    every = {id_of(one): [label.row for label in one.labels] for one in found}
    told = []
    for conversion in {row["conversion_id"] for row in every_row(look, ATTRIBUTED)}:
        for report in find_reports(look, conversion):
            for impression_id, shown in report.impressions:
                (impression,) = find_impressions(look, impression_id, day=shown)
                explained = explain_impression(look, impression, of=report)
                mine = [label.row for label in explained.labels]
                assert in_order(mine + explained.others) == in_order(every[id_of(explained)])
                told += mine
    labels = [row for row in every_row(look, LABELS) if row["task"] == "conversion"]
    assert in_order(told) == in_order(labels)


def id_of(one: Explained) -> tuple:
    return one.impression["impression_id"], one.impression["impression_day"]


def learned_of(look: Look, found: list[Explained], con: Backend) -> list[Learned]:
    """What each model knows of impressions."""
    shown = [one.impression for one in found]
    return [read_learned(look.deployment, model, shown, con=con) for model in MODELS]


def expect_what_it_learned(found: list[Explained], learned: Learned) -> None:
    """The labels that the model is said to know are those that its examples are the sums of."""
    for one in found:
        rows = sorted([label.row for label in one.labels], key=lambda row: row["task"])
        known = [row for row in rows if learned.why_not(row) is None]
        known += learned.gone(one.impression, rows)
        known.sort(key=lambda row: row["task"])
        weights = {
            task: sum((learned.label_read(row) or row)["weight"] for row in of_task)
            for task, of_task in groupby(known, key=lambda row: row["task"])
        }
        examples = learned.examples_of(one.impression)
        sums = {row["task"]: row["label_weight"] for row in examples if not row["is_negative"]}
        assert weights == pytest.approx(sums)
        is_learned = any(row["is_negative"] for row in examples)
        if one.negative is not None:
            assert (learned.why_no_negative(one.negative) is None) == is_learned
        for row in known:
            assert known_since(row) < (
                learned.cutoff if row["dt"] < learned.cutoff else learned.day
            )


def test_a_model_knows_what_its_examples_are_made_of(
    look: Look, found: list[Explained], con: Backend
) -> None:
    assert model_days(look.deployment) == MODELS
    by_model = learned_of(look, found, con)
    for learned in by_model:
        assert learned.window == Days(learned.day - 3 * DAY, learned.day - DAY)
        assert learned.cutoff == learned.day - DAY
        expect_what_it_learned(found, learned)
    splits = {row["split"] for learned in by_model for row in learned.examples}
    assert splits == {"train", "holdout"}
    told = {
        learned.why_not(label.row) for learned in by_model for one in found for label in one.labels
    }
    for reason in ("its examples are of", "known since", "it held until"):
        assert any(reason in (why or "") for why in told), reason
    negatives = [one.negative for one in found if one.negative is not None]
    told = {learned.why_no_negative(row) for learned in by_model for row in negatives}
    for reason in ("its hard negatives are of", "engaged with by", "on the same Pin"):
        assert any(reason in (why or "") for why in told), reason
    assert None in told


def test_what_a_model_knows_is_what_it_read_then(
    landing: Landing, deployment: Deployment, found: list[Explained], look: Look, con: Backend
) -> None:
    """A log that is corrected later leaves the model as it was, and each difference is told."""
    before, offset = learned_of(look, found, con), NUM_DAYS - 2
    shown = {"impression_id": 9000, "user_id": 0, "pin_id": 0, "advertiser_id": 0}
    shown |= {"impression_ts": at(offset, seconds=5), "surface": "homefeed"}
    clicked = {"engagement_id": 9000, "impression_id": 9000, "user_id": 0, "pin_id": 0}
    clicked |= {"engagement_ts": at(offset, seconds=9), "engagement_type": "click"}
    landing.write(day(offset), "impressions", [shown], name="later")
    landing.write(day(offset), "engagements", [clicked])
    build_table(deployment, "raw_events", Days(day(offset), day(offset)), con=con)
    stale = open_look(deployment, con=con)
    (impression,) = find_impressions(stale, 9000)
    explained = explain_impression(stale, impression)
    assert explained.labels == []
    assert f"of {day(offset)} changed" in (explained.stale or "")
    for table in ("linked_engagements", LABELS, NEGATIVES):
        build_table(deployment, table, Days(day(0), day(NUM_DAYS - 1)), con=con)
    now = open_look(deployment, con=con)
    found = every_impression(now, since=day(offset - 1))
    shown_then = {one.impression["impression_id"] for one in found}
    after = learned_of(now, found, con)
    for learned, as_before in zip(after, before, strict=True):
        examples = [row for row in as_before.examples if row["impression_id"] in shown_then]
        assert in_order(learned.examples) == in_order(examples)
    for learned in after:
        expect_what_it_learned(found, learned)
    newest = after[-1]
    assert any(newest.gone(one.impression, [label.row for label in one.labels]) for one in found)
    (later,) = [one for one in found if one.impression["impression_id"] == 9000]
    told = newest.why_not(later.labels[0].row)
    assert told == f"the labels of {day(offset)} that it read did not have it"
