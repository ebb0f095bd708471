"""The two towers: DCN v2 and an MLP on the same input, and the heads that they end in.

Shape suffixes: see `batches.py`.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from convcg_model.batches import Among, PinBatch, UserBatch
from convcg_model.config import ModelConfig
from convcg_model.features import FeatureSpec
from convcg_model.history import history_encoder, read_actions
from convcg_model.item_space import ItemSpace
from convcg_model.items import CodeEmbedding, ItemEncoder, embedding_table
from convcg_model.repeat_score import RepeatScore
from convcg_model.vocabulary import FIRST_KNOWN


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
    """input_BX to output_BD of `size` numbers, before normalisation.

    `parallel`: cross network and MLP both read the input, the head reads both outputs.
    `sequential`: the MLP reads the cross network's output, the head reads the MLP's.
    `dcn`, `mlp`: the head reads the one there is.
    """

    def __init__(self, input_size: int, config: ModelConfig, *, size: int):
        super().__init__()
        self.cross = self.mlp = None
        head_size = 0
        if config.tower != "mlp":
            self.cross = CrossNetwork(input_size, num_layers=config.cross_layers)
        if config.tower != "dcn":
            layers = []
            for width, next_width in pairwise((input_size, *config.mlp_sizes)):
                layers += [nn.Linear(width, next_width), nn.ReLU(), nn.Dropout(config.dropout)]
            self.mlp = nn.Sequential(*layers)
            head_size = config.mlp_sizes[-1]
        if config.tower in ("parallel", "dcn"):
            head_size += input_size
        self.is_sequential = config.tower == "sequential"
        self.head = nn.Linear(head_size, size)

    def features(self, input_BX: Tensor, *, among: Among | None = None) -> Tensor:
        """What a head reads."""
        if self.mlp is None or self.cross is None:
            return self._read(input_BX, among) if self.cross is None else self.cross(input_BX)
        crossed_BX = self.cross(input_BX)
        if self.is_sequential:
            return self._read(crossed_BX, among)
        return torch.cat([crossed_BX, self._read(input_BX, among)], dim=1)

    def _read(self, input_BX: Tensor, among: Among | None) -> Tensor:
        """The MLP; what it drops of rows that ranks share is drawn for the rows of all."""
        assert self.mlp is not None
        if among is None or not self.training:
            return self.mlp(input_BX)
        for layer in self.mlp:
            if isinstance(layer, nn.Dropout) and layer.p > 0:
                kept = layer(input_BX.new_ones(among.num, input_BX.shape[1]))
                input_BX = input_BX * kept[among.place]
            else:
                input_BX = layer(input_BX)
        return input_BX

    def forward(self, input_BX: Tensor) -> Tensor:
        """output_BD."""
        return self.head(self.features(input_BX))


class TwoTower(nn.Module):
    """User tower and Pin tower; the score is the inner product of their embeddings, and the gain
    of a repeat (`repeat_score.py`) over it.

    Embeddings are L2-normalised, but for a last number with `pin_prior`: the user's is 1, the Pin's
    its prior, in units of the score.
    """

    def __init__(self, spec: FeatureSpec, config: ModelConfig):
        super().__init__()
        self.temperature = config.temperature
        self.items = ItemEncoder(spec, config)
        self.context = nn.ModuleDict(
            {
                name: CodeEmbedding(vocabulary, config.context_dim)
                for name, vocabulary in spec.context.items()
            }
        )
        self.has_subject = spec.has_subject
        self.num_action_kinds = spec.actions.size if spec.actions else 0
        self.query = self.history = self.space = self.repeats = None
        self.direction_scale = config.resolved_direction_scale
        user_size = len(spec.context) * config.context_dim
        user_size += sum(feature.width for feature in spec.user_numeric)
        if spec.has_subject:
            user_size += self.items.size
        if spec.has_query:
            self.query = embedding_table(spec.query_buckets + 1, config.query_dim)
            user_size += config.query_dim
        if spec.actions and config.history != "none":
            self.history = history_encoder(spec, item_size=self.items.size, config=config)
            user_size += self.history.size
        if user_size == 0:
            raise ValueError(
                "training examples: no user-side column says anything; at least one of surface, "
                "query, subject_pin_id, user_recent_pin_ids or a user number must differ"
            )
        pin_size = self.items.size + sum(feature.width for feature in spec.pin_numeric)
        num_pin_numbers = pin_size - self.items.size
        has_prior = config.pin_prior and num_pin_numbers > 0
        size = config.embedding_dim - 1 if has_prior else config.embedding_dim
        self.user_tower = Tower(user_size, config, size=size)
        self.pin_tower = Tower(pin_size, config, size=size)
        self.engagement_head = None
        if config.head == "multi":
            self.engagement_head = nn.ModuleDict(
                {
                    side: nn.Linear(tower.head.in_features, size)
                    for side, tower in (("user", self.user_tower), ("pin", self.pin_tower))
                }
            )
        # Modules that a release added come last, so that the first weights drawn stay the same.
        if config.item_space:
            self.space = ItemSpace(spec, item_size=self.items.size, size=size)
        self.has_advertiser_loss = bool(spec.advertisers) and config.advertiser_loss != "off"
        self.advertiser_map = None
        if config.advertiser_loss == "embedding" and spec.advertisers:
            self.advertiser_map = nn.Linear(config.advertiser_dim, size)
        self.prior = None
        if has_prior:
            self.prior = nn.Linear(num_pin_numbers, 1, bias=False)
            nn.init.zeros_(self.prior.weight)
        if config.repeat_score and (spec.actions or spec.has_subject):
            self.repeats = RepeatScore(spec)

    def embed_users(self, batch: UserBatch, *, task: str = "conversion") -> Tensor:
        """user_BD; with one head the same for both tasks."""
        item_MX = self.items(batch.items)
        subject_BX = functional.embedding(batch.subject_B, item_MX) if self.has_subject else None
        pooled_BX, mean_BX = self._read_actions(batch, item_MX)
        parts = [batch.numeric_BF]
        parts += [embed(batch.categorical[name]) for name, embed in self.context.items()]
        if self.query:
            parts.append(_mean_of_tokens(self.query(batch.token_BQ), batch.token_BQ > 0))
        if subject_BX is not None:
            parts.append(subject_BX)
        if pooled_BX is not None:
            parts.append(pooled_BX)
        features = self.user_tower.features(torch.cat(parts, dim=1), among=batch.among)
        user_BD = self._head("user", features, task=task)
        if self.space:
            point_BD = self.space.of_users(subject_BX=subject_BX, mean_BX=mean_BX)
            user_BD = user_BD if point_BD is None else user_BD + point_BD
        user_BD = self.direction_scale * functional.normalize(user_BD, dim=1)
        return functional.pad(user_BD, (0, 1), value=1.0) if self.prior else user_BD

    @property
    def has_more_than_directions(self) -> bool:
        """Whether a score has parts beside the inner product of directions."""
        return self.prior is not None or self.repeats is not None

    def score_parts(self, user_BD: Tensor, pin_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Directions [B, N] and prior [N] of the inner products, in units of the softmax."""
        if self.prior is None:
            return user_BD @ pin_ND.T / self.temperature, pin_ND.new_zeros(len(pin_ND))
        direction_BN = user_BD[:, :-1] @ pin_ND[:, :-1].T
        return direction_BN / self.temperature, pin_ND[:, -1] / self.temperature

    def embed_pins(self, batch: PinBatch, *, task: str = "conversion") -> Tensor:
        """pin_ND."""
        item_NX = self.items(batch.items)
        input_NX = torch.cat([item_NX, batch.numeric_NF], dim=1)
        features = self.pin_tower.features(input_NX, among=batch.items.among)
        pin_ND = self._head("pin", features, task=task)
        if self.space:
            pin_ND = pin_ND + self.space.of_pins(item_NX)
        pin_ND = functional.normalize(pin_ND, dim=1)
        if self.prior is None:
            return pin_ND
        return torch.cat([pin_ND, self.temperature * self.prior(batch.numeric_NF)], dim=1)

    def embed_advertisers(self) -> Tensor:
        """advertiser_KD of the known advertisers, for the advertiser loss alone; no prior."""
        assert self.advertiser_map is not None
        assert self.items.advertiser is not None
        known = self.items.advertiser.table.weight[FIRST_KNOWN:]
        advertiser_KD = functional.normalize(self.advertiser_map(known), dim=1)
        return functional.pad(advertiser_KD, (0, 1)) if self.prior else advertiser_KD

    def repeat_gain(self, batch: UserBatch) -> Tensor | None:
        """gain_BP, in logits, of `repeat_score.mentioned_rows`; None without a repeat score."""
        return self.repeats(batch) if self.repeats else None

    def _read_actions(
        self, batch: UserBatch, item_MX: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """What the history says to the tower [B, X'], and its mean Pin [B, X] for the item space.

        All means at once: to gather the actions' Pins costs more than to add them up.
        """
        readers = [part for part in (self.history, self.space) if part]
        if not self.num_action_kinds or not readers:
            return None, None
        actions = read_actions(batch, item_MX, num_kinds=self.num_action_kinds)
        mean_BKX = actions.means(torch.cat([part.scores(actions) for part in readers], dim=2))
        pooled_BX = mean_BX = None
        if self.history:
            pooled_BX = self.history(actions, mean_BKX[:, : self.history.num_pools])
        if self.space:
            mean_BX = mean_BKX[:, -1]
        return pooled_BX, mean_BX

    def _head(self, side: str, features: Tensor, *, task: str) -> Tensor:
        if self.engagement_head is not None and task == "engagement":
            return self.engagement_head[side](features)
        return (self.user_tower if side == "user" else self.pin_tower).head(features)


def _mean_of_tokens(token_BQX: Tensor, present_BQ: Tensor) -> Tensor:
    # Padding embeds to zero, so that the sum needs no mask.
    return token_BQX.sum(dim=1) / present_BQ.sum(dim=1, keepdim=True).clamp(min=1)
