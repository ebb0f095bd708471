"""What a Pin's score gains because the person acted on it before, or is looking at it now.

Which of thirty Pins it was cannot be said by one short vector; it need not be, for a list of them
says it exactly. So the score of a user and a Pin is the inner product of their embeddings plus, for
the few Pins of the user's recent actions and the subject Pin, a number learnt here. A search adds
it to those Pins alone (`index.py`). Shape suffixes: see `batches.py`, and P for the Pins that a
user mentions: L recent ones and the subject.
"""

from dataclasses import dataclass

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

    def start_from(self, *, recent: float, subject: float) -> None:
        """Begin with these gains, in logits, instead of none: see `repeat_rates.py`."""
        with torch.no_grad():
            if self.kind is not None:
                self.kind.weight.fill_(recent / STRIDE)
            if self.subject is not None:
                self.subject.fill_(subject / STRIDE)

    def forward(self, batch: UserBatch) -> Tensor:
        """gain_BP of the Pins of `mentioned_rows`; an older action on the same Pin adds nothing."""
        recent_BL = batch.recent_BL
        gain_BL, gain_B1 = torch.zeros_like(batch.age_BL), torch.zeros_like(batch.age_BL[:, :1])
        if self.kind is not None and self.slopes is not None:
            place_L = torch.arange(recent_BL.shape[1], device=recent_BL.device)
            same_BLL = recent_BL.unsqueeze(2) == recent_BL.unsqueeze(1)
            newest_BL = (same_BLL.int().argmax(dim=2) == place_L) & (recent_BL > 0)
            age_slope, place_slope, times_slope = STRIDE * self.slopes
            gain_BL = newest_BL * (
                STRIDE * self.kind(batch.action_BL).squeeze(-1)
                - age_slope * torch.log1p(batch.age_BL.clamp(min=0))
                - place_slope * torch.log1p(place_L)
                + times_slope * torch.log(same_BLL.sum(dim=2))
            )
        if self.subject is not None:
            gain_B1 = STRIDE * self.subject * (batch.subject_B.unsqueeze(1) > 0)
        return torch.cat([gain_BL, gain_B1], dim=1)


def mentioned_rows(batch: UserBatch) -> Tensor:
    """Catalogue rows [B, P] of each user's recent Pins and, last, the subject Pin; 0: none."""
    place_BP = torch.cat([batch.recent_BL, batch.subject_B.unsqueeze(1)], dim=1)
    return batch.item_row_M[place_BP]


@dataclass(frozen=True)
class Mentions:
    """Where the Pins that users mention stand among N Pins: `source` is a place in [B, P] and
    `cell` one in [B, N], both flattened.
    """

    source: Tensor
    cell: Tensor
    shape: tuple[int, int]

    def spread(self, gain_BP: Tensor) -> Tensor:
        """gain_BN: of each Pin the sum of its gains, 0 for those that a user does not mention."""
        gain_BN = torch.zeros(self.shape[0] * self.shape[1], device=gain_BP.device)
        gain_BN = gain_BN.scatter_add(0, self.cell, gain_BP.flatten()[self.source])
        return gain_BN.reshape(self.shape)

    def mask(self) -> Tensor:
        """bool [B, N]: whether user b mentions Pin n."""
        mask_BN = torch.zeros(
            self.shape[0] * self.shape[1], dtype=torch.bool, device=self.cell.device
        )
        mask_BN[self.cell] = True
        return mask_BN.reshape(self.shape)


def find_mentions(batch: UserBatch, *, pin_row_N: Tensor) -> Mentions:
    """The mentions of N Pins, given by catalogue row; the same Pin may stand there more than once.

    A join by sorting: few of a user's Pins are in a batch, so a matrix of all would be wasteful.
    """
    row_BP = mentioned_rows(batch)
    sorted_N, order_N = torch.sort(pin_row_N, stable=True)
    flat = row_BP.flatten()
    first = torch.searchsorted(sorted_N, flat)
    count = torch.searchsorted(sorted_N, flat, right=True) - first
    count = count * (flat > 0)
    source = torch.repeat_interleave(torch.arange(len(flat), device=flat.device), count)
    within = torch.arange(len(source), device=flat.device) - (count.cumsum(0) - count)[source]
    column = order_N[first[source] + within]
    return Mentions(
        source=source,
        cell=source // row_BP.shape[1] * len(pin_row_N) + column,
        shape=(len(row_BP), len(pin_row_N)),
    )
