"""The gradient of a joint batch on every rank: dense ones summed, of tables the rows in use."""

import torch
from torch import Tensor, nn

from convcg_model.ranks import Ranks
from convcg_model.sharded_tables import sharded_tables
from convcg_model.towers import TwoTower

DENSE_ROWS = 2048
"""Tables of fewer rows are summed whole."""


def replicated(network: TwoTower) -> dict[str, nn.Parameter]:
    """The parameters that every rank has whole, by name."""
    sharded = sharded_tables(network)
    return {name: p for name, p in network.named_parameters() if name not in sharded}


def share_gradients(network: TwoTower, ranks: Ranks) -> None:
    """Add up the gradients of all ranks, on each of them, in the same order on each.

    Of a table of `DENSE_ROWS` rows or more a batch uses few: those with a gradient are sent. Rows
    of a sharded table have the sum already.
    """
    if ranks.is_alone:
        return
    tables = {
        id(module.weight)
        for module in network.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        and module.num_embeddings >= DENSE_ROWS
    }
    dense = []
    for parameter in replicated(network).values():
        if parameter.grad is None:
            continue
        if id(parameter) in tables:
            _share_rows(parameter.grad, ranks)
        else:
            dense.append(parameter.grad)
    flat = ranks.total(torch.cat([gradient.flatten() for gradient in dense]))
    for gradient, summed in zip(dense, flat.split([g.numel() for g in dense]), strict=True):
        gradient.copy_(summed.view_as(gradient))


def clip_gradients(network: TwoTower, ranks: Ranks, *, max_norm: float) -> None:
    """Scale the gradients of all ranks so that their joint norm is at most `max_norm`."""
    sharded = [table.weight.grad for table in sharded_tables(network).values()]
    if not sharded:
        torch.nn.utils.clip_grad_norm_(network.parameters(), max_norm)
        return
    of_shards = torch.nn.utils.get_total_norm([g for g in sharded if g is not None])
    whole = [p.grad for p in replicated(network).values() if p.grad is not None]
    squares = ranks.total(of_shards.square()) + torch.nn.utils.get_total_norm(whole).square()
    torch.nn.utils.clip_grads_with_norm_(network.parameters(), max_norm, squares.sqrt())


def _share_rows(gradient_RX: Tensor, ranks: Ranks) -> None:
    """Rows that any rank has a gradient of: what each has of them is sent, and put in place."""
    used = (gradient_RX != 0).any(dim=1).nonzero().squeeze(1)
    rows = ranks.union(used)
    gradient_RX[rows] = ranks.total(gradient_RX[rows])
