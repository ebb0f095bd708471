"""Promotion: the model of day T goes into service where every guard holds."""

import dagster as dg

from convcg_assets.days import Days
from convcg_assets.defs.metadata import markdown_table
from convcg_assets.defs.partitions import daily_by, daily_partitions, run_days, upstream
from convcg_assets.defs.promoting import Decision, decide
from convcg_assets.defs.resources import Warehouse


@dg.asset(
    deps=upstream("promotion"),
    partitions_def=daily_partitions,
    freshness_policy=daily_by(hour=9),
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="serving",
    kinds={"mlflow"},
    owners=["team:ads-serving"],
)
def promotion(context: dg.AssetExecutionContext, warehouse: Warehouse) -> None:
    """Whether the model of day T serves from now on, and why.

    It is registered in MLflow with its bundle. The alias `champion` moves to it only where it is
    at least as good as the model that serves, on the same held-out queries, no baseline beats it,
    and a server answers logged queries with it. Only the newest model is asked.
    """
    for day in run_days(context):
        with warehouse.build("promotion", Days(day, day), run_id=context.run_id) as build:
            decision = decide(warehouse.deployment, day, by="asset promotion")
            build.record_artifact(day)
        context.add_asset_metadata(
            describe_decision(decision), asset_key="promotion", partition_key=str(day)
        )


def describe_decision(decision: Decision) -> dict[str, dg.MetadataValue | str | bool]:
    """What the asset's page shows of a decision."""
    canary = decision.canary
    return {
        "promoted": decision.promoted,
        "reason": decision.reason,
        "version": decision.version,
        "before": decision.before or "none",
        "model_version": decision.model_version,
        "guards": dg.MetadataValue.md(
            markdown_table(
                [
                    {
                        "guard": guard.name,
                        "holds": {True: "yes", False: "NO", None: "cannot be told"}[guard.holds],
                        "value": guard.value,
                        "against": guard.against,
                        "low": guard.low,
                        "high": guard.high,
                    }
                    for guard in decision.guards
                ]
            )
        ),
        **({} if canary is None else {"canary": canary.says}),
    }
