"""The two towers: DCN v2 and an MLP in parallel on the same input, and one linear head.

Shape suffixes: see `batches.py`.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from convcg_model.batches import PinBatch, UserBatch
from convcg_model.config import ModelConfig
from convcg_model.features import FeatureSpec
from convcg_model.history import HistoryPooling
from convcg_model.items import CodeEmbedding, ItemEncoder, embedding_table


class CrossNetwork(nn.Module):
    """Full-rank cross layers: x_{l+1} = x_0 * (W_l x_l + b_l) + x_l.

    Wang et al., DCN V2 (2021), https://arxiv.org/abs/2008.13535, equation 1.
    """

    def __init__(self, size: int, *, num_layers: int):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(num_layers))

    def forward(self, input_BX: Tensor) -> Tensor:
        """crossed_BX."""
        crossed_BX = input_BX
        for layer in self.layers:
            crossed_BX = input_BX * layer(crossed_BX) + crossed_BX
        return crossed_BX


class Tower(nn.Module):
    """input_BX to an L2-normalised embedding_BD.

    `parallel`: cross network and MLP both read the input, the head reads both outputs.
    `sequential`: the MLP reads the cross network's output, the head reads the MLP's.
    """

    def __init__(self, input_size: int, config: ModelConfig):
        super().__init__()
        self.parallel = config.tower == "parallel"
        self.cross = CrossNetwork(input_size, num_layers=config.cross_layers)
        layers = []
        for width, next_width in pairwise((input_size, *config.mlp_sizes)):
            layers += [nn.Linear(width, next_width), nn.ReLU(), nn.Dropout(config.dropout)]
        self.mlp = nn.Sequential(*layers)
        head_size = config.mlp_sizes[-1] + (input_size if self.parallel else 0)
        self.head = nn.Linear(head_size, config.embedding_dim)

    def forward(self, input_BX: Tensor) -> Tensor:
        """embedding_BD."""
        crossed_BX = self.cross(input_BX)
        if self.parallel:
            features = torch.cat([crossed_BX, self.mlp(input_BX)], dim=1)
        else:
            features = self.mlp(crossed_BX)
        return functional.normalize(self.head(features), dim=1)


class TwoTower(nn.Module):
    """User tower and Pin tower; the inner product of their embeddings is the score."""

    def __init__(self, spec: FeatureSpec, config: ModelConfig):
        super().__init__()
        self.items = ItemEncoder(spec, config)
        self.context = nn.ModuleDict(
            {
                name: CodeEmbedding(vocabulary, config.context_dim)
                for name, vocabulary in spec.context.items()
            }
        )
        self.has_subject = spec.has_subject
        self.query = self.history = None
        user_size = len(spec.context) * config.context_dim
        user_size += sum(feature.width for feature in spec.user_numeric)
        if spec.has_subject:
            user_size += self.items.size
        if spec.has_query:
            self.query = embedding_table(spec.query_buckets + 1, config.query_dim)
            user_size += config.query_dim
        if spec.actions:
            self.history = HistoryPooling(
                spec.actions, item_size=self.items.size, num_pools=config.history_pools
            )
            user_size += self.history.size
        if user_size == 0:
            raise ValueError(
                "training examples: no user-side column says anything; at least one of surface, "
                "query, subject_pin_id, user_recent_pin_ids or a user number must differ"
            )
        pin_size = self.items.size + sum(feature.width for feature in spec.pin_numeric)
        self.user_tower = Tower(user_size, config)
        self.pin_tower = Tower(pin_size, config)

    def embed_users(self, batch: UserBatch) -> Tensor:
        """user_BD, L2-normalised."""
        parts = [batch.numeric_BF]
        parts += [embed(batch.categorical[name]) for name, embed in self.context.items()]
        if self.query:
            parts.append(_mean_of_tokens(self.query(batch.token_BQ), batch.token_BQ > 0))
        if self.has_subject or self.history:
            item_MX = self.items(batch.items)
            if self.has_subject:
                parts.append(functional.embedding(batch.subject_B, item_MX))
            if self.history:
                parts.append(self.history(item_MX, batch.recent_BL, batch.action_BL, batch.age_BL))
        return self.user_tower(torch.cat(parts, dim=1))

    def embed_pins(self, batch: PinBatch) -> Tensor:
        """pin_ND, L2-normalised."""
        return self.pin_tower(torch.cat([self.items(batch.items), batch.numeric_NF], dim=1))


def _mean_of_tokens(token_BQX: Tensor, present_BQ: Tensor) -> Tensor:
    # Padding embeds to zero, so that the sum needs no mask.
    return token_BQX.sum(dim=1) / present_BQ.sum(dim=1, keepdim=True).clamp(min=1)
