"""The served bundle: a FAISS index over Pin embeddings, its Pin ids, and the model that made them.

Search is by inner product, as in training. Index and user tower carry one model version, and a
bundle in which they do not agree is refused.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from convcg_model.arrow_columns import table_column
from convcg_model.atomic_folder import atomic_folder, check_files, file_checksums
from convcg_model.checkpoint import load_checkpoint, read_description, save_checkpoint
from convcg_model.config import IndexConfig
from convcg_model.trained_model import Repeats, TrainedModel

FORMAT = 1
DESCRIPTION, INDEX, PINS, EMBEDDINGS = "index.json", "index.faiss", "pins.parquet", "embeddings.npy"
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class IndexBundle:
    """N Pins that can be searched. `pin_ids[i]` has the embedding `embeddings[i]`."""

    index: faiss.Index
    factory: str
    config: IndexConfig
    pin_ids: pa.Array
    embeddings: np.ndarray
    model: TrainedModel

    @property
    def model_version(self) -> str:
        """The version of the model that made the embeddings, and whose user tower is inside."""
        return self.model.model_version

    def search(
        self, user_embeddings: np.ndarray, k: int, *, repeats: Repeats | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best Pins of each user: (pin_ids [n, k], scores float32 [n, k]), best first.

        `repeats` (`TrainedModel.repeats` of the same users) is added to the scores of the users'
        own recent Pins, wherever the index has them: the score that the model was trained and is
        evaluated with.

        With fewer than k Pins there are as many columns as Pins. Where an approximate index finds
        fewer, the rest of a row has the id None (the whole array is of objects) and score -inf.
        """
        if repeats is None:
            places, scores = self.search_places(user_embeddings, k)
        else:
            places, scores = self._search_with(repeats, user_embeddings, k)
        ids = np.asarray(self.pin_ids.to_numpy(zero_copy_only=False))
        found = ids[np.maximum(places, 0)]
        if (places < 0).any():
            found = found.astype(object)
            found[places < 0] = None
        return found, scores

    def retrieve(
        self, users: pa.Table, k: int, *, catalogue: pa.Table | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best Pins of each user of a table with the user columns of training examples.

        `search` with the users' embeddings and repeats; `catalogue` makes Pins of their histories
        known that are newer than the model.
        """
        return self.search(
            self.model.embed_users(users, catalogue=catalogue),
            k,
            repeats=self.model.repeats(users, catalogue=catalogue),
        )

    def search_places(self, user_embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `search`, but places in `pin_ids` (int64, -1: none) instead of ids."""
        if k < 1:
            raise ValueError(f"k is {k}; it must be at least 1")
        queries = np.ascontiguousarray(user_embeddings, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.index.d:
            raise ValueError(
                f"user embeddings have shape {queries.shape}; (n, {self.index.d}) is expected"
            )
        k = min(k, len(self.pin_ids))
        scores, places = self.index.search(queries, k)
        return places, np.where(places < 0, -np.inf, scores).astype(np.float32)

    def _search_with(
        self, repeats: Repeats, user_embeddings: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `search_places`, with the repeats' gains.

        A Pin that gains nothing keeps its order among the others, so the best k are among the
        best `k + longest` by inner product and the row's own Pins, which are scored exactly.
        """
        place = pc.fill_null(pc.index_in(repeats.pin_ids, value_set=self.pin_ids), -1).to_numpy()
        row, place, gain = (part[place >= 0] for part in (repeats.row, place, repeats.gain))
        lengths = np.bincount(row, minlength=len(user_embeddings))
        longest = int(lengths.max(initial=0))
        column = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        own = np.full((len(user_embeddings), longest), -1, dtype=np.int64)
        own_scores = np.full(own.shape, -np.inf, dtype=np.float32)
        own[row, column] = place
        own_scores[row, column] = gain + np.einsum(
            "nd,nd->n", user_embeddings[row], self.embeddings[place]
        )
        found, scores = self.search_places(user_embeddings, k + longest)
        is_own = (found[:, :, None] == own[:, None, :]).any(axis=2) if longest else found < -1
        places = np.concatenate([own, found], axis=1)
        scores = np.concatenate([own_scores, np.where(is_own, -np.inf, scores)], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : min(k, len(self.pin_ids))]
        scores = np.take_along_axis(scores, best, axis=1).astype(np.float32)
        places = np.take_along_axis(places, best, axis=1)
        return np.where(np.isinf(scores), -1, places), scores

    def save(self, path: Path, *, provenance: dict[str, Any] | None = None) -> None:
        """Write the bundle with its checkpoint as one folder, atomically."""
        with atomic_folder(path) as folder:
            faiss.write_index(self.index, str(folder / INDEX))
            pq.write_table(pa.table({"pin_id": self.pin_ids}), folder / PINS)
            np.save(folder / EMBEDDINGS, self.embeddings)
            save_checkpoint(self.model, folder / CHECKPOINT, provenance=provenance)
            description = {
                "format": FORMAT,
                "model_version": self.model_version,
                "factory": self.factory,
                "config": self.config.model_dump(mode="json"),
                "num_pins": len(self.pin_ids),
                "checksums": file_checksums(folder, [INDEX, PINS, EMBEDDINGS]),
            }
            (folder / DESCRIPTION).write_text(json.dumps(description, indent=1))


def build_index(
    model: TrainedModel, pin_features: pa.Table, *, config: IndexConfig | None = None
) -> IndexBundle:
    """Bundle over the Pins of one day's table of Pin features."""
    config = config or IndexConfig()
    pin_ids = table_column(pin_features, "pin_id", role="pins")
    if len(pin_ids) == 0 or pin_ids.null_count or len(pin_ids.unique()) != len(pin_ids):
        raise ValueError(
            f"pins: {len(pin_ids)} rows with {len(pin_ids.unique())} distinct ids, "
            f"{pin_ids.null_count} null; one row for each of at least one Pin is expected"
        )
    embeddings = model.embed_pins(pin_features)
    factory = _factory(config, num_pins=len(pin_ids))
    index = faiss.index_factory(embeddings.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    if isinstance(index, faiss.IndexHNSW):
        index.hnsw.efConstruction = config.ef_construction
    _set_search_breadth(index, config)
    index.train(embeddings)
    index.add(embeddings)
    return IndexBundle(
        index=index,
        factory=factory,
        config=config,
        pin_ids=pin_ids,
        embeddings=embeddings,
        model=model,
    )


def load_bundle(path: Path, *, checkpoint: Path | None = None) -> IndexBundle:
    """The bundle of a folder, its user tower from within or, if given, from `checkpoint`.

    ValueError where a file is missing, damaged or was changed, or where the checkpoint is not the
    model that made the index.
    """
    if not (path / DESCRIPTION).is_file():
        raise ValueError(f"{path}: no {DESCRIPTION}; an index bundle is a folder that has one")
    description = json.loads((path / DESCRIPTION).read_text())
    if description.get("format") != FORMAT:
        raise ValueError(
            f"{path / DESCRIPTION}: format is {description.get('format')!r}, but this release "
            f"reads {FORMAT}"
        )
    source = checkpoint or path / CHECKPOINT
    made_by, offered = description["model_version"], read_description(source)["model_version"]
    if offered != made_by:
        raise ValueError(
            f"{path}: the index was built by model {made_by[:12]}..., but {source} holds model "
            f"{offered[:12]}...; rebuild the index with this model or load the model that built it"
        )
    check_files(path, description["checksums"])
    config = IndexConfig.model_validate(description["config"])
    index = faiss.read_index(str(path / INDEX))
    _set_search_breadth(index, config)
    return IndexBundle(
        index=index,
        factory=description["factory"],
        config=config,
        pin_ids=table_column(pq.read_table(path / PINS), "pin_id", role=PINS),
        embeddings=np.load(path / EMBEDDINGS),
        model=load_checkpoint(source),
    )


def measure_recall(bundle: IndexBundle, user_embeddings: np.ndarray, k: int) -> float:
    """Share of the k Pins of highest inner product that the index returns, mean over users.

    Ties at the k-th score count as found.
    """
    exact = faiss.IndexFlatIP(bundle.index.d)
    exact.add(bundle.embeddings)
    k = min(k, len(bundle.pin_ids))
    queries = np.ascontiguousarray(user_embeddings, dtype=np.float32)
    exact_scores, _ = exact.search(queries, k)
    places, _ = bundle.search_places(queries, k)
    scores = np.einsum("nd,nkd->nk", queries, bundle.embeddings[np.maximum(places, 0)])
    # The two sums are added up in another order, hence the tolerance.
    found = (scores >= exact_scores[:, -1:] - 1e-5) & (places >= 0)
    return float(found.mean())


def _factory(config: IndexConfig, *, num_pins: int) -> str:
    if config.factory != "auto":
        return config.factory
    return "Flat" if num_pins < config.exact_below else "HNSW32"


def _set_search_breadth(index: faiss.Index, config: IndexConfig) -> None:
    if isinstance(index, faiss.IndexHNSW):
        # FAISS itself takes k where k is larger.
        index.hnsw.efSearch = config.ef_search
    if isinstance(index, faiss.IndexIVF):
        index.nprobe = min(config.num_probes, index.nlist)
