"""A trained model: towers with all that they need to embed plain tables of users and Pins."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from convcg_model.arrow_columns import id_kind, table_column
from convcg_model.catalogue import FIRST_PIN, Catalogue, encode_catalogue, static_pins
from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.encoding import encode_pins, encode_users, pin_batch, user_batch
from convcg_model.features import FeatureSpec
from convcg_model.formats import FORMAT, version_json
from convcg_model.repeat_score import mentioned_rows
from convcg_model.towers import TwoTower

ROWS_PER_PASS = 4096


@dataclass(frozen=True)
class Repeats:
    """What is added to the inner product of user `row[i]` and Pin `pin_ids[i]`: `gain[i]`.

    Sorted by row; a pair that is not listed gains nothing.
    """

    row: np.ndarray
    pin_ids: pa.Array
    gain: np.ndarray


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
        known = self._static_catalogue if catalogue is None else self._catalogue_with(catalogue)
        encoded = encode_users(users, self.spec, known)
        return self._embed(
            users.num_rows,
            lambda rows: self.network.embed_users(
                user_batch(encoded, known, rows).to(self._device)
            ),
        )

    def embed_pins(self, pins: pa.Table) -> np.ndarray:
        """float32 [n, D] of a table of Pin features, in its order."""
        static = self._static_of(pins)
        known = encode_catalogue(static, self.spec, role="pins")
        encoded = encode_pins(pins, self.spec, known)
        return self._embed(
            pins.num_rows,
            lambda rows: self.network.embed_pins(pin_batch(encoded, known, rows).to(self._device)),
        )

    def repeats(self, users: pa.Table, *, catalogue: pa.Table | None = None) -> Repeats:
        """What the score of each user's recent Pins and subject Pin gains; none without it."""
        known = self._static_catalogue if catalogue is None else self._catalogue_with(catalogue)
        encoded = encode_users(users, self.spec, known)
        found = [np.zeros((0, 2), dtype=np.int64)]
        gains: list[np.ndarray] = [np.zeros(0)]
        self.network.eval()
        with torch.inference_mode():
            for start in range(0, users.num_rows, ROWS_PER_PASS):
                rows = np.arange(start, min(start + ROWS_PER_PASS, users.num_rows))
                batch = user_batch(encoded, known, rows).to(self._device)
                gain_BP = self.network.repeat_gain(batch)
                if gain_BP is None:
                    continue
                pin_BP = mentioned_rows(batch).cpu().numpy() - FIRST_PIN
                gain = gain_BP.cpu().numpy() * self.config.temperature
                row, place = np.nonzero((gain != 0) & (pin_BP >= 0))
                found.append(np.stack([start + row, pin_BP[row, place]], axis=1))
                gains.append(gain[row, place])
        # The subject may be a recent Pin too: its gains add up.
        pairs, at = np.unique(np.concatenate(found), axis=0, return_inverse=True)
        gain = np.bincount(at.ravel(), np.concatenate(gains), minlength=len(pairs))
        return Repeats(
            row=pairs[:, 0],
            pin_ids=known.pin_ids.take(pa.array(pairs[:, 1])),
            gain=gain.astype(np.float32),
        )

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

    def _embed(self, num_rows: int, embed_rows: Callable[[np.ndarray], torch.Tensor]) -> np.ndarray:
        self.network.eval()
        embeddings = np.zeros((num_rows, self.config.embedding_dim), dtype=np.float32)
        cuts = [*range(0, num_rows, ROWS_PER_PASS), num_rows]
        with torch.inference_mode():
            for start, end in pairwise(cuts):
                rows = np.arange(start, end)
                embeddings[start:end] = embed_rows(rows).cpu().numpy()
        return embeddings
