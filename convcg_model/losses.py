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
    gain_BB: Tensor | None = None,
    gain_BH: Tensor | None = None,
) -> SoftmaxLoss:
    """Loss of B positives, row i's positive being Pin i.

    Cross-entropy of row i over the columns (in-batch Pins, hard negatives), times `weight_B`,
    summed and divided by B: a batch with less weight moves the model less.

    `log_expected_count_B` is the log of how often a batch is expected to hold column j's Pin
    (B times its sampling probability); subtracted from the in-batch columns, it makes their sum
    an estimate of the sum over all Pins, beside which each hard negative counts once. Bengio &
    Senecal (2008); Yi et al., Sampling-Bias-Corrected Neural Modeling (2019), section 3.
    `accidental_hit_BB` and `excluded_BH` are true for columns that are no negatives of a row.
    `gain_BB` and `gain_BH` are added to the logits: what a repeat gains (`repeat_score.py`).
    """
    # Scores
    logits_BB = user_BD @ pin_BD.T / temperature
    if gain_BB is not None:
        logits_BB = logits_BB + gain_BB

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
        if gain_BH is not None:
            logits_BH = logits_BH + gain_BH
        if excluded_BH is not None:
            logits_BH = logits_BH.masked_fill(excluded_BH, -torch.inf)
        logits_BN = torch.cat([logits_BB, logits_BH], dim=1)

    # Loss
    own_column_B = torch.arange(len(user_BD), device=user_BD.device)
    row_loss_B = functional.cross_entropy(logits_BN, own_column_B, reduction="none")
    loss = (weight_B * row_loss_B).sum() / len(user_BD)
    return SoftmaxLoss(loss=loss, row_loss_B=row_loss_B)


def multi_positive_softmax(
    user_BD: Tensor,
    *,
    pin_ND: Tensor,
    positive_BN: Tensor,
    weight_B: Tensor,
    temperature: float,
    log_expected_count_N: Tensor | None = None,
) -> Tensor:
    """Minus log of the share of the softmax that a row's positive columns have together.

    Times `weight_B`, summed and divided by B; a row without a positive column counts nothing. With
    the Pins of the converted advertiser as positives it is the advertiser-level loss: whichever of
    its Pins.
    """
    # Scores
    logits_BN = user_BD @ pin_ND.T / temperature
    if log_expected_count_N is not None:
        logits_BN = logits_BN - log_expected_count_N

    # Loss; a finite floor keeps the gradient of rows without a positive from becoming NaN
    of_positives_B = torch.logsumexp(logits_BN.masked_fill(~positive_BN, -1e4), dim=1)
    row_loss_B = torch.logsumexp(logits_BN, dim=1) - of_positives_B
    counted_B = weight_B * positive_BN.any(dim=1)
    return (counted_B * row_loss_B).sum() / len(user_BD)
