"""Evaluation: the model of day T on the held-out days, beside baselines and the ceiling."""

import datetime as dt
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from ibis import _
from pydantic import Field

from convcg_assets.builds.build import Build
from convcg_assets.builds.ripened import judged_rows, newest_rows
from convcg_assets.days import Days
from convcg_assets.defs.baselines import baseline_scorers
from convcg_assets.defs.judging import in_service, judge_bundle
from convcg_assets.defs.metadata import markdown_table
from convcg_assets.defs.partitions import daily_by, daily_partitions, run_days, upstream
from convcg_assets.defs.registry import Registry
from convcg_assets.defs.reported_conversions import reported_conversions
from convcg_assets.defs.resources import Warehouse
from convcg_assets.defs.tracking import track_run
from convcg_assets.simulated import ceiling_scorer
from convcg_assets.tables.artifacts import as_of
from convcg_assets.tables.registry import VIEWS

if TYPE_CHECKING:
    import pyarrow as pa

    from convcg_model.evaluation.report.render import ReportContext
    from convcg_model.evaluation.result import Evaluation
    from convcg_model.evaluation.scorers import Scorer
    from convcg_model.index import IndexBundle

MEASURED_QUERIES = 500
"""Held-out queries on which the index is compared with exact search."""


class EvaluationRun(dg.Config):
    """Settings of the evaluation, by the names of `convcg_model`'s EvaluationConfig."""

    evaluation: dict[str, Any] = Field(
        default_factory=dict, description="fields of EvaluationConfig that differ from its defaults"
    )


@dg.asset(
    deps=upstream("evaluation_report"),
    partitions_def=daily_partitions,
    freshness_policy=daily_by(hour=9),
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="evaluation",
    kinds={"mlflow", "html"},
    owners=["team:ads-ml"],
)
def evaluation_report(
    context: dg.AssetExecutionContext, warehouse: Warehouse, config: EvaluationRun
) -> None:
    """Recall and NDCG on the held-out days' positives, by slice, beside the baselines.

    Each query is asked with what was known on its own day, among that day's Pins, and counts for
    those that have not arrived yet; repeated as labels ripen. One self-contained HTML page and a
    JSON of the same.
    """
    for day in run_days(context):
        with warehouse.build("evaluation_report", Days(day, day), run_id=context.run_id) as build:
            metadata = _evaluate(day, warehouse, config, build)
            build.record_artifact(day)
        context.add_asset_metadata(metadata, asset_key="evaluation_report", partition_key=str(day))


def _evaluate(
    day: dt.date, warehouse: Warehouse, config: EvaluationRun, build: Build
) -> dict[str, Any]:
    from convcg_model.checkpoint import read_description
    from convcg_model.evaluation.evaluate import evaluate
    from convcg_model.evaluation.report.render import InService, render, to_json
    from convcg_model.evaluation.report.ripening import history_after
    from convcg_model.evaluation.result import EvaluationConfig
    from convcg_model.index import load_bundle

    deployment, folder = warehouse.deployment, warehouse.deployment.reports / f"dt={day}"
    bundle = load_bundle(
        deployment.indexes / f"dt={day}", checkpoint=deployment.models / f"dt={day}"
    )
    made_by = read_description(deployment.models / f"dt={day}")
    known_before = as_of(day, newest=build.newest, settings=warehouse.settings.evaluation)
    examples, pins = judged_rows(build, day, known_before=known_before)
    earlier = folder / "report.json"
    before = json.loads(earlier.read_text("utf-8")) if earlier.exists() else None
    champion = in_service(day, Registry(deployment), before, bundle.model.model_version)
    serving = None if champion is None else load_bundle(champion.bundle)
    scorers, settings = _scorers(day, warehouse, bundle, serving, examples, pins)
    evaluation = evaluate(
        examples,
        pin_features=pins,
        scorers=scorers,
        config=EvaluationConfig.model_validate(
            {
                "horizon_days": warehouse.settings.attribution.horizon_days,
                "as_of": known_before,
                "max_maturity_factor": warehouse.settings.delay.max_maturity_factor,
                **config.evaluation,
            }
        ),
        day_maturity=_day_maturity(build, known_before=known_before),
    )
    verdict = judge_bundle(
        evaluation,
        bundle,
        serving,
        queries=_sample(examples),
        catalogue=newest_rows(pins),
        limits=warehouse.settings.promotion.guards,
    )
    context = _context(day, warehouse, bundle, made_by, examples, settings)
    report = {
        "training_history": [
            {"step": step, **values} for step, values in made_by["provenance"]["loss_history"]
        ],
        "context": context.model_copy(
            update={
                "history": () if before is None else history_after(before),
                "in_service": champion and InService(version=champion.version, day=champion.day),
                "promotion": verdict,
            }
        ),
    }
    # The JSON last: it is what says that the report is whole.
    _write(folder / "report.html", render(evaluation, **report))
    figures = to_json(evaluation, **report)
    _write(folder / "report.json", figures)
    headline = _headline(evaluation)
    with track_run(
        f"evaluation_report {day} as of {known_before}",
        tracking_uri=deployment.tracking_uri,
        artifacts=(deployment.home / "mlartifacts").as_uri(),
        tags={"asset": "evaluation_report", "partition": str(day), "as_of": str(known_before)},
    ) as run:
        run.log_params({"model_version": bundle.model.model_version, "as_of": str(known_before)})
        run.log_metrics(headline)
        run.log_artifacts(str(folder), to="report")
    ripeness = next(task.maturity for task in evaluation.tasks if task.task == "conversion")
    return {
        "report": dg.MetadataValue.path(str(folder / "report.html")),
        "as_of": str(known_before),
        **({} if ripeness is None else {"maturity": ripeness}),
        "model_version": bundle.model.model_version,
        "figures": dg.MetadataValue.md(markdown_table(headline_rows(json.loads(figures)))),
        "may_be_promoted": verdict.promote,
        "why": verdict.reason,
        **{k: v for k, v in headline.items() if k.startswith("conversion_recall@100")},
    }


