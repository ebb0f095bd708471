"""Benchmark: the towers on data with published results, under the published protocol.

    CONVCG_REAL_DATA=... python -m benchmarks.bench_public

Amazon Beauty, Sports and Toys: leave one out, all items ranked but the user's own, HR@10 and
NDCG@10 (`leave_one_out.py`). The towers, the loss and the optimiser are the package's; a positive
is an item with those before it. The weights of the epoch that is best on the validation items are
asked for the test items, once; nothing learns from either. Beside them the published figures and
an item-kNN of this command. The last line is one JSON object.
"""

import argparse
import copy
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from benchmarks.leave_one_out import (
    TEST,
    VALIDATION,
    Score,
    Sequences,
    item_knn,
    item_rows,
    num_items,
    query_rows,
    ranks,
    read_sequences,
    training_rows,
)
from convcg_model.batch_loss import batch_loss
from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.determinism import choose_device, deterministic_torch
from convcg_model.encoding import encode_pins, encode_users, pin_batch, user_batch
from convcg_model.evaluation.metrics import ndcg_at, recall_at
from convcg_model.sampling import Batches, num_steps
from convcg_model.towers import TwoTower
from convcg_model.training_set import fit_catalogue_and_features, training_set
from convcg_model.training_state import make_optimizer

PUBLISHED = {
    "Beauty": {"Pop": 0.0152, "SASRec": 0.0605, "S3-Rec": 0.0647},
    "Sports_and_Outdoors": {"Pop": 0.0094, "SASRec": 0.0350, "S3-Rec": 0.0385},
    "Toys_and_Games": {"Pop": 0.0113, "SASRec": 0.0675, "S3-Rec": 0.0700},
}
"""HR@10 by set, as the S3-Rec repository gives it."""
MODEL = ModelConfig(
    tower="mlp",  # ids alone: there is nothing to cross
    max_recent_actions=50,
    pin_id_dim=64,
    min_pin_count=1,
    id_dropout=0.0,
    repeat_score=False,  # a user's own items are no candidates
)
TRAINING = TrainingConfig(epochs=10, batch_size=1024, hard_negatives_per_batch=0)
"""What differs from the defaults was chosen on the validation items of Beauty and Toys."""
DECAYS = (1.0, 0.7)
"""Of item-kNN: the plain sum, and one in which the newest items count most."""
MAX_VALIDATION_USERS = 3_000


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_public", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("CONVCG_REAL_DATA"),
        help="the folder that has amazon/*.txt.gz (CONVCG_REAL_DATA)",
    )
    parser.add_argument("--sets", nargs="+", choices=list(PUBLISHED), default=list(PUBLISHED))
    parser.add_argument("--epochs", type=int, default=TRAINING.epochs)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    if options.data is None:
        parser.error("say where the data are: --data or CONVCG_REAL_DATA")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    figures = []
    for name in options.sets:
        sequences = read_sequences(options.data / "amazon" / f"{name}.txt.gz")
        figures.append(measure(name, sequences, seeds=options.seeds, epochs=options.epochs))
        print_figures(figures[-1])
    print(json.dumps({"seeds": options.seeds, "sets": figures}))


def measure(name: str, sequences: Sequences, *, seeds: list[int], epochs: int) -> dict[str, Any]:
    """The figures of one set: of the towers by seed, of item-kNN, and what was published."""
    users = np.arange(len(sequences))
    towers = []
    for seed in seeds:
        training = TRAINING.model_copy(update={"seed": seed, "epochs": epochs})
        started = time.process_time()
        score, curve = train(sequences, training=training)
        cpu_s = time.process_time() - started
        towers.append(
            metrics(ranks(score, sequences, users, hidden=TEST))
            | {"epoch": 1 + int(np.argmax(curve)), "validation_ndcg": curve}
            | {"seed": seed, "cpu_s": round(cpu_s)}
        )
    knn = {}
    for learnt, unknown in {"": VALIDATION, ", validation items counted too": TEST}.items():
        for decay in DECAYS:
            score = item_knn(sequences, decay=decay, unknown=unknown)
            rank_Q = ranks(score, sequences, users, hidden=TEST)
            knn[f"item-kNN, decay {decay:g}{learnt}"] = metrics(rank_Q)
    return {
        "set": name,
        "users": len(sequences),
        "items": num_items(sequences),
        "towers": towers,
        "hr_10": round(float(np.mean([figure["hr_10"] for figure in towers])), 4),
        **knn,
        "published": PUBLISHED[name],
    }


