"""What a Pin's score gains because the person acted on it before, or is looking at it now.

Which of thirty Pins it was cannot be said by one short vector; it need not be, for a list of them
says it exactly. So the score of a user and a Pin is the inner product of their embeddings plus, for
the few Pins of the user's recent actions and the subject Pin, a number learnt here. A search adds
it to those Pins alone (`index.py`). Shape suffixes: see `batches.py`.
"""

import torch
from torch import Tensor, nn

from convcg_model.batches import UserBatch
from convcg_model.features import FeatureSpec

STRIDE = 30.0
"""The parameters are stored over it: they have far to go, and AdamW takes steps of one size."""


class RepeatScore(nn.Module):
    """Gain of each recent Pin: kind[a] - d log(1 + age) - p log(1 + place) + c log(times).

    `age`, `place` and kind are those of the newest action on the Pin, `times` counts its actions
    among the recent ones. The subject Pin has a gain of its own, added to the other. Gains are
    logits, and may be negative: where nobody buys twice, what was bought sinks.
    """

    def __init__(self, spec: FeatureSpec):
        super().__init__()
        self.kind = self.slopes = self.subject = None
        if spec.actions:
            self.kind = nn.Embedding(spec.actions.size, 1)
            nn.init.zeros_(self.kind.weight)
            self.slopes = nn.Parameter(torch.zeros(3))
        if spec.has_subject:
            self.subject = nn.Parameter(torch.zeros(()))

    def forward(self, batch: UserBatch) -> Tensor:
        """gain_BM over the batch's items; 0 for those that a row does not mention."""
        gain_BM = torch.zeros(len(batch.subject_B), len(batch.item_row_M))
        gain_BM = gain_BM.to(batch.numeric_BF.device)
        if self.kind is not None and self.slopes is not None:
            recent_BL = batch.recent_BL
            place_L = torch.arange(recent_BL.shape[1], device=recent_BL.device)
            same_BLL = recent_BL.unsqueeze(2) == recent_BL.unsqueeze(1)
            newest_BL = (same_BLL.int().argmax(dim=2) == place_L) & (recent_BL > 0)
            age_slope, place_slope, times_slope = STRIDE * self.slopes
            gain_BL = (
                STRIDE * self.kind(batch.action_BL).squeeze(-1)
                - age_slope * torch.log1p(batch.age_BL.clamp(min=0))
                - place_slope * torch.log1p(place_L)
                + times_slope * torch.log(same_BLL.sum(dim=2))
            )
            gain_BM = gain_BM.scatter_add(1, recent_BL, gain_BL * newest_BL)
        if self.subject is not None:
            subject_B1 = batch.subject_B.unsqueeze(1)
            gain_BM = gain_BM.scatter_add(1, subject_B1, STRIDE * self.subject * (subject_B1 > 0))
        return gain_BM


def gains_of(gain_BM: Tensor, *, item_row_M: Tensor, pin_row_N: Tensor) -> Tensor:
    """gain_BN of Pins given by catalogue row; 0 for those that are not among the items."""
    place_N = torch.searchsorted(item_row_M, pin_row_N).clamp(max=len(item_row_M) - 1)
    return gain_BM[:, place_N] * (item_row_M[place_N] == pin_row_N)


def acted_on(batch: UserBatch, *, pin_row_N: Tensor) -> Tensor:
    """bool [B, N]: whether Pin n is among the recent actions of row b, or its subject."""
    mentioned_BM = torch.zeros(
        len(batch.subject_B), len(batch.item_row_M), device=batch.subject_B.device
    )
    mentioned_BM.scatter_(1, batch.recent_BL, 1.0)
    mentioned_BM.scatter_(1, batch.subject_B.unsqueeze(1), 1.0)
    mentioned_BM[:, 0] = 0
    return gains_of(mentioned_BM, item_row_M=batch.item_row_M, pin_row_N=pin_row_N) > 0
