"""The log of runs as JSON, one object a line, where `CONVCG_LOG_FORMAT` is `json`.

Dagster hands every record of every run to the handlers of `dagster.yaml` (`python_logs`); this is
one of them. What the webserver, the daemon and code servers say of themselves they write as JSON by
their own option `--log-format json`.
"""

import datetime as dt
import json
import logging
import os
import sys
from typing import Any

import dagster as dg
from dagster._core.execution.plan.objects import StepSuccessData

from convcg_assets.defs.runs import RANGE_TAGS, REQUEST_TAG

LOG_FORMAT = "CONVCG_LOG_FORMAT"
FORMATS = ("text", "json")
SILENT: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config without Dagster's own text; the event log keeps all of it."""


def is_json() -> bool:
    """Whether runs log JSON; ValueError where the setting is neither of the two."""
    chosen = os.environ.get(LOG_FORMAT) or "text"
    if chosen not in FORMATS:
        raise ValueError(f"{LOG_FORMAT} is {chosen!r}: right would be {' or '.join(FORMATS)}")
    return chosen == "json"


def quiet_console() -> dict[str, Any]:
    """Run config of runs that start by themselves: beside JSON Dagster's own text is silent."""
    return SILENT if is_json() else {}


class RunLog(logging.StreamHandler):
    """Writes each record of a run to standard error; silent where JSON was not asked for."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(JsonFormatter())
        self.setLevel(logging.DEBUG if is_json() else logging.CRITICAL + 1)


class JsonFormatter(logging.Formatter):
    """A record of Dagster's as one line of JSON; keys without a value are left out."""

    def format(self, record: logging.LogRecord) -> str:
        """When, how severe, what, of which run and step; of an event what it says in figures."""
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        tags = meta.get("job_tags") or {}
        said = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
            "level": record.levelname,
            "message": meta.get("orig_message") or record.getMessage(),
            "run_id": meta.get("run_id"),
            "job": meta.get("job_name"),
            "step": meta.get("step_key"),
            "first_day": tags.get(RANGE_TAGS[0]) or tags.get("dagster/partition"),
            "last_day": tags.get(RANGE_TAGS[1]) or tags.get("dagster/partition"),
            "request": tags.get(REQUEST_TAG),
            **_of_event(meta.get("dagster_event")),
        }
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(
            {key: value for key, value in said.items() if value is not None},
            ensure_ascii=False,
            default=str,
        )


def _of_event(event: dg.DagsterEvent | None) -> dict[str, Any]:
    if event is None:
        return {}
    said: dict[str, Any] = {"event": event.event_type_value}
    found = event.event_specific_data
    if event.is_step_materialization:
        made = event.step_materialization_data.materialization
        said |= {"asset": made.asset_key.to_user_string(), "partition": made.partition}
        said["figures"] = _figures(made.metadata)
    elif isinstance(found, dg.AssetCheckEvaluation):
        said |= {"asset": found.asset_key.to_user_string(), "partition": found.partition}
        said |= {"check": found.check_name, "passed": found.passed}
        said["severity"] = None if found.passed else found.severity.value
    elif isinstance(found, StepSuccessData):
        said["seconds"] = found.duration_ms / 1000
    error = getattr(found, "error", None)
    if error is not None:
        said["error"] = error.to_string()
    return said


def _figures(metadata: Any) -> dict[str, Any] | None:
    """The numbers that an asset says of what it made, such as its rows."""
    numbers = (dg.IntMetadataValue, dg.FloatMetadataValue)
    return {n: v.value for n, v in metadata.items() if isinstance(v, numbers)} or None
