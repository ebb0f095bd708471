"""Benchmark: convcg's towers beside other libraries, on a log that has been built.

    CONVCG_HOME=... CONVCG_SOURCE=... python -m benchmarks.bench_peers

Every peer learns from the same training rows, encoded the same way, ranks the same candidates for
the same queries, and is judged by the same metric code. Each is a script in `peers/`, run with one
thread in an environment of its own, which is made on demand below `--environments`. Its settings
are tried on the newest training days, which are those by which the towers choose how long to
train; the best is then fitted on all training days and ranks the held-out ones, once. A peer that
does not run is listed with the reason. The last line is one JSON object.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.ablation import read_examples
from benchmarks.matrix_products import examples_per_cpu_s
from benchmarks.paired import paired
from benchmarks.peer_tasks import Task, write_tasks
from benchmarks.peers.exchange import Items, Labels, Rows, load
from benchmarks.peers.inputs import (
    BATCH,
    EMBEDDING,
    LAYERS,
    input_size,
    item_inputs,
    user_inputs,
)
from convcg_assets.deployment import current_deployment
from convcg_model.evaluation.metrics import recall_at
from convcg_model.evaluation.weights import match_factors, maturity_factors, query_weights

OURS, EQUAL_WIDTHS = "convcg towers", "convcg towers, MLP only"
EQUALLY_WIDE = {
    "model": {
        "tower": "mlp",
        "mlp_sizes": LAYERS,
        "embedding_dim": LAYERS[-1],
        "pin_id_dim": EMBEDDING,
        "advertiser_dim": EMBEDDING,
        "category_dim": EMBEDDING,
        "context_dim": EMBEDDING,
    },
    "training": {"epochs": 6, "batch_size": BATCH, "hard_negatives_per_batch": 0},
}
"""The towers at the widths and the batch size of the other two-tower libraries, for their speed."""
REPOSITORY = Path(__file__).parents[1]
REQUIREMENTS = Path(__file__).parent / "peers"
NEW_PIN_DAYS = 7
SLICES = ("all", "unseen", "new")
KS = (10, 100, 1000)


@dataclass(frozen=True)
class Peer:
    """A script of `peers/`, the settings tried, and the requirements of its environment.

    Without `requirements` it runs in the environment of this command.
    """

    script: str
    settings: tuple[dict[str, Any], ...] = ({},)
    requirements: str | None = None


def _grid(kind: str | None = None, **values: tuple) -> tuple[dict[str, Any], ...]:
    """Every combination of the values."""
    combinations: list[dict[str, Any]] = [{"kind": kind} if kind else {}]
    for name, choices in values.items():
        combinations = [of | {name: choice} for of in combinations for choice in choices]
    return tuple(combinations)


PEERS = {
    OURS: Peer("towers"),
    EQUAL_WIDTHS: Peer("towers", (EQUALLY_WIDE,)),
    "popularity": Peer("popularity", _grid("plain")),
    "popularity, decayed": Peer("popularity", _grid("decayed", half_life_days=(1, 3, 7, 14))),
    "popularity, streaming": Peer("popularity", _grid("streaming", half_life_days=(0.25, 1, 3, 7))),
    "recently viewed": Peer("recency", _grid("viewed")),
    "transitions": Peer("recency", _grid("transitions", decay=(0.5, 0.8), doubt=(2, 10))),
    "item-kNN": Peer("neighbours", _grid("knn", decay=(0.6, 0.9), own=(False, True))),
    "EASE": Peer("neighbours", _grid("ease", decay=(0.6, 0.9), penalty=(50, 500))),
    "implicit ALS": Peer("factorisation", _grid("als", factors=(32, 96), alpha=(1, 10))),
    "implicit BPR": Peer(
        "factorisation", _grid("bpr", factors=(32, 96), learning_rate=(0.01, 0.05))
    ),
    "LightFM WARP, features": Peer(
        "rectools_models",
        _grid("warp", no_components=(32, 96), learning_rate=(0.02, 0.05)),
        "rectools",
    ),
    "RecTools iALS, features": Peer(
        "rectools_models", _grid("ials", factors=(32, 96), alpha=(1, 10)), "rectools"
    ),
    "RecTools SASRec": Peer(
        "rectools_models", _grid("sasrec", n_factors=(64, 128), epochs=(2, 6)), "rectools"
    ),
    "torch-rechub DSSM": Peer(
        "rechub_dssm", _grid(epochs=(3, 10), temperature=(0.03, 0.08)), "rechub"
    ),
    "TFRS": Peer("keras_towers", _grid("tfrs", epochs=(3, 10), temperature=(0.03, 0.08)), "tfrs"),
    "keras-rs": Peer(
        "keras_towers", _grid("keras_rs", epochs=(3, 10), temperature=(0.03, 0.08)), "keras_rs"
    ),
}
"""Settings by peer: four where there is something to tune, of the towers the defaults alone."""


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_peers", description=__doc__)
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--max-queries", type=int, default=3_000, help="of each task")
    parser.add_argument("--search-queries", type=int, default=500, help="of each task")
    parser.add_argument("--environments", type=Path, default=REPOSITORY / "build" / "peers")
    parser.add_argument("--limit-s", type=int, default=900, help="of one fit and ranking")
    options = parser.parse_args()
    examples, pins, first_day = read_examples()
    folder = Path(tempfile.mkdtemp(prefix="peers-"))
    try:
        search, final, queries = write_tasks(
            folder,
            examples,
            pins,
            first_day=first_day,
            max_queries=options.max_queries,
            search_queries=options.search_queries,
        )
        ranks, of_peers = {}, {}
        for name in dict.fromkeys([OURS, *options.peers]):
            rank_Q, of_peers[name] = measure(
                PEERS[name],
                search=search,
                final=final,
                environments=options.environments,
                limit_s=options.limit_s,
            )
            if rank_Q is not None:
                ranks[name] = rank_Q
            print(name, of_peers[name], flush=True)
        bare = bare_examples_per_cpu_s(final.folder)
    finally:
        shutil.rmtree(folder)
    figures = judge(ranks, queries=queries, final=final)
    print_table(figures, of_peers)
    print(f"bare matrix products of {LAYERS} in both towers: {bare} examples/s")
    source = current_deployment().source.name
    outcome = {"source": source, "peers": of_peers, "bare_examples_per_cpu_s": bare}
    print(json.dumps(outcome | {"figures": figures}))


def bare_examples_per_cpu_s(folder: Path) -> int:
    """The matrix products alone, at the widths of the two-tower peers on this log."""
    items = load(folder, "items", Items)
    first = np.arange(1)
    labels: Labels = load(folder, "labels", Labels)
    asked = user_inputs(load(folder, "train", Rows).take(first), items)
    pins = item_inputs(labels.item[first], labels.numeric[first], items)
    return examples_per_cpu_s(
        user_size=input_size(asked),
        pin_size=input_size(pins),
        layers=LAYERS,
        batch_size=BATCH,
    )


def measure(
    peer: Peer, *, search: Task, final: Task, environments: Path, limit_s: int
) -> tuple[np.ndarray | None, dict[str, Any]]:
    """Rank of every held-out query's Pin by a peer, with what it took; None if it does not run."""
    try:
        python = environment(peer.requirements, environments)
        tried = []
        if len(peer.settings) > 1:
            for rank_Q, _ in rank(
                peer.script, search, peer.settings, python=python, limit_s=limit_s
            ):
                tried.append(float((search.weight / np.log2(1 + rank_Q)).sum()))
        settings = peer.settings[int(np.argmax(tried)) if tried else 0]
        [(rank_Q, took)] = rank(peer.script, final, (settings,), python=python, limit_s=limit_s)
    except PeerError as error:
        return None, {"does_not_run": str(error)}
    if took["examples"] and took["cpu_s"]:
        took["examples_per_cpu_s"] = round(took.pop("examples") / took["cpu_s"])
    return rank_Q, {"settings": settings, "tried": [round(value, 4) for value in tried]} | took


