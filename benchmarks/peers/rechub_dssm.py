"""Peer: DSSM of torch-rechub, list-wise over in-batch negatives."""

from typing import Any

import numpy as np
import torch
from torch_rechub.basic.features import DenseFeature, SequenceFeature, SparseFeature
from torch_rechub.models.matching import DSSM
from torch_rechub.trainers import MatchTrainer

from benchmarks.peers.exchange import Candidates, Data, Fitted, Rows, run
from benchmarks.peers.inputs import (
    BATCH,
    EMBEDDING,
    LAYERS,
    LEARNING_RATE,
    item_inputs,
    user_inputs,
    vocabulary_sizes,
)


class Batches:
    """The positives in batches, in a new order each epoch, as the trainer wants them.

    A data loader that takes examples one by one would be slower.
    """

    def __init__(self, inputs: dict[str, torch.Tensor], *, num_rows: int):
        self.inputs, self.num_rows = inputs, num_rows

    def __iter__(self):
        for rows in torch.randperm(self.num_rows).split(BATCH):
            if len(rows) > 1:
                batch = {name: values[rows] for name, values in self.inputs.items()}
                yield batch, torch.zeros(len(rows))


def fit(data: Data, settings: dict[str, Any]) -> Fitted:
    """`epochs`, and the `temperature` that the trainer's logits are divided by."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = vocabulary_sizes(data)
    users = user_inputs(data.train, data.items)
    pins = item_inputs(data.labels.item, data.labels.numeric, data.items)

    def feature(name: str, values: np.ndarray) -> Any:
        if name.endswith("_numeric"):
            return DenseFeature(name, embed_dim=values.shape[1])
        if name == "recent":
            return SequenceFeature(
                name, sizes["pin"], EMBEDDING, pooling="mean", shared_with="pin", padding_idx=0
            )
        shared = "pin" if name == "subject" else None
        return SparseFeature(name, sizes[shared or name], EMBEDDING, shared_with=shared)

    model = DSSM(
        [feature(name, values) for name, values in users.items()],
        [feature(name, values) for name, values in pins.items()],
        user_params={"dims": list(LAYERS)},
        item_params={"dims": list(LAYERS)},
    )
    trainer = MatchTrainer(
        model,
        mode=2,
        in_batch_neg=True,
        optimizer_params={"lr": LEARNING_RATE},
        n_epoch=settings["epochs"],
        model_path=str(data.folder),
    )
    criterion, temperature = trainer.criterion, settings["temperature"]
    trainer.criterion = lambda logits, targets: criterion(logits / temperature, targets)
    num_rows = len(data.train)
    trainer.fit(Batches(_tensors(users | pins), num_rows=num_rows))
    model.eval()

    def score(queries: Rows, candidates: Candidates) -> np.ndarray:
        asked = user_inputs(queries, data.items)
        ranked = item_inputs(candidates.item, candidates.numeric, data.items)
        with torch.inference_mode():
            user_QD = model.user_tower(_tensors(asked))
            pin_ND = model.item_tower(_tensors(ranked))
            return (user_QD @ pin_ND.T).numpy()

    return Fitted(score, examples=settings["epochs"] * num_rows)


def _tensors(inputs: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(of)) for name, of in inputs.items()}


if __name__ == "__main__":
    run(fit)
