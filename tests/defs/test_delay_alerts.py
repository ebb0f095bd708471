"""Advertisers that shifted, as the newest evaluation of the newest day T says."""

from collections.abc import Iterator

import dagster as dg
import pytest

from convcg_assets.defs.delay_alerts import DELAYS, find_shifted


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def tell(instance: dg.DagsterInstance, day: str, *advertisers: int) -> None:
    """An evaluation of a day T that found those."""
    row = {"num_before": 90, "mean_lag_before_days": 0.25, "mean_lag_newest_days": 4.0}
    rows = [dg.TableRecord({"advertiser_id": one, **row}) for one in advertisers]
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=DELAYS.asset_key,
            check_name=DELAYS.name,
            passed=not advertisers,
            severity=dg.AssetCheckSeverity.WARN,
            partition=day,
            metadata={"offending": dg.MetadataValue.table(rows)} if rows else {},
        )
    )


def test_nothing_is_said_before_the_first_look(instance: dg.DagsterInstance) -> None:
    assert list(find_shifted(instance)) == []


def test_the_newest_day_counts_whatever_was_repaired_since(instance: dg.DagsterInstance) -> None:
    tell(instance, "2026-03-02", 17, 4)
    tell(instance, "2026-02-01", 99)
    tell(instance, "2026-02-02")
    found = list(find_shifted(instance))
    assert [c.said for c in found] == [
        "advertiser 17: 0.2 days to a report before, 4.0 now",
        "advertiser 4: 0.2 days to a report before, 4.0 now",
    ]


def test_one_that_goes_on_is_the_same_and_is_over_when_the_newest_day_has_none(
    instance: dg.DagsterInstance,
) -> None:
    tell(instance, "2026-03-02", 17)
    before = {c.key for c in find_shifted(instance)}
    tell(instance, "2026-03-03", 17, 18)
    after = {c.key for c in find_shifted(instance)}
    assert before < after
    tell(instance, "2026-03-04")
    assert list(find_shifted(instance)) == []
