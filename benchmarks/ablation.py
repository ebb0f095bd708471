"""Benchmark: each switch of the model against the default, on a log that has been built.

    CONVCG_HOME=... CONVCG_SOURCE=... python -m benchmarks.ablation --seeds 0 1 2 3 4

Trains the default and every switch with several seeds on the newest training examples of the
deployment, and compares them query by query: the hits of a query are averaged over the seeds, the
intervals are bootstraps over users of the mean difference. The last line is one JSON object.

Hundreds of conversions tell little apart. More days held out, and labels that have ripened, tell
more: here 15 days of the demo's world, 37 days later.

    echo 'examples: {holdout_days: 15}' > settings.yaml; export CONVCG_SETTINGS=settings.yaml
    convcg demo --days 97 --last-day 2026-11-30
    convcg run --last-day 2026-10-24 --only training_examples
    python -m benchmarks.ablation --day 2026-10-25
"""

import argparse
import datetime as dt
import json
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.paired import paired
from convcg_assets.builds.build import open_build
from convcg_assets.builds.ripened import ripened_examples
from convcg_assets.days import Days
from convcg_assets.deployment import current_deployment
from convcg_assets.lake.engine import connect
from convcg_assets.tables.artifacts import as_of
from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.evaluation.evaluate import (
    choose_queries,
    held_out,
    rank_queries,
    snapshots_of,
)
from convcg_model.evaluation.metrics import recall_at
from convcg_model.evaluation.result import EvaluationConfig
from convcg_model.evaluation.scorers import model_scorer
from convcg_model.evaluation.weights import match_factors, maturity_factors, query_weights
from convcg_model.training import fit
from convcg_model.training_set import select_split

SWITCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {}),
    "history: none": ({"history": "none"}, {}),
    "history: transformer": ({"history": "transformer"}, {}),
    "crossing: sequential": ({"tower": "sequential"}, {}),
    "crossing: DCN only": ({"tower": "dcn"}, {}),
    "crossing: MLP only": ({"tower": "mlp"}, {}),
    "head: multi": ({"head": "multi"}, {}),
    "advertiser loss: in batch": ({"advertiser_loss": "in_batch"}, {}),
    "advertiser loss: embeddings": ({"advertiser_loss": "embedding"}, {}),
    "no item space": ({"item_space": False}, {}),
    "no Pin prior": ({"pin_prior": False}, {}),
    "no repeat score": ({"repeat_score": False}, {}),
    "directions count in full": ({"direction_scale": 1.0}, {}),
    "hard negatives: off": ({}, {"hard_negatives_per_batch": 0}),
    "hard negatives: own user's": ({}, {"hard_negative_scope": "user"}),
    "no engagement task": ({}, {"task_weights": {"engagement": 0.0}}),
    "tasks weigh the same": ({}, {"task_weights": {"conversion": 1.0}}),
    "no logQ": ({}, {"logq_correction": False}),
    "three epochs": ({}, {"epochs": 3}),
}
"""Name, and the fields of ModelConfig and TrainingConfig that differ from the defaults."""
METRICS = (
    ("conversion", "all", 10),
    ("conversion", "all", 100),
    ("conversion", "all", 1000),
    ("conversion", "unseen", 100),
    ("engagement", "all", 100),
)


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--switches", nargs="+", choices=list(SWITCHES), default=list(SWITCHES))
    parser.add_argument("--max-queries", type=int, default=10_000, help="of each task")
    parser.add_argument("--day", type=dt.date.fromisoformat, help="model day (the newest)")
    options = parser.parse_args()
    examples, pins, first_day = read_examples(options.day)
    config = EvaluationConfig(max_queries=options.max_queries)
    queries = choose_queries(held_out(examples), config=config)
    snapshots = snapshots_of(pins, days=sorted(queries["example_day"].unique().to_pylist()))
    hits: dict[str, dict[tuple, np.ndarray]] = {}
    seconds: dict[str, float] = {}
    names = dict.fromkeys(["default", *options.switches])
    for name in names:
        changed_model, changed_training = SWITCHES[name]
        of_seeds = []
        started = time.process_time()
        for seed in options.seeds:
            model = fit(
                select_split(examples),
                pins,
                config=ModelConfig.model_validate(changed_model),
                training=TrainingConfig.model_validate({**changed_training, "seed": seed}),
                first_day=first_day,
                progress=False,
            )
            seconds[name] = (time.process_time() - started) / len(options.seeds)
            scorer = model_scorer(model, catalogue=_newest(pins))
            ranks, _ = rank_queries(
                queries, snapshots=snapshots, scorers={"model": scorer}, config=config
            )
            of_seeds.append(ranks["model"])
        hits[name] = {
            metric: np.mean([recall_at(rank_Q, k=metric[2]) for rank_Q in of_seeds], axis=0)
            for metric in METRICS
        }
        print(name, flush=True)
    figures = compare(queries, hits, seconds=seconds)
    print_table(figures)
    print(json.dumps({"seeds": options.seeds, "figures": figures}))


