"""Assets built for a range of days in this process, and what a person needs to know of the run.

Which assets and days belongs to the commands; what an asset does belongs to `defs/`.
"""

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_type_hints

import dagster as dg
from pydantic import ValidationError

from convcg_assets.commands.findings import find_failed
from convcg_assets.days import Days
from convcg_assets.sources.stream import check_known

MODULE = re.compile(r"^[a-z_]+(\.[a-z_]+)*\.(?=[A-Z])")
"""The module that an error's message begins with."""
SHOWN_FILES = 5
DAGSTER = re.compile(r"Dagster\w*Error$")
"""Errors by which Dagster says where another one was raised."""


def load_definitions() -> dg.Definitions:
    """The code location, imported late: a fault of the source is then told, not traced."""
    from convcg_assets.definitions import defs

    return defs


def materialize(
    assets: Iterable[str],
    days: Days,
    *,
    instance: dg.DagsterInstance,
    config: Mapping[str, Any] | None = None,
    checks: bool = True,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Materialise assets for a range of days in one run, with or without their checks."""
    from convcg_assets.defs.jobs import WATCH_CHECKS
    from convcg_assets.defs.run_log import SILENT

    defs = load_definitions()
    selection = dg.AssetSelection.assets(*assets)
    graph = defs.resolve_asset_graph()
    chosen = {
        check
        for check in (selection.resolve_checks(graph) if checks else set())
        if check.name not in WATCH_CHECKS
    }
    job = defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=selection.resolve(graph), asset_check_selection=chosen
    )
    return job.execute_in_process(
        instance=instance,
        run_config={
            "ops": dict(config or {}),
            **SILENT,  # Progress is printed by the command.
        },
        tags={
            **(tags or {}),
            "dagster/asset_partition_range_start": str(days.first),
            "dagster/asset_partition_range_end": str(days.last),
        },
        raise_on_error=False,
    )


def check_config(asset: str, given: Mapping[str, Any]) -> None:
    """ValueError where an asset does not take this run config, before any work is done."""
    graph, key = load_definitions().resolve_asset_graph(), dg.AssetKey(asset)
    known: type[dg.Config] | None = None
    if key in graph.get_all_asset_keys():
        build: Any = graph.get(key).assets_def.op.compute_fn
        known = get_type_hints(build.decorated_fn).get("config")
    if known is None:
        raise ValueError(f"--config: {asset} has no settings of its own")
    if set(given) != {"config"}:
        raise ValueError(f'--config: right would be {{"{asset}": {{"config": {{...}}}}}}')
    for name in given["config"]:
        check_known(name, tuple(known.model_fields), f"setting of {asset}")
    try:
        known(**given["config"])
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise ValueError(f"--config: {asset}: {faults}") from None


def materialized_rows(result: dg.ExecuteInProcessResult) -> dict[str, int]:
    """Rows per table that a run wrote."""
    rows = {}
    for event in result.get_asset_materialization_events():
        metadata = event.materialization.metadata
        if "rows" in metadata:
            rows[event.materialization.asset_key.to_user_string()] = metadata["rows"].value
    return rows


def said_in_short(result: dg.ExecuteInProcessResult) -> list[str]:
    """What a run's assets say of themselves in one line each."""
    from convcg_assets.defs.metadata import IN_SHORT

    found = (
        event.materialization.metadata.get(IN_SHORT)
        for event in result.get_asset_materialization_events()
    )
    return list(dict.fromkeys(str(value.value) for value in found if value is not None))


def failed_days(result: dg.ExecuteInProcessResult) -> dict[dt.date, str]:
    """The days of the raw logs that a run could not read, each with why; it landed the others."""
    from convcg_assets.defs.raw_events import FAILED_DAYS

    return {
        dt.date.fromisoformat(day): why
        for _, found in _metadata(result, FAILED_DAYS)
        for day, why in found.items()
    }


def left_out_files(result: dg.ExecuteInProcessResult) -> list[str]:
    """Per stream the files that a run did not read, such as unfinished ones, in words."""
    from convcg_assets.defs.raw_events import LEFT_OUT

    said = []
    for stream, by_day in dict(_metadata(result, LEFT_OUT)).items():
        names = [f"dt={day}/{name}" for day, of_day in by_day.items() for name in of_day]
        more = f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else ""
        said.append(f"{stream}: not read: {', '.join(names[:SHOWN_FILES])}{more}")
    return said


def failed_days_alone(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a run failed for nothing but days of the raw logs that could not be read."""
    from convcg_assets.defs.checks import EVERY_DAY_READ

    others = [
        check
        for check in result.get_asset_check_evaluations()
        if not check.passed
        and check.severity == dg.AssetCheckSeverity.ERROR
        and check.check_name != EVERY_DAY_READ
    ]
    return bool(failed_days(result)) and not others and not list(_step_errors(result))


def _metadata(result: dg.ExecuteInProcessResult, name: str) -> Iterator[tuple[str, Any]]:
    """By asset the values that a run put into metadata of that name."""
    for event in result.get_asset_materialization_events():
        found = event.materialization.metadata.get(name)
        if found is not None:
            yield event.materialization.asset_key.to_user_string(), found.value


def _step_errors(result: dg.ExecuteInProcessResult) -> Iterator[tuple[str, str]]:
    """The steps that failed, each with what its own code said; failed checks speak otherwise."""
    for event in result.filter_events(lambda e: e.is_step_failure):
        error = event.step_failure_data.error
        if error is not None and error.cls_name == "DagsterAssetCheckFailedError":
            continue
        # What the asset itself said: its causes know of no file, what is around it of no reason.
        while error is not None and error.cause is not None and DAGSTER.match(error.cls_name or ""):
            error = error.cause
        yield str(event.step_key), MODULE.sub("", error.message.strip()) if error else "failed"


def explain_failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """What a person needs to know of a failed run: the error itself, the failed checks."""
    failures = [f"{step}: {said}" for step, said in _step_errors(result)]
    findings = find_failed(result.get_asset_check_evaluations())
    return failures + ["\n".join(finding.lines) for finding in findings]
