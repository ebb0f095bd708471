"""A space that both towers share: a Pin, and a person's recent Pins, as points of the embedding.

A tower's layers lose which Pin it was that a person acted on. Added to their output, before
normalisation, the point of the Pin and the mean point of the recent Pins bring what is alike close
together from the first step on. Shape suffixes: see `batches.py`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from convcg_model.features import FeatureSpec


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

    def of_users(
        self,
        item_MX: Tensor,
        *,
        subject_B: Tensor,
        recent_BL: Tensor,
        action_BL: Tensor,
        age_BL: Tensor,
    ) -> Tensor:
        """point_BD to be added to the user tower's output; 0 without subject and actions."""
        point_MD = self.map(item_MX)
        point_BD = torch.zeros(len(subject_B), point_MD.shape[1], device=point_MD.device)
        if self.subject_scale is not None:
            point_BD = point_BD + self.subject_scale * functional.embedding(subject_B, point_MD)
        if self.kind is not None and self.decay is not None and self.history_scale is not None:
            present_BL = recent_BL > 0
            score_BL = self.kind(action_BL).squeeze(-1)
            score_BL = score_BL - self.decay * torch.log1p(age_BL.clamp(min=0))
            # A finite floor, not -inf: a row without any action must not become NaN.
            share_BL = torch.softmax(score_BL.masked_fill(~present_BL, -1e4), dim=1) * present_BL
            mean_BD = share_BL.unsqueeze(1) @ functional.embedding(recent_BL, point_MD)
            point_BD = point_BD + self.history_scale * mean_BD.squeeze(1)
        return point_BD
