"""The loss of one batch: which rows, columns and masks go into the softmax of `losses.py`.

Shape suffixes: see `batches.py`.
"""

import numpy as np
import torch
from torch import Tensor

from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.encoding import pin_batch, user_batch
from convcg_model.losses import SoftmaxLoss, multi_positive_softmax, weighted_sampled_softmax
from convcg_model.repeat_score import find_mentions
from convcg_model.towers import TwoTower
from convcg_model.training_set import TASKS, TrainingSet
from convcg_model.vocabulary import FIRST_KNOWN

CONVERSION = TASKS.index("conversion")


def batch_loss(
    network: TwoTower,
    data: TrainingSet,
    rows: np.ndarray,
    *,
    step: int,
    config: ModelConfig,
    training: TrainingConfig,
) -> SoftmaxLoss:
    """Loss of the positives `rows` and of the hard negatives drawn for them."""
    assert training.hard_negatives_per_batch != "auto"
    device = next(network.parameters()).device

    def to_device(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(device)

    # Rows and columns; in-batch and hard negative Pins go through the tower together
    examples = data.positive[rows]
    user = data.user[examples]
    own_only = training.hard_negative_scope == "user"
    drawn = data.pool.draw(
        user, training.hard_negatives_per_batch, fill=not own_only, seed=training.seed, step=step
    )
    negatives = data.negative[drawn]
    users = user_batch(data.users, data.catalogue, examples).to(device)
    columns = np.concatenate([examples, negatives])
    pins = pin_batch(data.pins, data.catalogue, columns).to(device)
    pin_row_N = to_device(data.pins.row[columns].astype(np.int64))

    # Masks: a user's other positives are no negatives; but what he acted on before and passes over
    # now is one, where it is in the batch by chance: it teaches what a repeat is worth
    excluded_BN = to_device(data.pairs.hits(user, data.pins.row[columns]))
    in_batch_BB, hard_BH = excluded_BN[:, : len(rows)], excluded_BN[:, len(rows) :]
    if own_only:
        hard_BH |= to_device(user[:, None] != data.user[negatives])
    gain_BP, gain_BN = network.repeat_gain(users), None
    if gain_BP is not None:
        mentions = find_mentions(users, pin_row_N=pin_row_N)
        gain_BN = mentions.spread(gain_BP)
        pin_row_B = pin_row_N[: len(rows)]
        is_in_batch = mentions.column < len(rows)
        in_batch_BB[mentions.row[is_in_batch], mentions.column[is_in_batch]] = False
        in_batch_BB |= pin_row_B[:, None] == pin_row_B

    # Weights and sampling correction
    task, weight_B = data.task[rows], to_device(data.weight[rows])
    log_expected_count_B = None
    if training.logq_correction:
        log_expected_count = np.log(len(rows) * data.probability[rows])
        log_expected_count_B = to_device(log_expected_count.astype(np.float32))

    # One softmax for both tasks, or one for each over the embeddings of its head
    losses, extra = [], torch.zeros((), device=device)
    for name in TASKS if config.head == "multi" else ("conversion",):
        of_task_B = weight_B
        if config.head == "multi":
            of_task_B = weight_B * to_device(task == TASKS.index(name))
        user_BD = network.embed_users(users, task=name)
        pin_ND = network.embed_pins(pins, task=name)
        losses.append(
            weighted_sampled_softmax(
                user_BD,
                pin_ND=pin_ND,
                weight_B=of_task_B,
                temperature=config.temperature,
                log_expected_count_B=log_expected_count_B,
                excluded_BN=excluded_BN,
                gain_BN=gain_BN,
            )
        )
        if name == "conversion" and (
            network.advertiser_map or config.advertiser_loss == "in_batch"
        ):
            extra = training.advertiser_loss_weight * _advertiser_loss(
                network,
                user_BD,
                pin_BD=pin_ND[: len(rows)],
                advertiser_B=pins.items.advertiser_M[: len(rows)],
                weight_B=weight_B * to_device(task == CONVERSION),
                log_expected_count_B=log_expected_count_B,
                config=config,
            )
    row_loss_B = losses[0].row_loss_B
    for index, other in enumerate(losses[1:], 1):
        row_loss_B = torch.where(to_device(task == index), other.row_loss_B, row_loss_B)
    return SoftmaxLoss(loss=sum((part.loss for part in losses), extra), row_loss_B=row_loss_B)


def _advertiser_loss(
    network: TwoTower,
    user_BD: Tensor,
    *,
    pin_BD: Tensor,
    advertiser_B: Tensor,
    weight_B: Tensor,
    log_expected_count_B: Tensor | None,
    config: ModelConfig,
) -> Tensor:
    """Of the conversions on a known advertiser's Pin: that it was one of that advertiser's."""
    known_B = advertiser_B >= FIRST_KNOWN
    weight_B = weight_B * known_B
    if config.advertiser_loss == "in_batch":
        return multi_positive_softmax(
            user_BD,
            pin_ND=pin_BD,
            positive_BN=(advertiser_B[:, None] == advertiser_B) & known_B[:, None],
            weight_B=weight_B,
            temperature=config.temperature,
            log_expected_count_N=log_expected_count_B,
        )
    advertiser_KD = network.embed_advertisers()
    code_K = torch.arange(len(advertiser_KD), device=advertiser_B.device) + FIRST_KNOWN
    return multi_positive_softmax(
        user_BD,
        pin_ND=advertiser_KD,
        positive_BN=advertiser_B[:, None] == code_K,
        weight_B=weight_B,
        temperature=config.temperature,
    )
