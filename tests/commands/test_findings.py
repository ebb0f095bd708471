"""What failed checks found is a line and a small table, however many rows there are."""

from typing import Any

import dagster as dg

from convcg_assets.builds.suites import Outcome, ValidationResult
from convcg_assets.commands.findings import find_failed
from convcg_assets.defs.checks import _suite_metadata, _table

QUERY = "Search impressions name the query: without it the model lacks their context"


def failed(
    asset: str, name: str, metadata: dict[str, Any], **given: Any
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=name,
        passed=False,
        metadata=metadata,
        **{"severity": dg.AssetCheckSeverity.WARN, **given},
    )


def outcome(expectation: str, rows: list[dict], *, severity: Any, number: int) -> Outcome:
    return Outcome(
        expectation, "expect_it", ("query",), severity, not rows, 24_000, number, tuple(rows)
    )


def test_a_suite_is_told_rule_by_rule_with_three_rows_and_where_the_others_are() -> None:
    rows = [{"dt": "2026-01-05", "impression_id": 7 + i, "query": None} for i in range(20)]
    result = ValidationResult(
        "impressions",
        24_000,
        (
            outcome(QUERY, rows, severity="warning", number=1_412),
            outcome("surface is never null", [], severity="critical", number=0),
            outcome("positions count from 0", rows[:1], severity="critical", number=1),
        ),
    )
    check = failed(
        "impressions",
        "expectations",
        _suite_metadata(result),
        severity=dg.AssetCheckSeverity.ERROR,
        description=result.summary,
    )
    warning, error = find_failed([check])
    assert warning.lines == [
        f"impressions: {QUERY}: 1,412 of 24,000 rows break it",
        "    dt          impression_id  query",
        "    2026-01-05  7              null",
        "    2026-01-05  8              null",
        "    2026-01-05  9              null",
        "    and 1,409 more: the first of them are in the UI, on impressions's check expectations",
    ]
    assert error.said == "impressions: positions count from 0: 1 of 24,000 rows break it"
    assert len(error.lines) == 3
    assert (warning.is_error, error.is_error) == (False, True)
    assert "{" not in "".join(warning.lines)


def test_a_check_across_tables_says_what_it_asks_for() -> None:
    rows = [{"dt": "2026-01-05", "conversion_id": "x" * 80, "total_credit": 1 / 3}]
    metadata = {"offending_rows": 1, "offending": _table(rows)}
    [found] = find_failed([failed("attributed_conversions", "credits_sum_to_1", metadata)])
    assert found.lines == [
        "attributed_conversions: credits_sum_to_1: 1 row. "
        "The credits of an attributed conversion sum to 1.",
        f"    dt          conversion_id{' ' * 35}  total_credit",
        f"    2026-01-05  {'x' * 47}…  0.3333",
    ]


def test_what_shows_no_rows_says_what_it_found() -> None:
    check = failed("conversions", "newest_day_is_yesterday", {}, description="newest day None")
    assert find_failed([check])[0].lines == [
        "conversions: newest_day_is_yesterday: newest day None"
    ]
    passed = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("users"), check_name="expectations", passed=True, metadata={}
    )
    assert find_failed([passed]) == []
