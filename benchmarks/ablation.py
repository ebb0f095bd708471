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
    python -m benchmarks.ablation --day 2026-10-25 --keep ranks --plot ablation.svg

With --keep a run that was stopped goes on where it was. A switch of the data stages is a deployment
of its own, of the same logs and with other settings: its default is kept under a name of its own
(--name "clicks: log2_share"), and whoever reads the folder last compares them all.
"""

import argparse
import datetime as dt
import hashlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from benchmarks.paired import paired
from convcg_assets.builds.build import open_build
from convcg_assets.builds.ripened import ripened_examples
from convcg_assets.builds.rows import Rows
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
from convcg_model.evaluation.slices import slice_queries
from convcg_model.evaluation.weights import match_factors, maturity_factors, query_weights
from convcg_model.training import fit
from convcg_model.training_set import select_split

DEFAULT = "default"
SWITCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    DEFAULT: ({}, {}),
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
    ("conversion", "new", 100),
    ("engagement", "all", 100),
)
"""Task, Pins, k."""


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--switches", nargs="*", choices=list(SWITCHES), default=list(SWITCHES))
    parser.add_argument("--max-queries", type=int, default=10_000, help="of each task")
    parser.add_argument("--day", type=dt.date.fromisoformat, help="model day (the newest)")
    parser.add_argument("--name", default=DEFAULT, help="what this deployment's default is called")
    parser.add_argument("--keep", type=Path, help="folder of the ranks, for going on later")
    parser.add_argument("--plot", type=Path, help="picture of the differences to write")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        log = read_log(options.day, max_queries=options.max_queries)
        ranks = Ranks(options.keep or Path(folder), log.queries)
        for seed in options.seeds:
            for switch in dict.fromkeys([DEFAULT, *options.switches]):
                name = options.name if switch == DEFAULT else switch
                if ranks.have(name, seed):
                    continue
                ranks.keep(name, seed, *train_and_rank(log, switch, seed=seed))
                print(f"seed {seed}: {name}", flush=True)
        figures = compare(log, ranks, seeds=options.seeds)
    print_table(figures)
    if options.plot:
        plot(figures, options.plot)
    print(json.dumps({"seeds": options.seeds, "figures": figures}))


@dataclass(frozen=True)
class Log:
    """What is trained on and asked: examples with held-out rows, Pins, the first day, queries."""

    examples: pa.Table
    pins: pa.Table
    first_day: dt.date
    queries: pa.Table
    config: EvaluationConfig


def read_log(day: dt.date | None, *, max_queries: int) -> Log:
    """The log of the deployment at hand."""
    examples, pins, first_day = read_examples(day)
    config = EvaluationConfig(max_queries=max_queries)
    queries = choose_queries(held_out(examples), config=config)
    return Log(examples, pins, first_day, queries, config)


def train_and_rank(log: Log, switch: str, *, seed: int) -> tuple[np.ndarray, float]:
    """Each query's rank of its Pin, and the seconds of processor time that the training took."""
    changed_model, changed_training = SWITCHES[switch]
    started = time.process_time()
    model = fit(
        select_split(log.examples),
        log.pins,
        config=ModelConfig.model_validate(changed_model),
        training=TrainingConfig.model_validate({**changed_training, "seed": seed}),
        first_day=log.first_day,
        progress=False,
    )
    seconds = time.process_time() - started
    ranks, _ = rank_queries(
        log.queries,
        snapshots=snapshots_of(
            log.pins, days=sorted(log.queries["example_day"].unique().to_pylist())
        ),
        scorers={"model": model_scorer(model, catalogue=_newest(log.pins))},
        config=log.config,
    )
    return ranks["model"], seconds


class Ranks:
    """A folder of ranks, a file per switch and seed; of one set of queries alone."""

    def __init__(self, folder: Path, queries: pa.Table):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        asked = queries.select(["impression_id", "task", "pin_id"]).to_pydict()
        self.asked = hashlib.sha256(repr(asked).encode()).hexdigest()[:16]

    def have(self, name: str, seed: int) -> bool:
        """Whether they are kept."""
        return self._path(name, seed).exists()

    def keep(self, name: str, seed: int, rank_Q: np.ndarray, seconds: float) -> None:
        """Keep the ranks of a switch and seed, and how long its training took."""
        np.savez(self._path(name, seed), rank=rank_Q, seconds=seconds, name=name, asked=self.asked)

    def read(self, seed: int) -> dict[str, tuple[np.ndarray, float]]:
        """Ranks and seconds by name, of a seed; SystemExit where they are of other queries."""
        found = {}
        for path in sorted(self.folder.glob(f"*-{seed}.npz")):
            with np.load(path) as kept:
                if str(kept["asked"]) != self.asked:
                    raise SystemExit(f"{path} is of other queries: give --keep another folder")
                found[str(kept["name"])] = kept["rank"], float(kept["seconds"])
        return found

    def _path(self, name: str, seed: int) -> Path:
        return self.folder / f"{re.sub('[^a-z0-9]+', '_', name.lower())}-{seed}.npz"


