"""A look that fails fails the scrape: old figures are not taken for new ones."""

import dataclasses
from pathlib import Path

import dagster as dg
import pytest
from prometheus_client import generate_latest

from convcg_assets.defs.table_metrics import make_registry
from tests.builds.deployment import make_deployment
from tests.builds.tiny import OLD_VALUE, land, open_deployment


def test_a_look_that_fails_is_raised(tmp_path: Path) -> None:
    land(tmp_path, value=OLD_VALUE)
    tiny = open_deployment(tmp_path)
    deployment = make_deployment(tmp_path, tiny.source, tiny.settings)
    with dg.instance_for_test() as instance:
        registry = make_registry(deployment, instance)
        assert b'convcg_table_stale_partitions{table="raw_events"} 2.0' in generate_latest(registry)
        broken = dataclasses.replace(deployment, ledger_url="sqlite:////nowhere/ledger.db")
        with pytest.raises(Exception, match="unable to open database file"):
            generate_latest(make_registry(broken, instance))
