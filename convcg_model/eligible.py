"""Which of an index's Pins may be found, in the forms that searches need, each made once."""

from functools import cached_property

import numpy as np


class Eligible:
    """`mask` is bool [N]."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask

    @cached_property
    def num(self) -> int:
        """How many are eligible."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def rows(self) -> np.ndarray:
        """int64: places of those that are."""
        return np.flatnonzero(self.mask)

    @cached_property
    def others(self) -> np.ndarray:
        """int64: places of those that are not."""
        return np.flatnonzero(~self.mask)

    @cached_property
    def bits(self) -> np.ndarray:
        """uint8: a bit for each, as FAISS reads them."""
        return np.packbits(self.mask, bitorder="little")

    @property
    def share(self) -> float:
        """Share of all."""
        return self.num / max(1, len(self.mask))


def as_eligible(eligible: "np.ndarray | Eligible | None") -> Eligible | None:
    """The same, made of a mask where it is one."""
    if eligible is None or isinstance(eligible, Eligible):
        return eligible
    return Eligible(eligible)
