"""The gradient of a joint batch on every rank: dense ones summed, of tables the rows in use alone."""

import torch
from torch import Tensor, nn

from convcg_model.ranks import Ranks
from convcg_model.towers import TwoTower

DENSE_ROWS = 2048
"""Tables of fewer rows are summed whole."""


def share_gradients(network: TwoTower, ranks: Ranks) -> None:
    """Add up the gradients of all ranks, on each of them, in the same order on each.

    Of a table of `DENSE_ROWS` rows or more a batch uses few: those with a gradient are sent.
    """
    if ranks.is_alone:
        return
    is_table = {
        id(module.weight)
        for module in network.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        and module.num_embeddings >= DENSE_ROWS
    }
    dense = []
    for parameter in network.parameters():
        if parameter.grad is None:
            continue
        if id(parameter) in is_table:
            _share_rows(parameter.grad, ranks)
        else:
            dense.append(parameter.grad)
    flat = ranks.total(torch.cat([gradient.flatten() for gradient in dense]))
    for gradient, summed in zip(dense, flat.split([g.numel() for g in dense]), strict=True):
        gradient.copy_(summed.view_as(gradient))


def _share_rows(gradient_RX: Tensor, ranks: Ranks) -> None:
    """Rows that any rank has a gradient of: what each has of them is sent, and put in place."""
    used = (gradient_RX != 0).any(dim=1).nonzero().squeeze(1)
    rows = ranks.union(used)
    gradient_RX[rows] = ranks.total(gradient_RX[rows])
