"""How long the last build took, of runs that Dagster has really made."""

import dagster as dg
import pytest

from convcg_assets.defs.build_times import last_build_times
from convcg_assets.tables.raw import RAW, REJECTED

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-05")
WHOLE = dg.BackfillPolicy.single_run()


@dg.asset(partitions_def=DAYS, backfill_policy=WHOLE)
def weighted_labels() -> None: ...


@dg.asset(partitions_def=DAYS, backfill_policy=WHOLE)
def two_tower_checkpoint() -> None:
    raise RuntimeError("no examples")


@dg.asset(name=REJECTED, partitions_def=DAYS, backfill_policy=WHOLE)
def rejected() -> None: ...


def build(instance: dg.DagsterInstance, asset: dg.AssetsDefinition, first: int, last: int) -> None:
    tags = {
        "dagster/asset_partition_range_start": f"2026-01-0{first}",
        "dagster/asset_partition_range_end": f"2026-01-0{last}",
    }
    dg.materialize([asset], instance=instance, tags=tags, raise_on_error=False)


@pytest.mark.parametrize(("spans", "days"), [([(1, 4), (2, 2)], 1), ([(2, 2), (1, 3)], 3)])
def test_the_last_step_that_wrote_a_table_counts(spans: list[tuple[int, int]], days: int) -> None:
    with dg.instance_for_test() as instance:
        for span in spans:
            build(instance, weighted_labels, *span)
        build(instance, rejected, 1, 2)
        build(instance, two_tower_checkpoint, 1, 1)
        times = last_build_times(instance, ["weighted_labels", RAW, "two_tower_checkpoint"])
    assert times.keys() == {"weighted_labels", RAW}, "what failed has written nothing"
    assert times["weighted_labels"].days == days
    assert times[RAW].days == 2
    assert all(0 < built.seconds < 60 for built in times.values())
