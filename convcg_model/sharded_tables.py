"""Embedding tables whose rows are divided over ranks: each keeps, and updates, every R-th row.

A rank asks the owners for the rows that its part of a batch uses, and sends their gradients back.
Which Pins are frequent has nothing to do with their number modulo R. Shape suffixes: see
`batches.py`, and U for the distinct rows that this rank asks for.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from convcg_model.config import ModelConfig
from convcg_model.features import FeatureSpec
from convcg_model.ranks import Ranks
from convcg_model.towers import TwoTower


class ShardedTable(nn.Module):
    """This rank's rows of an embedding table of `num_rows`, looked up as the whole one is.

    Of an embedding bag the rows of the last axis are summed.
    """

    def __init__(self, table: nn.Embedding | nn.EmbeddingBag, ranks: Ranks):
        super().__init__()
        self.num_rows, self.ranks = table.num_embeddings, ranks
        self.padding = table.padding_idx
        self.is_sum = isinstance(table, nn.EmbeddingBag)
        self.weight = nn.Parameter(own_rows(table.weight.detach(), ranks))

    def forward(self, codes: Tensor) -> Tensor:
        """Embeddings [..., X] of codes of any shape; of a bag without the last axis."""
        code_U, place = codes.unique(return_inverse=True)
        row_UX = _Fetch.apply(self.weight, code_U, self.padding, self.ranks)
        found = functional.embedding(place, row_UX)
        return found.sum(dim=-2) if self.is_sum else found


def shard_tables(network: TwoTower, ranks: Ranks, *, min_rows: int) -> None:
    """Keep only this rank's rows of the tables of Pins and query words that have so many."""
    if ranks.is_alone:
        return
    places = [(network.items.pin, "table"), (network.items.pin, "hashed"), (network, "query")]
    for module, name in places:
        table = getattr(module, name)
        if table is not None and table.num_embeddings >= min_rows:
            setattr(module, name, ShardedTable(table, ranks))


def sharded_tables(network: nn.Module) -> dict[str, ShardedTable]:
    """The sharded tables, by the names of their weights."""
    modules = network.named_modules()
    return {f"{name}.weight": part for name, part in modules if isinstance(part, ShardedTable)}


def whole_weights(network: TwoTower, weights: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The network's weights, or others of it, without shards; all ranks ask for it at once."""
    tables = sharded_tables(network)
    weights = network.state_dict() if weights is None else weights
    return {
        name: whole_rows(value, tables[name]) if name in tables else value
        for name, value in weights.items()
    }


def whole_network(network: TwoTower, spec: FeatureSpec, config: ModelConfig) -> TwoTower:
    """The network without shards; itself where it has none. All ranks ask for it at once."""
    if not sharded_tables(network):
        return network
    whole = TwoTower(spec, config).to(next(network.parameters()).device)
    whole.load_state_dict(whole_weights(network))
    whole.direction_scale = network.direction_scale
    return whole


def part_weights(weights: dict[str, Tensor], network: TwoTower) -> dict[str, Tensor]:
    """This rank's part of whole weights."""
    tables = sharded_tables(network)
    return {
        name: own_rows(value, tables[name].ranks) if name in tables else value
        for name, value in weights.items()
    }


def whole_moments(
    state: dict[str, Any], optimizer: torch.optim.Optimizer, network: TwoTower
) -> dict[str, Any]:
    """The optimiser's state dict as if nothing were sharded; all ranks ask for it at once."""
    return _convert(state, optimizer, sharded_tables(network).values(), whole_rows)


def part_moments(
    state: dict[str, Any], optimizer: torch.optim.Optimizer, network: TwoTower
) -> dict[str, Any]:
    """This rank's part of such a state dict."""
    tables = sharded_tables(network).values()
    return _convert(state, optimizer, tables, lambda rows, table: own_rows(rows, table.ranks))


def own_rows(whole: Tensor, ranks: Ranks) -> Tensor:
    """A copy of this rank's rows."""
    return whole[ranks.rank :: ranks.size].clone()


def whole_rows(own: Tensor, table: ShardedTable) -> Tensor:
    """The rows of all ranks, in order."""
    size = table.ranks.size
    longest = -(-table.num_rows // size)
    padded = own.new_zeros(longest, *own.shape[1:])
    padded[: len(own)] = own
    gathered = own.new_empty(size * longest, *own.shape[1:])
    dist.all_gather_single(gathered, padded)
    return gathered.unflatten(0, (size, longest)).transpose(0, 1).flatten(0, 1)[: table.num_rows]


def _convert(
    state: dict[str, Any],
    optimizer: torch.optim.Optimizer,
    tables: Iterable[ShardedTable],
    convert: Callable[[Tensor, ShardedTable], Tensor],
) -> dict[str, Any]:
    """A state dict in which the moments of the tables' rows are converted."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    by_id = {id(table.weight): table for table in tables}
    moments = dict(state["state"])
    for place, of_one in moments.items():
        table = by_id.get(id(parameters[place]))
        if table is not None:
            # A number, such as how many steps there were, is no row's.
            moments[place] = {n: convert(v, table) if v.ndim else v for n, v in of_one.items()}
    return {**state, "state": moments}


class _Fetch(Function):
    """row_UX of distinct codes, each from the rank that has it."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, code_U: Tensor, padding: int | None, ranks: Ranks
    ) -> Tensor:
        owner_U = code_U % ranks.size
        ctx.order_U = torch.argsort(owner_U, stable=True)
        asked = torch.bincount(owner_U, minlength=ranks.size)
        answered = torch.empty_like(asked)
        dist.all_to_all_single(answered, asked)
        ctx.asked, ctx.answered = asked.tolist(), answered.tolist()
        wanted = _exchange(code_U[ctx.order_U], ctx.asked, ctx.answered)
        ctx.own_row = wanted // ranks.size
        ctx.is_padding_U = None if padding is None else code_U == padding
        ctx.num_own = len(weight)
        found_UX = _exchange(weight[ctx.own_row], ctx.answered, ctx.asked)
        row_UX = torch.empty_like(found_UX)
        row_UX[ctx.order_U] = found_UX
        return row_UX

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient_UX,) = gradients
        if ctx.is_padding_U is not None:
            gradient_UX = gradient_UX.masked_fill(ctx.is_padding_U.unsqueeze(1), 0.0)
        received = _exchange(gradient_UX[ctx.order_U], ctx.asked, ctx.answered)
        summed = received.new_zeros(ctx.num_own, received.shape[1])
        return summed.index_add_(0, ctx.own_row, received), None, None, None


def _exchange(values: Tensor, sent: list[int], received: list[int]) -> Tensor:
    """So many values to each rank for so many of each."""
    found = values.new_empty(sum(received), *values.shape[1:])
    dist.all_to_all_single(found, values.contiguous(), received, sent)
    return found
