"""Raw events: each day's logs as they landed, checked against the contract, typed, deduplicated."""

import dagster as dg
from ibis import _

from convcg_assets.builds.builders import build_raw
from convcg_assets.days import Days
from convcg_assets.defs.metadata import count_by, describe_table
from convcg_assets.defs.partitions import daily_by, daily_partitions, run_days
from convcg_assets.defs.resources import Warehouse

DESCRIPTIONS = {
    "impressions": "One row per showing of one ad Pin to one user, by arrival day.",
    "engagements": "One row per onsite action on a Pin: click (with duration), repin, close-up.",
    "conversions": "One row per report of an offsite conversion, by the day that it was received: "
    "late, sparse, and at times twice.",
    "pins": "The catalogue: one row per Pin as known on the snapshot day.",
    "users": "One row per user as known on the snapshot day.",
    "rejected_events": "Rows that break the contract, with file, row and the first rule broken. "
    "Nothing is dropped silently.",
}


def _spec(table: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        table,
        description=DESCRIPTIONS[table],
        group_name="raw_events",
        kinds={"deltalake", "duckdb"},
        owners=["team:data"],
        partitions_def=daily_partitions,
        freshness_policy=daily_by(hour=6),
    )


@dg.multi_asset(
    specs=[_spec(table) for table in DESCRIPTIONS],
    backfill_policy=dg.BackfillPolicy.single_run(),
    name="raw_events",
)
def raw_events(context: dg.AssetExecutionContext, warehouse: Warehouse):
    """The days' landing folders: streams with a file that has changed; all of them if none has.

    A day's logs land as a whole or not at all.
    """
    days = run_days(context)
    with warehouse.connect() as con:
        ingested = build_raw(warehouse.deployment, days, con=con, run_id=context.run_id)
        rejected = warehouse.read("rejected_events", days, con=con)
        for table in DESCRIPTIONS:
            metadata = describe_table(context, warehouse, table, days, con=con)
            mine = rejected if table == "rejected_events" else rejected.filter(_.stream == table)
            metadata["rejected_rows"] = con.to_pyarrow(mine.count()).as_py()
            metadata["rejected_by_reason"] = count_by(mine, "stream", "reason", con=con)
            metadata["is_read_again"] = table in ingested.versions
            if table in ingested.num_ignored:
                metadata["ignored_rows"] = sum(ingested.num_ignored[table].values())
            metadata["landing"] = _landing(warehouse, table, days)
            yield dg.MaterializeResult(asset_key=table, metadata=metadata)


def _landing(warehouse: Warehouse, table: str, days: Days) -> str:
    stream = warehouse.source.stream(table) if table != "rejected_events" else None
    if stream is None:
        return "all streams" if table == "rejected_events" else "implied by the other streams"
    return f"{warehouse.source.landing / (stream.path or table)}/dt={days.first}"
