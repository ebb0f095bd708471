"""The page on watching and Prometheus' rules name what there is, and all of it."""

import datetime as dt
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from convcg_assets.builds.alerts import KINDS, Condition
from convcg_assets.defs.alerting import Told, take_in
from convcg_assets.defs.table_metrics import make_registry
from convcg_serving.metrics import Metrics
from tests.builds.deployment import make_deployment
from tests.builds.tiny import OLD_VALUE, land, open_deployment

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "watching.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "convcg.rules.yaml").read_text())
METRIC = re.compile(r"\bconvcg_[a-z_]+")


@pytest.fixture(scope="module")
def of_tables(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    home = tmp_path_factory.mktemp("home")
    land(home, value=OLD_VALUE)
    tiny = open_deployment(home)
    deployment = make_deployment(home, tiny.source, tiny.settings)
    with dg.instance_for_test() as instance:
        text = generate_latest(make_registry(deployment, instance)).decode()
    return {family.name for family in text_string_to_metric_families(text)}


def of_server() -> set[str]:
    watcher = cast(Any, SimpleNamespace(release=None, num_faults=0))
    text = Metrics(watcher).text().decode()
    families = list(text_string_to_metric_families(text))
    return {f.name for f in families} | {s.name for f in families for s in f.samples}


def test_the_page_has_every_metric_of_the_tables_and_no_other(of_tables: set[str]) -> None:
    assert set(METRIC.findall(PAGE)) - {"convcg_assets"} == of_tables


def test_rules_name_metrics_that_there_are(of_tables: set[str]) -> None:
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    named = {name for rule in rules for name in METRIC.findall(rule["expr"])}
    # These have labels, and so no sample before the first answer.
    later = {"convcg_answers_total", "convcg_answer_seconds_bucket"}
    assert named <= of_tables | of_server() | later
    assert {rule["annotations"]["remedy"] for rule in rules if "remedy" in rule["annotations"]}
    assert all(rule["annotations"].keys() == {"summary", "remedy"} for rule in rules)


def test_the_page_has_every_kind_of_alert() -> None:
    assert set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)) & set(KINDS) == set(KINDS)


def test_the_alert_on_the_page_is_one_that_is_sent() -> None:
    shown = json.loads(PAGE.split("```json\n")[1].split("```")[0])
    condition = Condition(
        "days_given_up", "weighted_labels", "given up after 3 attempts", dt.date(2026, 2, 27)
    )
    now = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    (alert,) = take_in(Told(), [condition], deployment="shop", now=now).waiting
    assert shown == alert.model_dump(mode="json") | {"id": shown["id"]}
    assert re.fullmatch("[0-9a-f]{16}", shown["id"])
