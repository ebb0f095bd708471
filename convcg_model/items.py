"""The vector of a Pin's static features, shared by the Pin tower, the history and the subject Pin.

Shape suffixes: see `batches.py`.
"""

import torch
from torch import Tensor, nn

from convcg_model.batches import Among, ItemBatch
from convcg_model.config import ModelConfig
from convcg_model.features import FeatureSpec
from convcg_model.vocabulary import FIRST_KNOWN, MISSING, UNKNOWN, Vocabulary

EMBEDDING_STD = 0.1


class CodeEmbedding(nn.Module):
    """Embedding of a vocabulary's codes; a missing value is the zero vector.

    In training a share of the known codes is hidden as unknown ones, so that the unknown code
    stands for what a new id has in common with the others. With `hash_buckets` the embeddings of
    an unknown id's two buckets are added to that of the unknown code.
    """

    def __init__(
        self, vocabulary: Vocabulary, dim: int, *, hidden_share: float = 0.0, hash_buckets: int = 0
    ):
        super().__init__()
        self.hidden_share = hidden_share
        self.table = embedding_table(vocabulary.size, dim)
        self.hashed = None
        if hash_buckets:
            # Zero at first: a bucket that training never met says nothing of the ids in it.
            self.hashed = nn.EmbeddingBag(hash_buckets + 1, dim, mode="sum", padding_idx=MISSING)
            nn.init.zeros_(self.hashed.weight)

    def forward(
        self, codes: Tensor, hashes: Tensor | None = None, *, among: Among | None = None
    ) -> Tensor:
        """Codes of any shape to their embeddings [..., dim]; of a vector [M] also hash buckets and
        which they are `among` those of all ranks.
        """
        if self.training and self.hidden_share > 0:
            shape = codes.shape if among is None else (among.num,)
            drawn = torch.rand(shape, device=codes.device)
            hidden = (drawn if among is None else drawn[among.place]) < self.hidden_share
            codes = torch.where(hidden & (codes >= FIRST_KNOWN), UNKNOWN, codes)
            if hashes is not None:
                hashes = hashes * ~hidden.unsqueeze(-1)
        if self.hashed is not None and hashes is not None:
            return self.table(codes) + self.hashed(hashes)
        return self.table(codes)


class ItemEncoder(nn.Module):
    """Static features of M Pins to item_MX."""

    def __init__(self, spec: FeatureSpec, config: ModelConfig):
        super().__init__()
        hidden_share = config.resolved_id_dropout
        self.pin = CodeEmbedding(
            spec.pins,
            config.pin_id_dim,
            hidden_share=hidden_share,
            hash_buckets=spec.pin_hash_buckets,
        )
        self.advertiser = self.category = self.content = None
        self.size = config.pin_id_dim + sum(feature.width for feature in spec.item_numeric)
        if spec.advertisers:
            self.advertiser = CodeEmbedding(
                spec.advertisers, config.advertiser_dim, hidden_share=hidden_share
            )
            self.size += config.advertiser_dim
        if spec.categories:
            self.category = CodeEmbedding(spec.categories, config.category_dim)
            self.size += config.category_dim
        if spec.content_size:
            self.content = nn.Linear(spec.content_size + 1, config.content_dim, bias=False)
            self.size += config.content_dim

    def forward(self, items: ItemBatch) -> Tensor:
        """item_MX; zero for `catalogue.NO_PIN`."""
        parts = [self.pin(items.pin_M, items.hash_M2, among=items.among), items.numeric_MF]
        if self.advertiser:
            parts.append(self.advertiser(items.advertiser_M, among=items.among))
        if self.category:
            parts.append(self.category(items.category_M))
        if self.content:
            parts.append(self.content(items.content_MC))
        return torch.cat(parts, dim=1)


def embedding_table(num_codes: int, dim: int) -> nn.Embedding:
    """Small random embeddings; the missing code's is zero and stays so."""
    table = nn.Embedding(num_codes, dim, padding_idx=MISSING)
    nn.init.normal_(table.weight, std=EMBEDDING_STD)
    with torch.no_grad():
        table.weight[MISSING].zero_()
    return table
