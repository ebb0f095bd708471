"""Raw events: each day's logs as they landed, checked against the contract, typed, deduplicated."""

import dagster as dg
from ibis import _

from convcg_assets.builds.forgotten import read_forgotten
from convcg_assets.builds.raw import Ingested, build_raw, explain_failed
from convcg_assets.days import Days
from convcg_assets.defs.metadata import Metadata, count_by, describe_table, markdown_table
from convcg_assets.defs.partitions import daily_by, daily_partitions, run_days
from convcg_assets.defs.resources import Warehouse
from convcg_assets.deployment import current_deployment
from convcg_assets.sources.finding import describe_place, look_at_day, stream_layout
from convcg_assets.tables.raw import RAW, RAW_TABLES, REJECTED
from convcg_assets.tables.table import Table

FAILED_DAYS = "failed_days"
"""Metadata of `rejected_events`: the days of a run that could not be read, each with the reason."""
LEFT_OUT = "left_out_files"
"""Metadata of a stream: files that are not read, such as unfinished ones, by day."""
_there = current_deployment().tables


def _spec(table: Table) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        description=table.description,
        group_name=table.group,
        kinds={"deltalake", "duckdb"},
        owners=[table.owner],
        partitions_def=daily_partitions,
        freshness_policy=daily_by(hour=table.ready_by_hour),
    )


@dg.multi_asset(
    specs=[_spec(table) for name, table in RAW_TABLES.items() if name in _there],
    backfill_policy=dg.BackfillPolicy.single_run(),
    name=RAW,
)
def raw_events(context: dg.AssetExecutionContext, warehouse: Warehouse):
    """The days' landing folders: streams with a file that has changed; all of them if none has.

    A day's logs land as a whole or not at all. A day that cannot be read does not hold up the
    others: the check `every_day_read` names it, and fails the run.
    """
    days = run_days(context)
    with warehouse.connect() as con:
        ingested = build_raw(warehouse.deployment, days, con=con, run_id=context.run_id)
        if ingested.failed:
            context.log.error(explain_failed(ingested.failed, days))
        rejected = warehouse.read(REJECTED, days, con=con)
        for table in (name for name in RAW_TABLES if name in _there):
            metadata = describe_table(context, warehouse, table, days, con=con)
            mine = rejected if table == REJECTED else rejected.filter(_.stream == table)
            metadata["rejected_rows"] = con.to_pyarrow(mine.count()).as_py()
            metadata["rejected_by_reason"] = count_by(mine, "stream", "reason", con=con)
            metadata["is_read_again"] = table in ingested.versions
            if table in ingested.counts:
                counts = ingested.counts[table].values()
                metadata |= _tell_absent(context, table, ingested)
                metadata["landed_rows"] = sum(count.rows for count in counts)
                metadata["not_selected_rows"] = sum(count.elsewhere for count in counts)
                metadata["ignored_rows"] = sum(count.ignored for count in counts)
                options = warehouse.source.stream(table)
                if options is not None and options.repeats == "drop":
                    left = metadata["rows"] + metadata["rejected_rows"]
                    metadata["dropped_repeats"] = sum(count.judged for count in counts) - left
                metadata |= _tell_forgotten(warehouse, metadata)
            metadata["landing"] = _landing(warehouse, table, days)
            if left_out := _left_out(warehouse, table, days):
                metadata[LEFT_OUT] = dg.MetadataValue.json(left_out)
            if table == REJECTED and ingested.failed:
                failed = {str(day): why for day, why in sorted(ingested.failed.items())}
                metadata[FAILED_DAYS] = dg.MetadataValue.json(failed)
            yield dg.MaterializeResult(asset_key=table, metadata=metadata)


def _tell_forgotten(warehouse: Warehouse, metadata: Metadata) -> Metadata:
    """How many rows of the files are of people who were forgotten; nothing where there are none."""
    is_told = "dropped_repeats" not in metadata  # They are counted together with these.
    if not is_told or not read_forgotten(warehouse.deployment.home).digests:
        return {}
    told = ("rows", "rejected_rows", "not_selected_rows", "ignored_rows")
    return {"forgotten_rows": metadata["landed_rows"] - sum(metadata[name] for name in told)}


def _left_out(warehouse: Warehouse, table: str, days: Days) -> dict[str, list[str]]:
    """By day the files of a stream that are not read, such as unfinished ones."""
    options = warehouse.source.stream(table) if table != REJECTED else None
    if options is None or options.table is not None:
        return {}
    found = ((day, look_at_day(warehouse.source, table, day).left_out) for day in days)
    return {str(day): names for day, names in found if names}


def _tell_absent(
    context: dg.AssetExecutionContext, table: str, ingested: Ingested
) -> dict[str, object]:
    """Attach to each day the columns that its files lack; return them for all days."""
    rows = [
        {"dt": str(day), "column": column, "rows": num}
        for day, columns in sorted(ingested.absent[table].items())
        for column, num in columns.items()
    ]
    for day in ingested.absent[table]:
        if str(day) in context.partition_keys:
            mine = [row for row in rows if row["dt"] == str(day)]
            context.add_asset_metadata(
                {"absent_columns": dg.MetadataValue.md(markdown_table(mine))},
                asset_key=dg.AssetKey(table),
                partition_key=str(day),
            )
    return {"absent_columns": dg.MetadataValue.md(markdown_table(rows))} if rows else {}


def _landing(warehouse: Warehouse, table: str, days: Days) -> str:
    stream = warehouse.source.stream(table) if table != REJECTED else None
    if stream is None:
        return "all streams" if table == REJECTED else "implied by the other streams"
    if stream.table is not None:
        return describe_place(warehouse.source, table)
    return str(stream_layout(warehouse.source, table).folder(warehouse.source.landing, days.first))
