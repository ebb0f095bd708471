"""A space that both towers share: a Pin, and a person's recent Pins, as points of the embedding.

A tower's layers lose which Pin it was that a person acted on. Added to their output, before
normalisation, the point of the Pin and the mean point of the recent Pins bring what is alike close
together from the first step on. Shape suffixes: see `batches.py`.
"""

import torch
from torch import Tensor, nn

from convcg_model.features import FeatureSpec
from convcg_model.history import Actions


class ItemSpace(nn.Module):
    """One linear map of item vectors, and learnt scales of what is added where.

    The mean over the recent Pins weighs an action of kind a, `age` days old, in proportion to
    exp(kind[a] - decay log(1 + age)).
    """

    def __init__(self, spec: FeatureSpec, *, item_size: int, size: int):
        super().__init__()
        self.map = nn.Linear(item_size, size, bias=False)
        self.pin_scale = nn.Parameter(torch.ones(()))
        self.subject_scale = self.history_scale = self.kind = self.decay = None
        if spec.has_subject:
            self.subject_scale = nn.Parameter(torch.ones(()))
        if spec.actions:
            self.history_scale = nn.Parameter(torch.ones(()))
            self.kind = nn.Embedding(spec.actions.size, 1)
            nn.init.zeros_(self.kind.weight)
            self.decay = nn.Parameter(torch.tensor(0.5))

    def of_pins(self, item_NX: Tensor) -> Tensor:
        """point_ND to be added to the Pin tower's output."""
        return self.pin_scale * self.map(item_NX)

    def scores(self, actions: Actions) -> Tensor:
        """score_BL1 of the actions, by which their mean weighs them (`Actions.means`)."""
        assert self.kind is not None
        assert self.decay is not None
        kind_BL1 = actions.kind_BLA @ self.kind.weight
        return kind_BL1 - self.decay * actions.log_age_BL.unsqueeze(-1)

    def of_users(self, *, subject_BX: Tensor | None, mean_BX: Tensor | None) -> Tensor | None:
        """point_BD to be added to the user tower's output; None without subject and actions.

        The map is linear: the point of the mean Pin is the mean of the points.
        """
        parts = []
        if self.subject_scale is not None and subject_BX is not None:
            parts.append(self.subject_scale * subject_BX)
        if self.history_scale is not None and mean_BX is not None:
            parts.append(self.history_scale * mean_BX)
        return self.map(sum(parts)) if parts else None