def read_examples(day: dt.date | None = None) -> tuple[pa.Table, pa.Table, dt.date]:
    """Training examples of a day, the Pins of its holdout, and the log's first day.

    The newest day that has any, or another: its held-out labels are then those known by now, as in
    a report that is repeated.
    """
    deployment = current_deployment()
    rows = Rows(deployment)
    newest = max(rows.days("training_examples"), default=day)
    if newest is None:
        raise SystemExit("there are no training examples; build them: convcg run")
    chosen = day or newest
    days = Days(chosen, chosen)
    pin_days = Days(chosen - dt.timedelta(days=deployment.settings.examples.holdout_days), chosen)
    con = connect()
    examples = con.to_pyarrow(rows.read("training_examples", days, con=con))
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


def compare(log: Log, ranks: Ranks, *, seeds: list[int]) -> list[dict[str, Any]]:
    """By switch and metric: its value, and the paired difference from the default's."""
    of_seeds = [ranks.read(seed) for seed in seeds]
    names = [DEFAULT, *sorted(of_seeds[0].keys() - {DEFAULT}, key=_order)]
    queries = log.queries
    task = np.array(queries["task"].to_pylist())
    groups = slice_queries(
        queries,
        train=select_split(log.examples),
        not_indexed=np.zeros(len(task), dtype=bool),
        new_pin_days=log.config.new_pin_days,
    )
    of_pins = {
        "all": np.ones(len(task), dtype=bool),
        "unseen": np.array(groups.get("seen before", [None] * len(task))) == "unseen",
        "new": np.array(groups.get("Pin", [None] * len(task))) == "new",
    }
    user = queries["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    factor_Q = maturity_factors(queries, max_factor=None)
    weight = query_weights(factor_Q, match_factors(queries))
    figures = []
    for of_task, pins, k in METRICS:
        chosen = (task == of_task) & of_pins[pins]
        if not chosen.any():
            continue
        hits = {
            name: np.mean([recall_at(kept[name][0][chosen], k=k) for kept in of_seeds], axis=0)
            for name in names
        }
        for name in names:
            found = paired(
                hits[name],
                other_Q=hits[DEFAULT],
                weight_Q=weight[chosen],
                user_Q=user[chosen],
            )
            figures.append(
                {
                    "switch": name,
                    "metric": f"{of_task} recall@{k}, {pins} Pins",
                    "queries": int(chosen.sum()),
                    **found._asdict(),
                    "training_cpu_s": round(np.mean([kept[name][1] for kept in of_seeds]), 1),
                }
            )
    return figures


def _order(name: str) -> tuple[int, str]:
    known = list(SWITCHES)
    return (known.index(name) if name in known else len(known), name)


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


def plot(figures: list[dict[str, Any]], path: Path) -> None:
    """What each switch adds or costs, with its interval, a panel for each of the main metrics."""
    metrics = [f"conversion recall@100, {pins} Pins" for pins in ("all", "unseen")]
    metrics.append("engagement recall@100, all Pins")
    metrics = [metric for metric in metrics if any(f["metric"] == metric for f in figures)]
    names = [name for name in dict.fromkeys(f["switch"] for f in figures) if name != DEFAULT]
    figure = Figure(figsize=(11, 0.6 + 0.27 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=True):
        cells = {f["switch"]: f for f in figures if f["metric"] == metric}
        difference = np.array([cells[name]["difference"] for name in names])
        low, high = (np.array([cells[name][end] for name in names]) for end in ("low", "high"))
        is_clear = (low > 0) | (high < 0)
        for clear, colour in ((True, "tab:blue"), (False, "0.6")):
            rows = np.flatnonzero(is_clear == clear)
            ends = np.abs(np.stack([low, high]) - difference)[:, rows]
            panel.errorbar(difference[rows], rows, xerr=ends, fmt="o", ms=4, color=colour)
        panel.axvline(0, color="black", linewidth=0.8)
        panel.set_title(f"{metric}\ndefault {cells[DEFAULT]['value']:.3f}", fontsize=9)
        panel.set_xlabel("difference from the default", fontsize=8)
        panel.tick_params(labelsize=8)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    figure.savefig(path)


if __name__ == "__main__":
    main()
