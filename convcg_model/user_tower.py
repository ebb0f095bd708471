"""The user side of a trained model, beside a catalogue that is encoded once.

Who asks often (a server, a batch of candidates) keeps one; `TrainedModel` makes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import torch

from convcg_model.catalogue import FIRST_PIN, Catalogue
from convcg_model.config import ModelConfig
from convcg_model.encoding import EncodedUsers, encode_users, user_batch
from convcg_model.features import FeatureSpec
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

    def of_rows(self, rows: Sequence[int] | np.ndarray) -> "Repeats":
        """Those of some users (ascending), numbered anew in that order."""
        place = np.searchsorted(rows, self.row)
        there = np.array([*rows, -1])[place] == self.row
        return Repeats(place[there], self.pin_ids.filter(pa.array(there)), self.gain[there])


@dataclass(frozen=True)
class UserTower:
    """Network, feature spec, and the Pins that histories may name."""

    network: TwoTower
    spec: FeatureSpec
    config: ModelConfig
    catalogue: Catalogue

    def encode(self, users: pa.Table) -> EncodedUsers:
        """Of a table with the user columns of training examples, what the methods below read."""
        return encode_users(users, self.spec, self.catalogue)

    def embed(self, encoded: EncodedUsers) -> np.ndarray:
        """float32 [n, D]."""
        return self._pass_through(encoded, with_repeats=False)[0]

    def embed_with_repeats(self, encoded: EncodedUsers) -> tuple[np.ndarray, Repeats]:
        """float32 [n, D], and what the score of each user's own Pins gains; none without it."""
        return self._pass_through(encoded, with_repeats=True)

    def _pass_through(
        self, encoded: EncodedUsers, *, with_repeats: bool
    ) -> tuple[np.ndarray, Repeats]:
        if self.network.training:
            self.network.eval()
        num_rows = len(encoded.numeric)
        embeddings = np.zeros((num_rows, self.config.embedding_dim), dtype=np.float32)
        found = [np.zeros((0, 2), dtype=np.int64)]
        gains: list[np.ndarray] = [np.zeros(0)]
        with torch.inference_mode():
            for start, end in pairwise([*range(0, num_rows, ROWS_PER_PASS), num_rows]):
                batch = user_batch(encoded, self.catalogue, np.arange(start, end))
                batch = batch.to(self._device)
                embeddings[start:end] = self.network.embed_users(batch).cpu().numpy()
                gain_BP = self.network.repeat_gain(batch) if with_repeats else None
                if gain_BP is None:
                    continue
                pin_BP = mentioned_rows(batch).cpu().numpy() - FIRST_PIN
                gain = gain_BP.cpu().numpy() * self.config.temperature
                row, place = np.nonzero((gain != 0) & (pin_BP >= 0))
                found.append(np.stack([start + row, pin_BP[row, place]], axis=1))
                gains.append(gain[row, place])
        return embeddings, self._add_up(np.concatenate(found), np.concatenate(gains))

    def _add_up(self, pairs: np.ndarray, gains: np.ndarray) -> Repeats:
        """The subject may be a recent Pin too: its gains add up."""
        pairs, at = np.unique(pairs, axis=0, return_inverse=True)
        gain = np.bincount(at.ravel(), gains, minlength=len(pairs))
        return Repeats(
            row=pairs[:, 0],
            pin_ids=self.catalogue.pin_ids.take(pa.array(pairs[:, 1])),
            gain=gain.astype(np.float32),
        )

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device
