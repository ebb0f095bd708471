"""Weighted sampled softmax over in-batch Pins and hard negatives, one linear page.

What is in a batch, and which of its columns are accidental hits, is decided elsewhere
(`sampling.py`, `positives.py`). Shape suffixes: see `batches.py`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class SoftmaxLoss:
    """`loss` is what is minimised; `row_loss_B` is each positive's cross-entropy, unweighted."""

    loss: Tensor
    row_loss_B: Tensor


def weighted_sampled_softmax(
    user_BD: Tensor,
    *,
    pin_BD: Tensor,
    hard_negative_HD: Tensor | None = None,
    weight_B: Tensor,
    temperature: float,
    log_expected_count_B: Tensor | None = None,
    accidental_hit_BB: Tensor | None = None,
    excluded_BH: Tensor | None = None,
) -> SoftmaxLoss:
    """Loss of B positives, row i's positive being Pin i.

    Cross-entropy of row i over the columns (in-batch Pins, hard negatives), times `weight_B`,
    summed and divided by B: a batch with less weight moves the model less.

    `log_expected_count_B` is the log of how often a batch is expected to hold column j's Pin
    (B times its sampling probability); subtracted from the in-batch columns, it makes their sum
    an estimate of the sum over all Pins, beside which each hard negative counts once. Bengio &
    Senecal (2008); Yi et al., Sampling-Bias-Corrected Neural Modeling (2019), section 3.
    `accidental_hit_BB` and `excluded_BH` are true for columns that are no negatives of a row.
    """
    # Scores
    logits_BB = user_BD @ pin_BD.T / temperature

    # Sampling correction, of in-batch columns only
    if log_expected_count_B is not None:
        logits_BB = logits_BB - log_expected_count_B

    # Accidental hits: other positives of the row's user; never the row's own positive
    if accidental_hit_BB is not None:
        own_BB = torch.eye(len(user_BD), dtype=torch.bool, device=user_BD.device)
        logits_BB = logits_BB.masked_fill(accidental_hit_BB & ~own_BB, -torch.inf)

    # Hard negatives, as further columns
    logits_BN = logits_BB
    if hard_negative_HD is not None:
        logits_BH = user_BD @ hard_negative_HD.T / temperature
        if excluded_BH is not None:
            logits_BH = logits_BH.masked_fill(excluded_BH, -torch.inf)
        logits_BN = torch.cat([logits_BB, logits_BH], dim=1)

    # Loss
    own_column_B = torch.arange(len(user_BD), device=user_BD.device)
    row_loss_B = functional.cross_entropy(logits_BN, own_column_B, reduction="none")
    loss = (weight_B * row_loss_B).sum() / len(user_BD)
    return SoftmaxLoss(loss=loss, row_loss_B=row_loss_B)
