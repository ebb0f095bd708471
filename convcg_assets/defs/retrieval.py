"""Retrieval: an index over the embeddings of the active Pins, bound to the model that made them."""

from typing import Any

import dagster as dg
from ibis import _
from pydantic import Field, field_validator

from convcg_assets.days import Days
from convcg_assets.defs.metadata import inline_figure, markdown_table
from convcg_assets.defs.partitions import daily_by, daily_partitions, run_days, upstream
from convcg_assets.defs.resources import Warehouse

MEASURED_QUERIES = 500
MEASURED_K = 100


class RetrievalConfig(dg.Config):
    """Settings of the index, by the names of `convcg_model.config.IndexConfig`."""

    index: dict[str, Any] = Field(
        default_factory=dict, description="fields of IndexConfig that differ from its defaults"
    )

    @field_validator("index")
    @classmethod
    def _known_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        from convcg_model.config import IndexConfig

        IndexConfig.model_validate(value)
        return value


@dg.asset(
    deps=upstream("pin_embedding_index"),
    partitions_def=daily_partitions,
    freshness_policy=daily_by(hour=9),
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="retrieval",
    kinds={"faiss"},
    owners=["team:ads-serving"],
)
def pin_embedding_index(
    context: dg.AssetExecutionContext, warehouse: Warehouse, config: RetrievalConfig
) -> None:
    """An inner-product index over day T's active Pins, with Pin ids and the user tower.

    Its recall against exact search is measured on held-out queries at every build.
    """
    from convcg_model.checkpoint import load_checkpoint
    from convcg_model.config import IndexConfig
    from convcg_model.content import num_of_other_versions
    from convcg_model.index import build_index, measure_recall

    deployment = warehouse.deployment
    for day in run_days(context):
        model = load_checkpoint(deployment.models / f"dt={day}")
        with warehouse.build("pin_embedding_index", Days(day, day), run_id=context.run_id) as build:
            pins = build.con.to_pyarrow(build.read("pin_features"))
            held_out = build.read("training_examples").filter(_.split == "holdout")
            queries = build.con.to_pyarrow(
                held_out.order_by("impression_id", "task").limit(MEASURED_QUERIES)
            )
            users = model.embed_users(queries, catalogue=pins) if queries.num_rows else None
            bundle = build_index(
                model, pins, config=IndexConfig.model_validate(config.index), queries=users
            )
            path = deployment.indexes / f"dt={day}"
            bundle.save(path)
            build.record_artifact(day)
        recall = None if users is None else measure_recall(bundle, users, MEASURED_K)
        context.add_asset_metadata(
            {
                "model_version": model.model_version,
                "pins": pins.num_rows,
                "pins_with_other_content": num_of_other_versions(pins, model.spec.content_version),
                "factory": bundle.factory,
                **describe_tuning(bundle.tuning),
                f"recall_at_{MEASURED_K}_against_exact": recall,
                "measured_on_queries": queries.num_rows,
                "path": dg.MetadataValue.path(str(path)),
            },
            asset_key="pin_embedding_index",
            partition_key=str(day),
        )


def describe_tuning(tuning: dict[str, Any]) -> dict[str, Any]:
    """Why the index is searched as it is: the curve of recall and time over the breadth."""
    curve = tuning.get("curve") or []
    if not curve:
        return {"why": tuning.get("reason", "")}
    return {
        "why": tuning["reason"],
        "recall_on_other_queries": tuning["recall"],
        "microseconds_a_query": tuning["microseconds"],
        "microseconds_of_exact_search": tuning["exact_microseconds"],
        "breadths": dg.MetadataValue.md(markdown_table(curve)),
        "recall_by_time": _plot_curve(curve),
    }


def _plot_curve(curve: list[dict[str, float]]) -> dg.MarkdownMetadataValue:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([row["microseconds"] for row in curve], [row["recall"] for row in curve], marker="o")
    for row in curve:
        axes.annotate(f"{row['num_probes']:.0f}", (row["microseconds"], row["recall"]), fontsize=8)
    axes.set_xlabel("microseconds a query; numbers are lists visited")
    axes.set_ylabel("recall@100")
    axes.spines[["top", "right"]].set_visible(False)
    return inline_figure(figure)