class PeerError(Exception):
    """Why a peer does not run, in a line."""


def environment(requirements: str | None, environments: Path) -> str:
    """The interpreter that has a peer's requirements; made the first time."""
    if requirements is None:
        return sys.executable
    listed = REQUIREMENTS / f"{requirements}.txt"
    folder = environments / requirements
    python, made_from = folder / "bin" / "python", folder / "made_from.txt"
    if made_from.exists() and made_from.read_text() == listed.read_text():
        return str(python)
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(listed)],
    ):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise PeerError(f"cannot be installed: {_last_line(made.stderr)}")
    made_from.write_text(listed.read_text())
    return str(python)


def rank(
    script: str, task: Task, settings: tuple[dict[str, Any], ...], *, python: str, limit_s: int
) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """By setting the rank of each query's target (infinite: none written), and what it took."""
    output = task.folder / "top"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    command = [python, "-m", f"benchmarks.peers.{script}", str(task.folder), str(output)]
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    try:
        ran = subprocess.run(
            [*command, *(json.dumps(of) for of in settings)],
            cwd=REPOSITORY,
            env=os.environ | dict.fromkeys(threads, "1") | quiet,
            capture_output=True,
            text=True,
            timeout=limit_s * len(settings),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"not done after {limit_s * len(settings)} s: {settings}") from None
    said = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if ran.returncode < 0 or (ran.returncode == 0 and len(said) < len(settings)):
        raise PeerError("was ended before it was done")
    if ran.returncode:
        raise PeerError(_last_line(ran.stderr))
    found = []
    for number, line in enumerate(said):
        top = np.load(output / f"{number}.npy")
        hit = (top == task.target[:, None]) & (task.target[:, None] >= 0)
        rank_Q = np.where(hit.any(axis=1), 1.0 + hit.argmax(axis=1), np.inf)
        found.append((rank_Q, json.loads(line)))
    return found