def read_examples(day: dt.date | None = None) -> tuple[pa.Table, pa.Table, dt.date]:
    """Training examples of a day, the Pins of its holdout, and the log's first day.

    The newest day that has any, or another: its held-out labels are then those known by now, as in
    a report that is repeated.
    """
    deployment = current_deployment()
    newest = deployment.lake.days("training_examples")[-1]
    chosen = day or newest
    days = Days(chosen, chosen)
    pin_days = Days(chosen - dt.timedelta(days=deployment.settings.examples.holdout_days), chosen)
    con = connect()
    rows = deployment.lake.read("training_examples", days, con=con)
    examples = con.to_pyarrow(rows)
    if examples.num_rows == 0:
        last_day = chosen - dt.timedelta(days=1)
        raise SystemExit(
            f"{chosen} has no training examples; build them: convcg run --last-day {last_day} "
            "--only training_examples"
        )
    if chosen < newest:
        with open_build(deployment, "evaluation_report", days, con=con) as build:
            known_before = as_of(
                chosen, newest=build.newest, settings=deployment.settings.evaluation
            )
            held_out_rows = ripened_examples(build, day=chosen, known_before=known_before)
            ripened = con.to_pyarrow(held_out_rows.select(*examples.column_names))
        examples = pa.concat_tables([select_split(examples), ripened.cast(examples.schema)])
    pins = con.to_pyarrow(deployment.lake.read("pin_features", pin_days, con=con))
    con.disconnect()
    pins = pins.sort_by([("dt", "ascending"), ("pin_id", "ascending")])
    return examples, pins, deployment.source.first_day


def _newest(pins: pa.Table) -> pa.Table:
    return pins.filter(pc.equal(pins["dt"], pins["dt"][-1]))


def compare(
    queries: pa.Table, hits: dict[str, dict[tuple, np.ndarray]], *, seconds: dict[str, float]
) -> list[dict[str, Any]]:
    """By switch and metric: its value, and the paired difference from the default's."""
    task = np.array(queries["task"].to_pylist())
    unseen = np.array([seen is False for seen in queries["seen_before"].to_pylist()])
    user = queries["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    factor_Q = maturity_factors(queries, max_factor=None)
    weight = query_weights(factor_Q, match_factors(queries))
    figures = []
    for name, of in hits.items():
        for metric, hit_Q in of.items():
            chosen = (task == metric[0]) & (unseen | (metric[1] == "all"))
            if not chosen.any():
                continue
            found = paired(
                hit_Q[chosen],
                other_Q=hits["default"][metric][chosen],
                weight_Q=weight[chosen],
                user_Q=user[chosen],
            )
            figures.append(
                {
                    "switch": name,
                    "metric": f"{metric[0]} recall@{metric[2]}, {metric[1]} Pins",
                    "queries": int(chosen.sum()),
                    **found._asdict(),
                    "training_cpu_s": round(seconds[name], 1),
                }
            )
    return figures


def print_table(figures: list[dict[str, Any]]) -> None:
    """One line per switch: value and difference of every metric."""
    metrics = list(dict.fromkeys(figure["metric"] for figure in figures))
    print(f"{'switch':30}" + "".join(f"{metric:>36}" for metric in metrics))
    for name in dict.fromkeys(figure["switch"] for figure in figures):
        cells = {f["metric"]: f for f in figures if f["switch"] == name}
        line = "".join(
            f"{f['value']:>10.3f} {f['difference']:+.3f} ({f['low']:+.3f} to {f['high']:+.3f})"
            for f in (cells[metric] for metric in metrics)
        )
        print(f"{name:30}{line}")


if __name__ == "__main__":
    main()
