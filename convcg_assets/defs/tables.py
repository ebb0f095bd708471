"""The derived tables as assets: one factory, since all that differs stands in their entries."""

import dagster as dg

from convcg_assets.defs.metadata import describe_table, window_metadata
from convcg_assets.defs.pages import PAGES
from convcg_assets.defs.partitions import daily_by, daily_partitions, run_days, upstream
from convcg_assets.defs.resources import Warehouse
from convcg_assets.deployment import current_deployment
from convcg_assets.tables.registry import DERIVED
from convcg_assets.tables.table import Table


def table_asset(table: Table) -> dg.AssetsDefinition:
    """The asset of a table: reads its recipe's inputs, writes the run's days, describes them."""

    @dg.asset(
        name=table.name,
        description=table.description,
        deps=upstream(table.name),
        partitions_def=daily_partitions,
        freshness_policy=daily_by(hour=table.ready_by_hour),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=table.group,
        kinds={"view" if table.is_view else "deltalake", "ibis"},
        owners=[table.owner],
    )
    def build_days(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        days = run_days(context)
        with warehouse.build(table.name, days, run_id=context.run_id) as build:
            build.write()
            return dg.MaterializeResult(
                metadata={
                    **describe_table(context, warehouse, table.name, days, con=build.con),
                    **window_metadata(build),
                    **PAGES[table.name](build),
                }
            )

    return build_days


table_assets = [
    table_asset(table) for name, table in DERIVED.items() if name in current_deployment().tables
]