def judge(ranks: dict[str, np.ndarray], *, queries: pa.Table, final: Task) -> list[dict[str, Any]]:
    """Recall by peer, task, slice and k, and by how much the towers' is higher."""
    task = np.array(queries["task"].to_pylist())
    age = queries["pin_age_days"].to_pylist()
    new = np.array([days is not None and days < NEW_PIN_DAYS for days in age]) | (final.target < 0)
    slices = {
        "all": np.ones(len(task), dtype=bool),
        "unseen": np.array([seen is False for seen in queries["seen_before"].to_pylist()]),
        "new": new if any(days is not None for days in age) else np.zeros(len(task), dtype=bool),
    }
    user_Q = queries["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    factor_Q = maturity_factors(queries, max_factor=None)
    weight = query_weights(factor_Q, match_factors(queries))
    figures = []
    for name, rank_Q in ranks.items():
        for task_name in dict.fromkeys(task.tolist()):
            for slice_name, of_slice in slices.items():
                chosen = of_slice & (task == task_name)
                if not chosen.any():
                    continue
                for k in KS:
                    ours = recall_at(ranks[OURS][chosen], k=k)
                    found = paired(
                        ours,
                        other_Q=recall_at(rank_Q[chosen], k=k),
                        weight_Q=weight[chosen],
                        user_Q=user_Q[chosen],
                    )
                    figures.append(
                        {
                            "peer": name,
                            "task": task_name,
                            "pins": slice_name,
                            "k": k,
                            "queries": int(chosen.sum()),
                            "recall": round(found.value - found.difference, 4),
                            "towers_ahead": [found.difference, found.low, found.high],
                        }
                    )
    return figures


def print_table(figures: list[dict[str, Any]], of_peers: dict[str, dict[str, Any]]) -> None:
    """Recall of every peer, in Markdown; `*`: the towers are ahead, `!`: behind, by more than the
    95 % interval.
    """
    columns = [("conversion", pins, k) for pins in SLICES for k in KS]
    columns += [("engagement", "all", 100), ("engagement", "unseen", 100)]
    found = {(f["peer"], f["task"], f["pins"], f["k"]): f for f in figures}
    columns = [column for column in columns if (OURS, *column) in found]
    heads = [f"{task[:4]}. {pins} @{k}" for task, pins, k in columns]
    print("| peer | " + " | ".join([*heads, "examples/s", "MB"]) + " |")
    print("|---" * (len(heads) + 3) + "|")
    for name, of in of_peers.items():
        if "does_not_run" in of:
            print(f"| {name} | {of['does_not_run']} |")
            continue
        cells = []
        for column in columns:
            figure = found[(name, *column)]
            _, low, high = figure["towers_ahead"]
            cells.append(f"{figure['recall']:.3f}{'*' if low > 0 else '!' if high < 0 else ''}")
        cells += [str(of.get("examples_per_cpu_s", "")), str(of["peak_mb"])]
        print(f"| {name} | " + " | ".join(cells) + " |")


def _last_line(text: str) -> str:
    """What a traceback ends with, or the last error that an installation tells of."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [place for place, line in enumerate(lines) if "error" in line.lower()]
    return " ".join(lines[errors[-1] if errors else -1 :])[:300] or "it said nothing"


if __name__ == "__main__":
    main()
