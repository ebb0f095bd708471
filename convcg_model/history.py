"""The vector of a user's recent actions: weighted means over the Pins acted on.

Stands behind one small interface (`size`, `forward`), so that a sequence model can take its place.
Shape suffixes: see `batches.py`.
"""

import math

import torch
from torch import Tensor, nn

from convcg_model.vocabulary import Vocabulary


class HistoryPooling(nn.Module):
    """K means of the acted-on Pins, weighted by kind of action and recency.

    Pool k weighs an action of kind a, `age` days old, in proportion to
    exp(kind_score[a, k] - decay[k] * log(1 + age)): with decay 1 an action of yesterday counts
    about twice one of three days ago. The decays start spread from 0 to 2 and are learnt.
    """

    def __init__(self, actions: Vocabulary, *, item_size: int, num_pools: int):
        super().__init__()
        self.kind_score = nn.Embedding(actions.size, num_pools)
        self.decay_K = nn.Parameter(torch.linspace(0.0, 2.0, num_pools))
        nn.init.zeros_(self.kind_score.weight)
        self.size = num_pools * item_size + 1

    def forward(
        self, item_MX: Tensor, recent_BL: Tensor, action_BL: Tensor, age_BL: Tensor
    ) -> Tensor:
        """[B, K * X + 1]: the pools side by side, and the log of the number of actions."""
        present_BL = recent_BL > 0
        score_BLK = self.kind_score(action_BL) - self.decay_K * torch.log1p(
            age_BL.clamp(min=0)
        ).unsqueeze(-1)
        # A finite floor, not -inf: a row without any action must not become NaN.
        score_BLK = score_BLK.masked_fill(~present_BL.unsqueeze(-1), -1e4)
        share_BLK = torch.softmax(score_BLK, dim=1) * present_BL.unsqueeze(-1)
        recent_BLX = nn.functional.embedding(recent_BL, item_MX)
        pooled_BKX = share_BLK.transpose(1, 2) @ recent_BLX
        count_B1 = torch.log1p(present_BL.sum(dim=1, keepdim=True).to(item_MX.dtype))
        return torch.cat(
            [pooled_BKX.flatten(1), count_B1 / math.log(2 + recent_BL.shape[1])], dim=1
        )
