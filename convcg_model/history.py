"""The vector of a user's recent actions: weighted means over the Pins acted on, or a Transformer.

Both have the same small interface: `size`, the `scores` of `num_pools` means of the actions, and
`forward` of the actions and these means. Shape suffixes: see `batches.py`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convcg_model.batches import UserBatch
from convcg_model.config import ModelConfig
from convcg_model.features import FeatureSpec
from convcg_model.vocabulary import Vocabulary


@dataclass(frozen=True)
class Actions:
    """The recent actions of B users: the Pin's vector, the kind as one of A columns, the age."""

    item_BLX: Tensor
    present_BL: Tensor
    kind_BLA: Tensor
    age_BL: Tensor

    @property
    def log_age_BL(self) -> Tensor:
        """log(1 + age)."""
        return torch.log1p(self.age_BL.clamp(min=0))

    def means(self, score_BLK: Tensor) -> Tensor:
        """K means [B, K, X] of the Pins, weighted in proportion to exp(score); 0 of no action."""
        # A finite floor, not -inf: a row without any action must not become NaN.
        score_BLK = score_BLK.masked_fill(~self.present_BL.unsqueeze(-1), -1e4)
        share_BLK = torch.softmax(score_BLK, dim=1) * self.present_BL.unsqueeze(-1)
        return share_BLK.transpose(1, 2) @ self.item_BLX


def read_actions(batch: UserBatch, item_MX: Tensor, *, num_kinds: int) -> Actions:
    """The actions of a batch, whose items have these vectors."""
    return Actions(
        # Place 0 is no Pin, from which nothing is learnt.
        item_BLX=nn.functional.embedding(batch.recent_BL, item_MX, padding_idx=0),
        present_BL=batch.recent_BL > 0,
        kind_BLA=one_of_few(batch.action_BL, num_kinds),
        age_BL=batch.age_BL,
    )


def one_of_few(code: Tensor, num_codes: int) -> Tensor:
    """1 in the column of the code, else 0, [..., num_codes].

    Times a table it is the table's lookup; of few codes and many rows its gradient is far faster.
    """
    return (code.unsqueeze(-1) == torch.arange(num_codes, device=code.device)).float()


class HistoryPooling(nn.Module):
    """K means of the acted-on Pins, weighted by kind of action and recency.

    Pool k weighs an action of kind a, `age` days old, in proportion to
    exp(kind_score[a, k] - decay[k] * log(1 + age)): with decay 1 an action of yesterday counts
    about twice one of three days ago. The decays start spread from 0 to 2 and are learnt.
    """

    def __init__(self, actions: Vocabulary, *, item_size: int, num_pools: int, longest: int | None):
        super().__init__()
        self.kind_score = nn.Embedding(actions.size, num_pools)
        self.decay_K = nn.Parameter(torch.linspace(0.0, 2.0, num_pools))
        nn.init.zeros_(self.kind_score.weight)
        self.num_pools, self.size = num_pools, num_pools * item_size + 1
        self.longest = longest

    def scores(self, actions: Actions) -> Tensor:
        """score_BLK of the actions, by which the pools weigh them (`Actions.means`)."""
        kind_BLK = actions.kind_BLA @ self.kind_score.weight
        return kind_BLK - self.decay_K * actions.log_age_BL.unsqueeze(-1)

    def forward(self, actions: Actions, pooled_BKX: Tensor) -> Tensor:
        """[B, K * X + 1]: the pools side by side, and the log of the number of actions."""
        count_B1 = torch.log1p(actions.present_BL.sum(dim=1, keepdim=True).to(pooled_BKX.dtype))
        longest = self.longest or actions.present_BL.shape[1]
        return torch.cat([pooled_BKX.flatten(1), count_B1 / math.log(2 + longest)], dim=1)


class HistoryTransformer(nn.Module):
    """A Transformer encoder over the actions, read at a token of its own.

    An action's token is a linear map of its Pin's vector, its kind's embedding and the log of its
    age; attention does not see positions, since the age says the order. The surface of an action is
    not among a user's features.
    """

    def __init__(self, actions: Vocabulary, *, item_size: int, config: ModelConfig):
        super().__init__()
        self.num_pools, self.size = 0, config.transformer_dim
        self.item = nn.Linear(item_size + 1, self.size, bias=False)
        self.kind = nn.Embedding(actions.size, self.size)
        nn.init.normal_(self.kind.weight, std=0.1)
        self.reading_token = nn.Parameter(torch.zeros(self.size))
        layer = nn.TransformerEncoderLayer(
            self.size,
            config.transformer_heads,
            dim_feedforward=2 * self.size,
            dropout=config.dropout,
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(
            layer, config.transformer_layers, enable_nested_tensor=False
        )

    def scores(self, actions: Actions) -> Tensor:
        """No pools: score_BLK with K 0."""
        return actions.age_BL.new_zeros(*actions.age_BL.shape, 0)

    def forward(self, actions: Actions, pooled_BKX: Tensor) -> Tensor:
        """[B, transformer_dim]."""
        item_BLX = torch.cat([actions.item_BLX, actions.log_age_BL.unsqueeze(-1)], dim=-1)
        token_BLX = self.item(item_BLX) + actions.kind_BLA @ self.kind.weight
        reading_B1X = self.reading_token.expand(len(token_BLX), 1, self.size)
        absent_BL = nn.functional.pad(~actions.present_BL, (1, 0), value=False)
        return self.encoder(
            torch.cat([reading_B1X, token_BLX], dim=1), src_key_padding_mask=absent_BL
        )[:, 0]


def history_encoder(
    spec: FeatureSpec, *, item_size: int, config: ModelConfig
) -> HistoryPooling | HistoryTransformer:
    """What `history` of the config names."""
    assert spec.actions is not None
    if config.history == "transformer":
        return HistoryTransformer(spec.actions, item_size=item_size, config=config)
    return HistoryPooling(
        spec.actions,
        item_size=item_size,
        num_pools=config.history_pools,
        longest=spec.longest_history,
    )
