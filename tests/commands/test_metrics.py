"""`convcg metrics`: text that Prometheus' own parser reads, as a file, and over HTTP."""

import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from convcg_assets.commands.main import cli
from convcg_assets.tables.registry import TABLES

from .conftest import CONVCG, Home

UNITS_OF_TIME = re.compile(r"_(days?|hours?|minutes?|ms|milliseconds)$")


def parse(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Metric) -> dict[str, float]:
    return {sample.labels["table"]: sample.value for sample in family.samples}


@pytest.fixture(scope="module")
def printed(deployment: Home, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is printed, and written to a file as well."""
    done = deployment.convcg("metrics")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_family_has_help_type_and_a_name_by_the_conventions(printed: str) -> None:
    for name, family in parse(printed).items():
        assert family.type == "gauge"
        assert family.documentation
        assert name.startswith("convcg_")
        assert not UNITS_OF_TIME.search(name), "times are in seconds"
        assert printed.count(f"# HELP {name} ") == printed.count(f"# TYPE {name} ") == 1


def test_every_table_is_told_and_what_was_built_is_not_stale(printed: str) -> None:
    found = parse(printed)
    built = values(found["convcg_table_partitions"])
    assert built.keys() > TABLES.keys() - {"user_merges", "user_persons"} - {
        "conversion_adjustments",
        "adjusted_conversions",
    }
    assert set(values(found["convcg_table_given_up_partitions"]).values()) == {0}
    rows = values(found["convcg_table_rows"])
    assert rows["impressions"] > rows["weighted_labels"] > 0
    assert values(found["convcg_table_size_bytes"])["impressions"] > rows["impressions"]


def test_the_last_build_is_timed_for_tables_and_models(printed: str, deployment: Home) -> None:
    found = parse(printed)
    seconds = values(found["convcg_table_last_build_duration_seconds"])
    days = values(found["convcg_table_last_build_partitions"])
    newest = values(found["convcg_table_last_build_timestamp_seconds"])
    with closing(sqlite3.connect(deployment.home / "ledger.db")) as ledger:
        query = "SELECT unixepoch(MAX(built_at)) FROM builds WHERE table_name = ?"
        for table in ("impressions", "weighted_labels", "two_tower_checkpoint"):
            [(built_at,)] = ledger.execute(query, [table])
            assert int(newest[table]) == built_at
    assert newest["raw_events"] >= newest["impressions"]
    for table in ("raw_events", "weighted_labels", "two_tower_checkpoint"):
        assert seconds[table] > 0
        assert days[table] >= 1


@pytest.fixture
def served(deployment: Home) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Where the metrics are scraped, and the process that answers."""
    process = subprocess.Popen(
        [sys.executable, *CONVCG, "metrics", "--port", "0"],
        env=deployment.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().split()[-1], process
    process.kill()
    process.communicate()


def test_it_is_scraped_until_it_is_told_to_stop(
    served: tuple[str, subprocess.Popen[str]],
) -> None:
    url, process = served
    text = urllib.request.urlopen(url).read().decode()
    assert "convcg_look_timestamp_seconds" in parse(text)
    again = urllib.request.urlopen(url).read().decode()
    assert again == text, "within some seconds it is answered from the same look"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0


def test_a_file_is_written_as_a_whole(deployment: Home, tmp_path: Path, printed: str) -> None:
    output = tmp_path / "convcg.prom"
    done = deployment.convcg("metrics", "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert parse(output.read_text()).keys() == parse(printed).keys()
    assert list(tmp_path.iterdir()) == [output]


def test_a_file_and_a_port_are_one_too_many() -> None:
    done = CliRunner().invoke(cli, ["metrics", "--output", "a.prom", "--port", "1"])
    assert done.exit_code == 2
    assert "either --output or --port" in done.output
