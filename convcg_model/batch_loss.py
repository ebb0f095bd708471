"""The loss of one batch: which rows, columns and masks go into the softmax of `losses.py`.

Shape suffixes: see `batches.py`, and A for the positives of all ranks, of which B are this one's.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from convcg_model.batches import Among, PinBatch, UserBatch
from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.encoding import pin_batch, user_batch
from convcg_model.losses import (
    Shared,
    SoftmaxLoss,
    multi_positive_softmax,
    weighted_sampled_softmax,
)
from convcg_model.ranks import ALONE, Ranks
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
    ranks: Ranks = ALONE,
) -> SoftmaxLoss:
    """Loss of the positives `rows` and of the hard negatives drawn for them.

    Of several ranks each embeds its part of the users, Pins and hard negatives, and has its users'
    rows of the loss, whose columns are the Pins of all: B is this rank's rows, N everybody's. The
    losses add up to the batch's, and so do the gradients.
    """
    assert training.hard_negatives_per_batch != "auto"
    device = next(network.parameters()).device

    def to_device(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(device)

    # Rows and columns; in-batch and hard negative Pins go through the tower together
    num_rows = len(rows)
    own = ranks.parts(num_rows)[ranks.rank]
    all_examples = data.positive[rows]
    all_rows, rows, examples = rows, rows[own], all_examples[own]
    user = data.user[examples]
    own_only = training.hard_negative_scope == "user"
    drawn = data.pool.draw(
        data.user[all_examples],
        training.hard_negatives_per_batch,
        fill=not own_only,
        seed=training.seed,
        step=step,
    )
    negatives = data.negative[drawn]
    columns = np.concatenate([all_examples, negatives])
    places = [
        np.concatenate([of_rows, num_rows + of_negatives])
        for of_rows, of_negatives in zip(
            ranks.parts(num_rows), ranks.parts(len(negatives)), strict=True
        )
    ]
    embedded = places[ranks.rank]
    users = user_batch(data.users, data.catalogue, examples).to(device)
    pins = pin_batch(data.pins, data.catalogue, columns[embedded]).to(device)
    if not ranks.is_alone:
        users = _among_users(users, ranks, Among(num_rows, to_device(own)))
        pins = _among_pins(pins, Among(len(columns), to_device(embedded)))
    pin_row_N = to_device(data.pins.row[columns].astype(np.int64))
    shared = Shared(first=int(own[0]), num_rows=num_rows)

    # Masks: a user's other positives are no negatives; but what he acted on before and passes over
    # now is one, where it is in the batch by chance: it teaches what a repeat is worth
    excluded_BN = to_device(data.pairs.hits(user, data.pins.row[columns]))
    in_batch_BA, hard_BH = excluded_BN[:, :num_rows], excluded_BN[:, num_rows:]
    if own_only:
        hard_BH |= to_device(user[:, None] != data.user[negatives])
    gain_BP, gain_BN = network.repeat_gain(users), None
    if gain_BP is not None:
        mentions = find_mentions(users, pin_row_N=pin_row_N)
        gain_BN = mentions.spread(gain_BP)
        pin_row_A = pin_row_N[:num_rows]
        is_in_batch = mentions.column < num_rows
        in_batch_BA[mentions.row[is_in_batch], mentions.column[is_in_batch]] = False
        in_batch_BA |= pin_row_A[to_device(own)][:, None] == pin_row_A

    # Weights and sampling correction
    task, weight_B = data.task[rows], to_device(data.weight[rows])
    log_expected_count_A = None
    if training.logq_correction:
        log_expected_count = np.log(num_rows * data.probability[all_rows])
        log_expected_count_A = to_device(log_expected_count.astype(np.float32))

    # One softmax for both tasks, or one for each over the embeddings of its head
    losses, extra = [], torch.zeros((), device=device)
    for name in TASKS if config.head == "multi" else ("conversion",):
        of_task_B = weight_B
        if config.head == "multi":
            of_task_B = weight_B * to_device(task == TASKS.index(name))
        with torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bf16"):
            user_BD = network.embed_users(users, task=name).float()
            pin_ND = network.embed_pins(pins, task=name).float()
        pin_ND = ranks.gather(pin_ND, places)
        losses.append(
            weighted_sampled_softmax(
                user_BD,
                pin_ND=pin_ND,
                weight_B=of_task_B,
                temperature=config.temperature,
                log_expected_count_B=log_expected_count_A,
                excluded_BN=excluded_BN,
                gain_BN=gain_BN,
                shared=shared,
            )
        )
        if name == "conversion" and (
            network.advertiser_map or config.advertiser_loss == "in_batch"
        ):
            advertiser_A = data.catalogue.advertiser[data.pins.row[all_examples]]
            extra = training.advertiser_loss_weight * _advertiser_loss(
                network,
                user_BD,
                pin_AD=pin_ND[:num_rows],
                advertiser_A=to_device(advertiser_A.astype(np.int64)),
                weight_B=weight_B * to_device(task == CONVERSION),
                log_expected_count_A=log_expected_count_A,
                config=config,
                shared=shared,
            )
    row_loss_B = losses[0].row_loss_B
    for index, other in enumerate(losses[1:], 1):
        row_loss_B = torch.where(to_device(task == index), other.row_loss_B, row_loss_B)
    return SoftmaxLoss(loss=sum((part.loss for part in losses), extra), row_loss_B=row_loss_B)


def _among_users(users: UserBatch, ranks: Ranks, among: Among) -> UserBatch:
    """The same, knowing their places among all; so do the Pins that they mention."""
    mentioned = ranks.union(users.item_row_M)
    place = torch.searchsorted(mentioned, users.item_row_M)
    items = replace(users.items, among=Among(len(mentioned), place))
    return replace(users, items=items, among=among)


def _among_pins(pins: PinBatch, among: Among) -> PinBatch:
    return replace(pins, items=replace(pins.items, among=among))


def _advertiser_loss(
    network: TwoTower,
    user_BD: Tensor,
    *,
    pin_AD: Tensor,
    advertiser_A: Tensor,
    weight_B: Tensor,
    log_expected_count_A: Tensor | None,
    config: ModelConfig,
    shared: Shared,
) -> Tensor:
    """Of the conversions on a known advertiser's Pin: that it was one of that advertiser's."""
    advertiser_B = advertiser_A[shared.first : shared.first + len(user_BD)]
    known_B = advertiser_B >= FIRST_KNOWN
    weight_B = weight_B * known_B
    if config.advertiser_loss == "in_batch":
        return multi_positive_softmax(
            user_BD,
            pin_ND=pin_AD,
            positive_BN=(advertiser_B[:, None] == advertiser_A) & known_B[:, None],
            weight_B=weight_B,
            temperature=config.temperature,
            log_expected_count_N=log_expected_count_A,
            shared=shared,
        )
    advertiser_KD = network.embed_advertisers()
    code_K = torch.arange(len(advertiser_KD), device=advertiser_B.device) + FIRST_KNOWN
    return multi_positive_softmax(
        user_BD,
        pin_ND=advertiser_KD,
        positive_BN=advertiser_B[:, None] == code_K,
        weight_B=weight_B,
        temperature=config.temperature,
        shared=shared,
    )