def train(sequences: Sequences, *, training: TrainingConfig) -> tuple[Score, list[float]]:
    """Towers of the best epoch as a score, and every epoch's mean 1 / log2(1 + rank).

    It is the package's training (`training.py`) but for who judges: there the newest positives,
    which it then learns from as well, here the validation items, of which it may not.
    """
    assert training.epochs != "auto"
    assert training.batch_size != "auto"
    device = choose_device(training.device)
    longest = MODEL.max_recent_actions
    examples, pins = training_rows(sequences, longest=longest), item_rows(num_items(sequences))
    static, spec = fit_catalogue_and_features(examples, pins, config=MODEL)
    data = training_set(examples, static, spec, task_weights=training.task_weights)
    items = encode_pins(pins, spec, data.catalogue)

    def scorer(network: TwoTower) -> Score:
        network.eval()
        every = np.array_split(np.arange(pins.num_rows), 1 + pins.num_rows // 2048)
        with torch.inference_mode():
            pin_ND = torch.cat(
                [
                    network.embed_pins(pin_batch(items, data.catalogue, rows).to(device))
                    for rows in every
                ]
            )

        def score(users: np.ndarray, hidden: int) -> np.ndarray:
            asked = query_rows(sequences, users, hidden=hidden, longest=longest)
            encoded = encode_users(asked, spec, data.catalogue)
            batch = user_batch(encoded, data.catalogue, np.arange(len(users))).to(device)
            with torch.inference_mode():
                return (network.embed_users(batch) @ pin_ND.T).cpu().numpy()

        return score

    generator = np.random.default_rng(training.seed)
    judges = generator.permutation(len(sequences))[:MAX_VALIDATION_USERS]
    with deterministic_torch(device):
        torch.manual_seed(training.seed)
        network = TwoTower(spec, MODEL).to(device)
        best, curve = network, []
        optimizer = make_optimizer(network, training)
        batches = Batches(training)
        per_epoch = num_steps(len(data.positive), batch_size=training.batch_size)
        total = training.epochs * per_epoch
        for step in range(total):
            # Loss
            network.train()
            rows = batches.at(step, num_positives=len(data.positive))
            loss = batch_loss(network, data, rows, step=step, config=MODEL, training=training)

            # Update, at a rate that rises for an epoch and falls to a hundredth
            optimizer.zero_grad(set_to_none=True)
            loss.loss.backward()
            clip_grad_norm_(network.parameters(), training.max_gradient_norm)
            rate = min(1.0, (step + 1) / per_epoch) * (1 - 0.99 * step / total)
            for group in optimizer.param_groups:
                group["lr"] = training.learning_rate * rate
            optimizer.step()

            # Judge
            if (step + 1) % per_epoch == 0:
                rank_V = ranks(scorer(network), sequences, judges, hidden=VALIDATION)
                curve.append(round(float((1 / np.log2(1 + rank_V)).mean()), 5))
                if curve[-1] == max(curve):
                    best = copy.deepcopy(network)
    return scorer(best), curve


def metrics(rank_Q: np.ndarray) -> dict[str, float]:
    """HR@10, which is recall@10 of one target, and NDCG@10."""
    return {
        "hr_10": round(float(recall_at(rank_Q, k=10).mean()), 4),
        "ndcg_10": round(float(ndcg_at(rank_Q, k=10).mean()), 4),
    }


def print_figures(figures: dict[str, Any]) -> None:
    """A set's figures, a line for each method."""
    print(f"{figures['set']}: {figures['users']} users, {figures['items']} items", flush=True)
    for towers in figures["towers"]:
        print(
            f"  towers, seed {towers['seed']}: HR@10 {towers['hr_10']:.4f}, NDCG@10 "
            f"{towers['ndcg_10']:.4f}; epoch {towers['epoch']}, {towers['cpu_s']} s"
        )
    for name, of in figures.items():
        if name.startswith("item-kNN"):
            print(f"  {name}: HR@10 {of['hr_10']:.4f}, NDCG@10 {of['ndcg_10']:.4f}")
    for name, value in figures["published"].items():
        print(f"  {name}, published: HR@10 {value:.4f}", flush=True)


if __name__ == "__main__":
    main()
