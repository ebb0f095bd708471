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


@dataclass(frozen=True)
class Shared:
    """Rows `first` and after of a batch of `num_rows`, the others being another rank's."""

    first: int
    num_rows: int


def weighted_sampled_softmax(
    user_BD: Tensor,
    *,
    pin_ND: Tensor,
    weight_B: Tensor,
    temperature: float,
    log_expected_count_B: Tensor | None = None,
    excluded_BN: Tensor | None = None,
    gain_BN: Tensor | None = None,
    shared: Shared | None = None,
) -> SoftmaxLoss:
    """Loss of B positives, row i's positive being Pin i; Pins B and after are hard negatives.

    Cross-entropy of row i over the N columns, times `weight_B`, summed and divided by B: a batch
    with less weight moves the model less.

    `log_expected_count_B` is the log of how often a batch is expected to hold column j's Pin
    (B times its sampling probability); subtracted from the in-batch columns, it makes their sum
    an estimate of the sum over all Pins, beside which each hard negative counts once. Bengio &
    Senecal (2008); Yi et al., Sampling-Bias-Corrected Neural Modeling (2019), section 3.
    `excluded_BN` is true for columns that are no negatives of a row; its own positive always stays.
    `gain_BN` is added to the logits: what a repeat gains (`repeat_score.py`).
    With `shared` the rows are some of a batch: B of all that is said above is the batch's but that
    of user, weight and excluded. The losses of its parts add up to the batch's.
    """
    num_rows = len(user_BD)
    shared = shared or Shared(first=0, num_rows=num_rows)
    num_hard = len(pin_ND) - shared.num_rows

    # What is added to the scores: the sampling correction, and minus infinity where excluded
    bias_BN = user_BD.new_zeros(1, len(pin_ND))
    if log_expected_count_B is not None:
        bias_BN = -functional.pad(log_expected_count_B, (0, num_hard)).unsqueeze(0)
    if excluded_BN is not None:
        own_B = bias_BN.expand(num_rows, -1).diagonal(shared.first)
        bias_BN = torch.where(excluded_BN, -torch.inf, bias_BN)
        bias_BN.diagonal(shared.first).copy_(own_B)

    # Scores
    logits_BN = torch.addmm(bias_BN, user_BD / temperature, pin_ND.T)
    if gain_BN is not None:
        logits_BN = logits_BN + gain_BN

    # Loss
    own_column_B = torch.arange(num_rows, device=user_BD.device) + shared.first
    row_loss_B = functional.cross_entropy(logits_BN, own_column_B, reduction="none")
    loss = (weight_B * row_loss_B).sum() / shared.num_rows
    return SoftmaxLoss(loss=loss, row_loss_B=row_loss_B)


def multi_positive_softmax(
    user_BD: Tensor,
    *,
    pin_ND: Tensor,
    positive_BN: Tensor,
    weight_B: Tensor,
    temperature: float,
    log_expected_count_N: Tensor | None = None,
    shared: Shared | None = None,
) -> Tensor:
    """Minus log of the share of the softmax that a row's positive columns have together.

    Times `weight_B`, summed and divided by B; a row without a positive column counts nothing. With
    the Pins of the converted advertiser as positives it is the advertiser-level loss: whichever of
    its Pins. `shared` as above.
    """
    # Scores
    logits_BN = user_BD @ pin_ND.T / temperature
    if log_expected_count_N is not None:
        logits_BN = logits_BN - log_expected_count_N

    # Loss; a finite floor keeps the gradient of rows without a positive from becoming NaN
    of_positives_B = torch.logsumexp(logits_BN.masked_fill(~positive_BN, -1e4), dim=1)
    row_loss_B = torch.logsumexp(logits_BN, dim=1) - of_positives_B
    counted_B = weight_B * positive_BN.any(dim=1)
    num_rows = shared.num_rows if shared else len(user_BD)
    return (counted_B * row_loss_B).sum() / num_rows
