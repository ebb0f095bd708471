"""The vector of a user's recent actions: weighted means over the Pins acted on, or a Transformer.

Both have the same small interface: `size`, and `forward` of items and actions. Shape suffixes: see
`batches.py`.
"""

import math

import torch
from torch import Tensor, nn

from convcg_model.config import ModelConfig
from convcg_model.vocabulary import Vocabulary


class HistoryPooling(nn.Module):
    """K means of the acted-on Pins, weighted by kind of action and recency.

    Pool k weighs an action of kind a, `age` days old, in proportion to
    exp(kind_score[a, k] - decay[k] * log(1 + age)): with decay 1 an action of yesterday counts
    about twice one of three days ago. The decays start spread from 0 to 2 and are learnt.
    """

    def __init__(self, actions: Vocabulary, *, item_size: int, num_pools: int):
        super().__init__()
        self.kind_score = nn.Embedding(actions.size, num_pools)
        self.decay_K = nn.Parameter(torch.linspace(0.0, 2.0, num_pools))
        nn.init.zeros_(self.kind_score.weight)
        self.size = num_pools * item_size + 1

    def forward(
        self, item_MX: Tensor, recent_BL: Tensor, action_BL: Tensor, age_BL: Tensor
    ) -> Tensor:
        """[B, K * X + 1]: the pools side by side, and the log of the number of actions."""
        present_BL = recent_BL > 0
        score_BLK = self.kind_score(action_BL) - self.decay_K * torch.log1p(
            age_BL.clamp(min=0)
        ).unsqueeze(-1)
        # A finite floor, not -inf: a row without any action must not become NaN.
        score_BLK = score_BLK.masked_fill(~present_BL.unsqueeze(-1), -1e4)
        share_BLK = torch.softmax(score_BLK, dim=1) * present_BL.unsqueeze(-1)
        recent_BLX = nn.functional.embedding(recent_BL, item_MX)
        pooled_BKX = share_BLK.transpose(1, 2) @ recent_BLX
        count_B1 = torch.log1p(present_BL.sum(dim=1, keepdim=True).to(item_MX.dtype))
        return torch.cat(
            [pooled_BKX.flatten(1), count_B1 / math.log(2 + recent_BL.shape[1])], dim=1
        )


class HistoryTransformer(nn.Module):
    """A Transformer encoder over the actions, read at a token of its own.

    An action's token is a linear map of its Pin's vector, its kind's embedding and the log of its
    age; attention does not see positions, since the age says the order. The surface of an action is
    not among a user's features.
    """

    def __init__(self, actions: Vocabulary, *, item_size: int, config: ModelConfig):
        super().__init__()
        self.size = config.transformer_dim
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

    def forward(
        self, item_MX: Tensor, recent_BL: Tensor, action_BL: Tensor, age_BL: Tensor
    ) -> Tensor:
        """[B, transformer_dim]."""
        recent_BLX = nn.functional.embedding(recent_BL, item_MX)
        age_BL1 = torch.log1p(age_BL.clamp(min=0)).unsqueeze(-1)
        token_BLX = self.item(torch.cat([recent_BLX, age_BL1], dim=-1)) + self.kind(action_BL)
        reading_B1X = self.reading_token.expand(len(recent_BL), 1, self.size)
        absent_BL = nn.functional.pad(recent_BL == 0, (1, 0), value=False)
        return self.encoder(
            torch.cat([reading_B1X, token_BLX], dim=1), src_key_padding_mask=absent_BL
        )[:, 0]


def history_encoder(
    actions: Vocabulary, *, item_size: int, config: ModelConfig
) -> HistoryPooling | HistoryTransformer:
    """What `history` of the config names."""
    if config.history == "transformer":
        return HistoryTransformer(actions, item_size=item_size, config=config)
    return HistoryPooling(actions, item_size=item_size, num_pools=config.history_pools)
