"""Types of options that several commands share: days, the name of a table, JSON."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import click


class Day(click.ParamType):
    """A day as YYYY-MM-DD."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The day; wrong usage where the text is none."""
        if isinstance(value, dt.date):
            return value
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no day; right would be 2026-01-31", param, ctx)


class RunConfig(click.ParamType):
    """Run config as JSON, or as @FILE that holds it: `{asset: {"config": {...}}}`."""

    name = "JSON or @FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """By asset its config; the key `ops` of Dagster's own form may stand around it."""
        if isinstance(value, dict):
            return value
        try:
            text = Path(value[1:]).read_text("utf-8") if value.startswith("@") else value
            config = json.loads(text)
        except (OSError, UnicodeDecodeError) as error:
            self.fail(f"{value[1:]} cannot be read: {error}", param, ctx)
        except json.JSONDecodeError as error:
            self.fail(f"this is not JSON: {error}", param, ctx)
        if not isinstance(config, dict):
            self.fail("right would be a JSON object: {asset: {config: {...}}}", param, ctx)
        return config.get("ops", config)


DAY = Day()
RUN_CONFIG = RunConfig()
HOME = click.Path(path_type=Path, file_okay=False)
"""A folder for everything that is built."""