def _sample(examples: "pa.Table") -> "pa.Table":
    """Some held-out queries, on which bundles are measured."""
    from convcg_model.training_set import select_split

    return select_split(examples, "holdout").slice(0, MEASURED_QUERIES)


def _day_maturity(build: Build, *, known_before: dt.date) -> dict[dt.date, float]:
    """Share of each label day's conversions that had arrived, by the curve of all advertisers."""
    curves = build.read_days("conversion_delay", Days(known_before, known_before))
    curve = curves.filter(_.level == "global").select("delay_days", "share")
    last = known_before - dt.timedelta(days=1)
    rows = build.con.to_pyarrow(curve).to_pylist()
    return {last - row["delay_days"] * dt.timedelta(days=1): row["share"] for row in rows}


def _scorers(
    day: dt.date,
    warehouse: Warehouse,
    bundle: "IndexBundle",
    serving: "IndexBundle | None",
    examples: "pa.Table",
    pins: "pa.Table",
) -> "tuple[dict[str, Scorer], dict[str, str | int | float | bool]]":
    """The model, what serves, the baselines and, of a simulated world, the ceiling; the settings
    of the baselines."""
    from convcg_model.evaluation.scorers import model_scorer

    catalogue = newest_rows(pins)
    baselines, settings = baseline_scorers(examples)
    scorers = {
        "model": model_scorer(bundle.model, catalogue=catalogue),
        **({"champion": model_scorer(serving.model, catalogue=catalogue)} if serving else {}),
        **baselines,
    }
    simulation = warehouse.source.simulation
    if simulation is not None:
        scorers["oracle"] = ceiling_scorer(simulation, as_of=day)
    return scorers, settings


def _context(
    day: dt.date,
    warehouse: Warehouse,
    bundle: "IndexBundle",
    made_by: dict[str, Any],
    examples: "pa.Table",
    settings: "dict[str, str | int | float | bool]",
) -> "ReportContext":
    """What made the model: its logs, settings, tables and index."""
    from convcg_model.evaluation.report.render import ReportContext
    from convcg_model.index import measure_recall

    def counted(table: str) -> Days:
        """All days; of what each model has anew, its own."""
        return Days(day if table in VIEWS else warehouse.source.first_day, day)

    with warehouse.connect() as con:
        row_counts = {
            table: sum(warehouse.rows.num_rows(table, counted(table), con=con).values())
            for table in warehouse.deployment.tables
        }
        conversions = reported_conversions(day, warehouse, con=con)
    queries = _sample(examples)
    versions = made_by["provenance"]["table_versions"]
    return ReportContext(
        source=warehouse.source.name,
        model_version=bundle.model.model_version,
        index={
            "factory": bundle.factory,
            "lists visited": bundle.breadth.num_probes if "IVF" in bundle.factory else "all",
            "Pins": len(bundle.pin_ids),
            "recall@100 against exact search": measure_recall(
                bundle, bundle.model.embed_users(queries), 100
            ),
        },
        row_counts=row_counts,
        **conversions,
        table_versions={table: v for table, v in versions.items() if v is not None},
        settings={
            "attribution": warehouse.settings.attribution.model,
            "batch size": made_by["training"]["batch_size"],
            "id dropout": made_by["config"]["id_dropout"],
            "rare-id threshold": made_by["config"]["min_pin_count"],
            **settings,
        },
        course=made_by.get("course", {}),
    )


def _headline(evaluation: "Evaluation") -> dict[str, float]:
    """Every metric over all queries, by task and scorer."""
    return {
        f"{figure.task}_{metric}_{figure.scorer}".replace(" ", "_"): estimate.value
        for figure in evaluation.figures
        if figure.dimension == "all"
        for metric, estimate in figure.metrics.items()
    }


def headline_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a report's JSON: one row per task and scorer, over all queries and over unseen Pins."""
    rows = []
    for figure in report["evaluation"]["figures"]:
        where = (figure["dimension"], figure["group"])
        if where[0] == "all" or where == ("seen before", "unseen"):
            rows.append(
                {
                    "task": figure["task"],
                    "Pins": "all" if where[0] == "all" else "unseen",
                    "scorer": figure["scorer"],
                    "queries": figure["num_queries"],
                    **{m: round(e["value"], 4) for m, e in figure["metrics"].items()},
                }
            )
    return rows


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(path.suffix + ".tmp")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)
