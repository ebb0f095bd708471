"""What a training changes from step to step: weights, their mean, the best ones, the optimiser."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from convcg_model.config import TrainingConfig
from convcg_model.course import Course
from convcg_model.sharded_tables import (
    ShardedTable,
    part_moments,
    part_weights,
    whole_moments,
    whole_weights,
)
from convcg_model.towers import TwoTower


@dataclass
class TrainingState:
    """`averaged` are the weights that the newest positives judge, `best` those to finish from."""

    network: TwoTower
    optimizer: torch.optim.Optimizer
    course: Course
    averaged: TwoTower | None
    best: dict[str, Any] | None = None

    def average(self, step: int) -> None:
        """Move the averaged weights towards the network's: a mean over about half a look's steps.

        It is to the weights of a rate that stays what a falling rate would have made of them.
        """
        if self.averaged is None:
            return
        share = max(1 / (step + 1), 2 / self.course.look_every)
        with torch.no_grad():
            pairs = zip(self.averaged.parameters(), self.network.parameters(), strict=True)
            for mean, newest in pairs:
                mean.lerp_(newest, share)

    @property
    def best_gains(self) -> np.ndarray | None:
        """What each query gained at the best look; None before any."""
        return None if self.best is None else self.best["gains"].numpy()

    def keep_best(self, gains: np.ndarray) -> None:
        """These weights are the best so far, by what each query gained."""
        self.best = copy.deepcopy(self._weights()) | {"gains": torch.from_numpy(gains)}

    def restore_best(self) -> None:
        """Go on from the best weights, as the optimiser was then."""
        assert self.best is not None
        self._restore(self.best)

    def save(self) -> dict[str, Any]:
        """All of it, for a partial state; the tables whole, so all ranks ask for it at once."""
        return self._whole(self._weights()) | {
            "averaged": whole_weights(self.averaged) if self.averaged else None,
            "best": None if self.best is None else self.best | self._whole(self.best),
            "course": self.course.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `save` gave."""
        self.course.resume(state["course"])
        self._restore(self._part(state))
        best = state["best"]
        self.best = None if best is None else best | self._part(best)
        if self.averaged and state["averaged"]:
            self.averaged.load_state_dict(part_weights(state["averaged"], self.averaged))

    def _weights(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def _whole(self, state: dict[str, Any]) -> dict[str, Any]:
        return {
            "network": whole_weights(self.network, state["network"]),
            "optimizer": whole_moments(state["optimizer"], self.optimizer, self.network),
        }

    def _part(self, state: dict[str, Any]) -> dict[str, Any]:
        return {
            "network": part_weights(state["network"], self.network),
            "optimizer": part_moments(state["optimizer"], self.optimizer, self.network),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def make_optimizer(network: TwoTower, training: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW; an embedding that no row of a batch uses must not shrink, so embeddings do not."""
    tables = (torch.nn.Embedding, torch.nn.EmbeddingBag, ShardedTable)
    embeddings = {id(m.weight) for m in network.modules() if isinstance(m, tables)}
    decayed, others = [], []
    for parameter in network.parameters():
        is_matrix = parameter.ndim > 1 and id(parameter) not in embeddings
        (decayed if is_matrix else others).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)
