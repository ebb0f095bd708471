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
from convcg_model.history import one_of_few

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
            kind_BLA = one_of_few(batch.action_BL, self.kind.num_embeddings)
            age_slope, place_slope, times_slope = STRIDE * self.slopes
            gain_BL = (batch.times_BL > 0) * (
                STRIDE * (kind_BLA @ self.kind.weight).squeeze(-1)
                - age_slope * torch.log1p(batch.age_BL.clamp(min=0))
                - place_slope * torch.log1p(place_L)
                + times_slope * torch.log(batch.times_BL.clamp(min=1))
            )
        if self.subject is not None:
            gain_B1 = STRIDE * self.subject * (batch.subject_B.unsqueeze(1) > 0)
        return torch.cat([gain_BL, gain_B1], dim=1)


def mentioned_places(batch: UserBatch) -> Tensor:
    """Places [B, P] among the items of each user's recent Pins and, last, the subject Pin."""
    return torch.cat([batch.recent_BL, batch.subject_B.unsqueeze(1)], dim=1)


def mentioned_rows(batch: UserBatch) -> Tensor:
    """Catalogue rows [B, P] of the same; 0: none."""
    return batch.item_row_M[mentioned_places(batch)]


@dataclass(frozen=True)
class Mentions:
    """Where the Pins that users mention stand among N Pins: user `row` mentions Pin `column`, at
    the place `source` of [B, P], flattened.
    """

    source: Tensor
    row: Tensor
    column: Tensor
    shape: tuple[int, int]

    def spread(self, gain_BP: Tensor) -> Tensor:
        """gain_BN: of each Pin the sum of its gains, 0 for those that a user does not mention."""
        num_rows, num_pins = self.shape
        gain_BN = torch.zeros(num_rows * num_pins, device=gain_BP.device)
        cell = self.row * num_pins + self.column
        return gain_BN.scatter_add(0, cell, gain_BP.flatten()[self.source]).reshape(self.shape)


def find_mentions(batch: UserBatch, *, pin_row_N: Tensor) -> Mentions:
    """The mentions of N Pins, given by catalogue row; the same Pin may stand there more than once.

    A join by sorting: few of a user's Pins are in a batch, so a matrix of all would be wasteful.
    """
    place_BP = mentioned_places(batch)
    sorted_N, order_N = torch.sort(pin_row_N, stable=True)
    first_M = torch.searchsorted(sorted_N, batch.item_row_M)
    count_M = torch.searchsorted(sorted_N, batch.item_row_M, right=True) - first_M
    count_M = count_M * (batch.item_row_M > 0)
    place = place_BP.flatten()
    count = count_M[place]
    source = torch.repeat_interleave(count)
    within = torch.arange(len(source), device=source.device) - (count.cumsum(0) - count)[source]
    return Mentions(
        source=source,
        row=source // place_BP.shape[1],
        column=order_N[first_M[place[source]] + within],
        shape=(len(place_BP), len(pin_row_N)),
    )
