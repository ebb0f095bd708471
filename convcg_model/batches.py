"""The tensors of one batch, as the towers take them.

Shape suffixes, here and in every file of this package:
B users (positives) of a batch, N Pins, H hard negatives, M distinct Pins mentioned (items),
L recent actions, Q query tokens, F numeric features, C content, K history pools,
D embedding, X input of a tower.
"""

from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor


class _OnDevice:
    """A dataclass of tensors, dicts of tensors, more of the kind and numbers, that can be moved."""

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        moved = {}
        for part, value in vars(self).items():
            if isinstance(value, dict):
                moved[part] = {name: tensor.to(device) for name, tensor in value.items()}
            elif isinstance(value, Tensor | _OnDevice):
                moved[part] = value.to(device)
            else:
                moved[part] = value
        return type(self)(**moved)


@dataclass(frozen=True)
class Among(_OnDevice):
    """Rows of a batch that several ranks share: the places that this rank's have among all `num`.

    What is drawn by chance for each row is drawn for all, so that it is the same on any number of
    ranks.
    """

    num: int
    place: Tensor


@dataclass(frozen=True)
class ItemBatch(_OnDevice):
    """Static features of M Pins: codes, numbers, and content with a column of its presence.

    `hash_M2` are the two hash buckets of an id without a code of its own, 0 for the others.
    """

    pin_M: Tensor
    hash_M2: Tensor
    category_M: Tensor
    advertiser_M: Tensor
    numeric_MF: Tensor
    content_MC: Tensor
    among: Among | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class PinBatch(_OnDevice):
    """Pin side of N Pins."""

    items: ItemBatch
    numeric_NF: Tensor


@dataclass(frozen=True)
class UserBatch(_OnDevice):
    """User side of B rows; `subject_B` and `recent_BL` point into `items`, 0 where nothing is.

    `item_row_M` are the items' rows in the catalogue, ascending, `catalogue.NO_PIN` the first.
    `times_BL` says, at the newest action on a Pin, how many of the recent actions were on it; it is
    0 at the others.
    """

    items: ItemBatch
    item_row_M: Tensor
    categorical: dict[str, Tensor]
    numeric_BF: Tensor
    subject_B: Tensor
    token_BQ: Tensor
    recent_BL: Tensor
    action_BL: Tensor
    age_BL: Tensor
    times_BL: Tensor
    among: Among | None = field(default=None, kw_only=True)
