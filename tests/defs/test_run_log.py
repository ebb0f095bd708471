"""The log of a run as JSON: each line an object, and nothing else said by runs of the sensors."""

import json
from importlib.resources import files
from typing import Any

import dagster as dg
import pytest
import yaml

from convcg_assets.defs.run_log import LOG_FORMAT, quiet_console

PACKAGED = yaml.safe_load((files("convcg_assets") / "defs" / "dagster.yaml").read_text())
DAY = "2026-03-01"


@dg.asset(partitions_def=dg.DailyPartitionsDefinition(DAY))
def clicks(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    context.log.warning("a line\nand „another“")
    return dg.MaterializeResult(metadata={"rows": 17, "share": 0.5, "said": "text"})


@dg.asset_check(asset=clicks)
def few() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)


@dg.asset(deps=[clicks], partitions_def=dg.DailyPartitionsDefinition(DAY))
def broken() -> None:
    raise ValueError("no such column")


def logged(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What a run of them all writes to standard error, as a sensor starts it."""
    defs = dg.Definitions(
        assets=[clicks, broken], asset_checks=[few], executor=dg.in_process_executor
    )
    logs = {"python_logs": PACKAGED["python_logs"]}
    with dg.instance_for_test(overrides=logs) as instance:
        defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            partition_key=DAY,
            run_config=quiet_console(),
            tags={"convcg/request": "abc"},
            raise_on_error=False,
        )
    return capfd.readouterr().err.splitlines()


@pytest.mark.filterwarnings("ignore:Handling yaml-defined logging configuration")
def test_every_line_is_an_object_that_says_of_which_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(LOG_FORMAT, "json")
    lines: list[dict[str, Any]] = [json.loads(line) for line in logged(capfd)]
    assert len({line["run_id"] for line in lines}) == 1
    assert {line["first_day"] for line in lines} == {DAY}
    assert {line["request"] for line in lines} == {"abc"}
    by_event = {line.get("event"): line for line in lines}
    assert by_event[None]["message"] == "a line\nand „another“"
    assert by_event[None]["level"] == "WARNING"
    made = by_event["ASSET_MATERIALIZATION"]
    assert (made["asset"], made["partition"]) == ("clicks", DAY)
    assert made["figures"] == {"rows": 17, "share": 0.5}
    check = by_event["ASSET_CHECK_EVALUATION"]
    assert (check["check"], check["passed"], check["severity"]) == ("few", False, "WARN")
    assert by_event["STEP_SUCCESS"]["seconds"] >= 0
    assert "ValueError: no such column" in by_event["STEP_FAILURE"]["error"]


@pytest.mark.filterwarnings("ignore:Handling yaml-defined logging configuration")
def test_without_the_setting_it_is_dagsters_text(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(LOG_FORMAT, raising=False)
    lines = logged(capfd)
    assert any("RUN_START" in line for line in lines)
    assert not any(line.startswith("{") for line in lines)


def test_another_format_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOG_FORMAT, "xml")
    with pytest.raises(ValueError, match="CONVCG_LOG_FORMAT is 'xml': right would be text or json"):
        quiet_console()
