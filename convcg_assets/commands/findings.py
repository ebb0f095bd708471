"""What failed checks found, as a person reads it on the console.

Checks run in `defs/checks.py`; a small table of rows is made in `builds/offending.py`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from convcg_assets.builds.offending import small_table
from convcg_assets.tables.registry import TABLES

INDENT = "    "


@dataclass(frozen=True)
class Finding:
    """What one rule found: a line that says it, and the first rows that break it."""

    said: str
    is_error: bool
    rows: tuple[dict[str, Any], ...] = ()
    num_rows: int = 0
    elsewhere: str = ""

    @property
    def lines(self) -> list[str]:
        """The line, and a small table of the rows below it."""
        table = small_table(self.rows, num_rows=self.num_rows, elsewhere=self.elsewhere)
        return [self.said, *(INDENT + line for line in table)]


def find_failed(checks: Iterable[dg.AssetCheckEvaluation]) -> list[Finding]:
    """What the failed ones of a run's checks found, warnings included; of a suite, rule by rule."""
    return [finding for check in checks if not check.passed for finding in _findings(check)]


def _findings(check: dg.AssetCheckEvaluation) -> Iterator[Finding]:
    asset = check.asset_key.to_user_string()
    place = f"the first of them are in the UI, on {asset}'s check {check.check_name}"
    is_error = check.severity == dg.AssetCheckSeverity.ERROR
    rules = _records(check, "expectations")
    if not rules:
        rows, num_rows = _records(check, "offending"), _number(check, "offending_rows")
        said = f"{num_rows:,} {'row' if num_rows == 1 else 'rows'}. {_meaning(asset, check)}"
        yield Finding(
            f"{asset}: {check.check_name}: {said if rows else check.description or 'failed'}",
            is_error,
            rows=rows,
            num_rows=num_rows,
            elsewhere=place,
        )
    for rule in rules:
        if rule["holds"] != "yes":
            name, num_rows = rule["expectation"], int(rule["unexpected_rows"])
            yield Finding(
                f"{asset}: {name}: {num_rows:,} of {_number(check, 'rows'):,} rows break it",
                rule["holds"] == "no: critical",
                rows=_records(check, f"offending: {name}"),
                num_rows=num_rows,
                elsewhere=place,
            )


def _meaning(asset: str, check: dg.AssetCheckEvaluation) -> str:
    """What the check asks for."""
    specs = {spec.name: spec.description for spec in TABLES[asset].checks}
    return specs.get(check.check_name, "")


def _records(check: dg.AssetCheckEvaluation, name: str) -> tuple[dict[str, Any], ...]:
    value = check.metadata.get(name)
    if not isinstance(value, dg.TableMetadataValue):
        return ()
    return tuple(dict(record.data) for record in value.records)


def _number(check: dg.AssetCheckEvaluation, name: str) -> int:
    value = check.metadata.get(name)
    return value.value or 0 if isinstance(value, dg.IntMetadataValue) else 0
