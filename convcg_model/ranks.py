"""The ranks (processes) that train one model together: who has which part, and what they exchange.

Each has the same weights. What one computes of its part of a batch the others get by `gather`, and
the gradient comes back to it. Shape suffixes: see `batches.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function


@dataclass(frozen=True)
class Ranks:
    """This process is `rank` of `size`. One alone exchanges nothing: what it gives it gets."""

    rank: int = 0
    size: int = 1

    @property
    def is_alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    def parts(self, length: int) -> list[np.ndarray]:
        """The positions of a list of `length` that each rank has: neighbours, in order.

        >>> [part.tolist() for part in Ranks(0, 2).parts(5)]
        [[0, 1], [2, 3, 4]]
        """
        bounds = [length * rank // self.size for rank in range(self.size + 1)]
        return [np.arange(*bounds[rank : rank + 2]) for rank in range(self.size)]

    def gather(self, own_RX: Tensor, places: list[np.ndarray]) -> Tensor:
        """The rows [N, ...] of all ranks, rank r's at `places[r]`; differentiable.

        The gradient of a rank's rows is the sum over what all ranks made of them.
        """
        if self.is_alone:
            return own_RX
        lengths = [len(place) for place in places]
        joint_NX = _Gather.apply(own_RX, lengths, self.rank)
        order = torch.from_numpy(np.argsort(np.concatenate(places)))
        return joint_NX[order.to(own_RX.device)]

    def union(self, values: Tensor) -> Tensor:
        """Which integers from 0 on any rank has, ascending."""
        if self.is_alone:
            return values.unique()
        length = torch.tensor([len(values)], device=values.device)
        lengths = _all_gather(length, self.size).tolist()
        padded = values.new_full((max(lengths),), -1)
        padded[: len(values)] = values
        found = _all_gather(padded, self.size).unique()
        return found[found >= 0]

    def total(self, value: Tensor) -> Tensor:
        """The sum over ranks, without gradient."""
        total = value.detach().clone()
        if not self.is_alone:
            dist.all_reduce(total)
        return total

    def of_first(self, values: np.ndarray | None, *, shape: tuple[int, ...]) -> np.ndarray:
        """Rank 0's float64 numbers; the others give None."""
        if self.is_alone:
            assert values is not None
            return values
        device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
        told = torch.zeros(shape, dtype=torch.float64, device=device)
        if values is not None:
            told.copy_(torch.from_numpy(values))
        dist.broadcast(told, 0)
        return told.cpu().numpy()

    def check_same(self, weights: Mapping[str, Tensor]) -> None:
        """RuntimeError where ranks have other weights: each would train a model of its own."""
        if self.is_alone:
            return
        sums = [values.detach().view(torch.int32).sum() for values in weights.values()]
        of_all = _all_gather(torch.stack(sums), self.size).view(self.size, -1)
        apart = (of_all != of_all[0]).any(dim=0).tolist()
        if any(apart):
            names = [n for n, is_apart in zip(weights, apart, strict=True) if is_apart]
            raise RuntimeError(
                f"the ranks have come apart: their weights differ in {', '.join(names)}. They must "
                "run the same release of torch on like processors"
            )


ALONE = Ranks()


class _Gather(Function):
    """Rows of ranks, of which each may have another number, one rank's after the other's."""

    @staticmethod
    def forward(ctx, own_RX: Tensor, lengths: list[int], rank: int) -> Tensor:
        ctx.lengths, ctx.rank = lengths, rank
        longest = max(lengths)
        padded = own_RX.new_zeros(longest, *own_RX.shape[1:])
        padded[: len(own_RX)] = own_RX
        parts = _all_gather(padded, len(lengths)).split(longest)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient_NX,) = gradients
        longest = max(ctx.lengths)
        padded = gradient_NX.new_zeros(len(ctx.lengths), longest, *gradient_NX.shape[1:])
        for part, own in zip(padded, gradient_NX.split(ctx.lengths), strict=True):
            part[: len(own)] = own
        summed = torch.empty_like(padded[0])
        dist.reduce_scatter_single(summed, padded.flatten(0, 1))
        return summed[: ctx.lengths[ctx.rank]], None, None


def _all_gather(own: Tensor, size: int) -> Tensor:
    gathered = own.new_empty(size * len(own), *own.shape[1:])
    dist.all_gather_single(gathered, own)
    return gathered
