"""A trained model: towers with all that they need to embed plain tables of users and Pins."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from convcg_model.arrow_columns import id_kind, table_column
from convcg_model.catalogue import Catalogue, encode_catalogue, static_pins
from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.encoding import encode_pins, pin_batch
from convcg_model.features import FeatureSpec
from convcg_model.formats import FORMAT, version_json
from convcg_model.towers import TwoTower
from convcg_model.user_tower import ROWS_PER_PASS, Repeats, UserTower


@dataclass(frozen=True)
class TrainedModel:
    """Weights, feature spec and the static Pin table that histories are read with.

    `static` has one row per Pin that training knew (`catalogue.static_pins`), `course` says how
    the training went; what a model scores does not depend on it.
    """

    network: TwoTower
    spec: FeatureSpec
    config: ModelConfig
    training: TrainingConfig
    static: pa.Table
    course: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def embed_users(self, users: pa.Table, *, catalogue: pa.Table | None = None) -> np.ndarray:
        """float32 [n, D] of a table with the user-side columns of training examples.

        `catalogue`, a table of Pin features, makes Pins known that are newer than the model.
        """
        tower = self.user_tower(catalogue=catalogue)
        return tower.embed(tower.encode(users))

    def embed_pins(self, pins: pa.Table) -> np.ndarray:
        """float32 [n, D] of a table of Pin features, in its order."""
        static = self._static_of(pins)
        known = encode_catalogue(static, self.spec, role="pins")
        encoded = encode_pins(pins, self.spec, known)
        self.network.eval()
        embeddings = np.zeros((pins.num_rows, self.config.embedding_dim), dtype=np.float32)
        with torch.inference_mode():
            for start, end in pairwise([*range(0, pins.num_rows, ROWS_PER_PASS), pins.num_rows]):
                batch = pin_batch(encoded, known, np.arange(start, end)).to(self._device)
                embeddings[start:end] = self.network.embed_pins(batch).cpu().numpy()
        return embeddings

    def repeats(self, users: pa.Table, *, catalogue: pa.Table | None = None) -> Repeats:
        """What the score of each user's recent Pins and subject Pin gains; none without it."""
        tower = self.user_tower(catalogue=catalogue)
        return tower.embed_with_repeats(tower.encode(users))[1]

    def user_tower(self, *, catalogue: pa.Table | None = None) -> UserTower:
        """The user side beside a catalogue; both methods above make one at each call."""
        known = self._static_catalogue if catalogue is None else self._catalogue_with(catalogue)
        return UserTower(self.network, self.spec, self.config, known)

    @cached_property
    def model_version(self) -> str:
        """SHA-256 over weights, configs, feature spec and static Pins: what embeddings depend on.

        Training configs are in it; where and when it was trained is not.
        """
        digest = hashlib.sha256()
        for part in (self.config, self.training, self.spec):
            digest.update(version_json(part, format_number=self.format).encode() + b"\n")
        for name, tensor in sorted(self.network.state_dict().items()):
            array = tensor.detach().cpu().contiguous().numpy()
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
            digest.update(array.tobytes())
        known = self._static_catalogue
        for array in (known.pin, known.category, known.advertiser, known.numeric, known.content):
            digest.update(array.tobytes())
        if self.spec.pin_hash_buckets:
            digest.update(known.hashes.tobytes())
        for pin_id in known.pin_ids.to_pylist():
            digest.update(f"{pin_id}\n".encode())
        return digest.hexdigest()

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    @cached_property
    def _static_catalogue(self) -> Catalogue:
        return encode_catalogue(self.static, self.spec, role="catalogue")

    def _catalogue_with(self, pins: pa.Table) -> Catalogue:
        return encode_catalogue(self._static_of(pins, self.static), self.spec, role="catalogue")

    def _static_of(self, *tables: pa.Table) -> pa.Table:
        return static_pins(
            *tables,
            pin_id_kind=id_kind(table_column(self.static, "pin_id", role="catalogue")),
            advertiser_id_kind=id_kind(
                table_column(self.static, "advertiser_id", role="catalogue")
            ),
        )
