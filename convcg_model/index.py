"""The served bundle: a FAISS index over Pin embeddings, its Pin ids, and the model that made them.

Search is by inner product, as in training. Index and user tower carry one model version, and a
bundle in which they do not agree is refused.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from convcg_model.arrow_columns import as_array, table_column
from convcg_model.atomic_folder import atomic_folder, check_files, file_checksums
from convcg_model.checkpoint import load_checkpoint, read_description, save_checkpoint
from convcg_model.config import IndexConfig
from convcg_model.eligible import Eligible, as_eligible
from convcg_model.exact_search import search_exactly
from convcg_model.id_lookup import IdLookup
from convcg_model.index_search import Breadth, breadth_of, search_index
from convcg_model.index_tuning import make_index, recall_of
from convcg_model.trained_model import TrainedModel
from convcg_model.user_tower import Repeats

FORMAT = 2
"""1: without the breadth of the search, and of Pins the ids alone."""
FORMATS = (1, FORMAT)
DESCRIPTION, INDEX, PINS, EMBEDDINGS = "index.json", "index.faiss", "pins.parquet", "embeddings.npy"
CHECKPOINT = "checkpoint"
SHOWN = ("pin_id", "advertiser_id", "category", "price", "title")
"""Of a Pin, what filters ask for and people read."""


@dataclass(frozen=True)
class IndexBundle:
    """N Pins that can be searched. `pin_ids[i]` has the embedding `embeddings[i]`.

    `pins` says of each, in the same order, what `SHOWN` names. `tuning` is what was measured when
    the index was built (`index_tuning.Tuning.to_json`).
    """

    index: faiss.Index
    factory: str
    config: IndexConfig
    breadth: Breadth
    pins: pa.Table
    embeddings: np.ndarray
    model: TrainedModel
    tuning: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def pin_ids(self) -> pa.Array:
        """Ids of the Pins."""
        return table_column(self.pins, "pin_id", role="pins")

    @cached_property
    def lookup(self) -> IdLookup:
        """Places of Pins by id."""
        return IdLookup(self.pin_ids)

    @property
    def model_version(self) -> str:
        """The version of the model that made the embeddings, and whose user tower is inside."""
        return self.model.model_version

    def search(
        self,
        user_embeddings: np.ndarray,
        k: int,
        *,
        repeats: Repeats | None = None,
        eligible: np.ndarray | Eligible | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best Pins of each user: (pin_ids [n, k], scores float32 [n, k]), best first.

        `repeats` (`TrainedModel.repeats` of the same users) is added to the scores of the users'
        own recent Pins, wherever the index has them: the score that the model was trained and is
        evaluated with.

        Only `eligible` Pins are found, bool [N]; the filter is part of the search, so that k come
        back where k are eligible. With fewer than k Pins there are as many columns as Pins. Where
        an approximate index finds fewer, the rest of a row has the id None (the whole array is of
        objects) and score -inf.
        """
        places, scores = self.find_places(user_embeddings, k, repeats=repeats, eligible=eligible)
        return ids_at(np.asarray(self.pin_ids.to_numpy(zero_copy_only=False)), places), scores

    def find_places(
        self,
        user_embeddings: np.ndarray,
        k: int,
        *,
        repeats: Repeats | None = None,
        eligible: np.ndarray | Eligible | None = None,
        exact: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `search`, but places in `pin_ids` (int64, -1: none) instead of ids.

        With `exact` an approximate index is passed over: all eligible Pins are scored.
        """
        if repeats is None:
            return self.search_places(user_embeddings, k, eligible=eligible, exact=exact)
        allowed = as_eligible(eligible)
        return self._search_with(repeats, user_embeddings, k, eligible=allowed, exact=exact)

    def retrieve(
        self,
        users: pa.Table,
        k: int,
        *,
        catalogue: pa.Table | None = None,
        eligible: np.ndarray | Eligible | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best Pins of each user of a table with the user columns of training examples.

        `search` with the users' embeddings and repeats; `catalogue` makes Pins of their histories
        known that are newer than the model.
        """
        tower = self.model.user_tower(catalogue=catalogue)
        embeddings, repeats = tower.embed_with_repeats(tower.encode(users))
        return self.search(embeddings, k, repeats=repeats, eligible=eligible)

    def search_places(
        self,
        user_embeddings: np.ndarray,
        k: int,
        *,
        eligible: np.ndarray | Eligible | None = None,
        exact: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `find_places`, by inner products alone."""
        if k < 1:
            raise ValueError(f"k is {k}; it must be at least 1")
        queries = np.ascontiguousarray(user_embeddings, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.index.d:
            raise ValueError(
                f"user embeddings have shape {queries.shape}; (n, {self.index.d}) is expected"
            )
        allowed = as_eligible(eligible)
        if allowed is not None and len(allowed.mask) != len(self.pin_ids):
            raise ValueError(
                f"eligible says so of {len(allowed.mask)} Pins, but there are {len(self.pin_ids)}"
            )
        return search_index(
            self.index,
            self.embeddings,
            queries,
            k,
            breadth=self.breadth,
            eligible=allowed,
            exact=exact,
        )

    def _search_with(
        self,
        repeats: Repeats,
        user_embeddings: np.ndarray,
        k: int,
        *,
        eligible: Eligible | None,
        exact: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `search_places`, with the repeats' gains.

        A Pin that gains nothing keeps its order among the others, so the best k are among the
        best `k + longest` by inner product and the row's own Pins, which are scored exactly.
        """
        place = self.lookup.find(repeats.pin_ids, role="repeats")
        is_there = place >= 0 if eligible is None else (place >= 0) & eligible.mask[place]
        row, place, gain = (part[is_there] for part in (repeats.row, place, repeats.gain))
        lengths = np.bincount(row, minlength=len(user_embeddings))
        longest = int(lengths.max(initial=0))
        column = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        own = np.full((len(user_embeddings), longest), -1, dtype=np.int64)
        own_scores = np.full(own.shape, -np.inf, dtype=np.float32)
        own[row, column] = place
        own_scores[row, column] = gain + np.einsum(
            "nd,nd->n", user_embeddings[row], self.embeddings[place]
        )
        found, scores = self.search_places(
            user_embeddings, k + longest, eligible=eligible, exact=exact
        )
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
            pq.write_table(self.pins, folder / PINS)
            np.save(folder / EMBEDDINGS, self.embeddings)
            save_checkpoint(self.model, folder / CHECKPOINT, provenance=provenance)
            description = {
                "format": FORMAT,
                "model_version": self.model_version,
                "factory": self.factory,
                "config": self.config.model_dump(mode="json"),
                "breadth": self.breadth.to_json(),
                "tuning": self.tuning,
                "num_pins": len(self.pin_ids),
                "checksums": file_checksums(folder, [INDEX, PINS, EMBEDDINGS]),
            }
            (folder / DESCRIPTION).write_text(json.dumps(description, indent=1))


def ids_at(ids: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The ids at places; where one is -1 the array is of objects and has None there."""
    found = ids[np.maximum(places, 0)]
    if (places < 0).any():
        found = found.astype(object)
        found[places < 0] = None
    return found


def build_index(
    model: TrainedModel,
    pin_features: pa.Table,
    *,
    config: IndexConfig | None = None,
    queries: np.ndarray | None = None,
) -> IndexBundle:
    """Bundle over the Pins of one day's table of Pin features.

    `queries`, user embeddings [Q, D], are what the search is tuned on (`index_tuning.make_index`).
    """
    config = config or IndexConfig()
    pin_ids = table_column(pin_features, "pin_id", role="pins")
    if len(pin_ids) == 0 or pin_ids.null_count or len(pin_ids.unique()) != len(pin_ids):
        raise ValueError(
            f"pins: {len(pin_ids)} rows with {len(pin_ids.unique())} distinct ids, "
            f"{pin_ids.null_count} null; one row for each of at least one Pin is expected"
        )
    embeddings = model.embed_pins(pin_features)
    index, tuning = make_index(embeddings, config=config, queries=queries)
    return IndexBundle(
        index=index,
        factory=tuning.factory,
        config=config,
        breadth=tuning.breadth,
        pins=shown_columns(pin_features),
        embeddings=embeddings,
        model=model,
        tuning=tuning.to_json(),
    )


def shown_columns(pins: pa.Table) -> pa.Table:
    """What a bundle keeps of its Pins; null where the table does not have it."""
    types = {"price": pa.float64(), "advertiser_id": pa.null()}
    columns = {
        name: as_array(pins[name])
        if name in pins.column_names
        else pa.nulls(pins.num_rows, types.get(name, pa.string()))
        for name in SHOWN
    }
    return pa.table(columns)


def load_bundle(path: Path, *, checkpoint: Path | None = None) -> IndexBundle:
    """The bundle of a folder, its user tower from within or, if given, from `checkpoint`.

    ValueError where a file is missing, damaged or was changed, or where the checkpoint is not the
    model that made the index.
    """
    if not (path / DESCRIPTION).is_file():
        raise ValueError(f"{path}: no {DESCRIPTION}; an index bundle is a folder that has one")
    description = json.loads((path / DESCRIPTION).read_text())
    if description.get("format") not in FORMATS:
        raise ValueError(
            f"{path / DESCRIPTION}: format is {description.get('format')!r}, but this release "
            f"reads {' and '.join(map(str, FORMATS))}"
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
    own = Breadth(config.num_probes, config.ef_search, config.refine)
    return IndexBundle(
        index=faiss.read_index(str(path / INDEX)),
        factory=description["factory"],
        config=config,
        breadth=breadth_of(description["breadth"]) if "breadth" in description else own,
        pins=shown_columns(pq.read_table(path / PINS)),
        embeddings=np.load(path / EMBEDDINGS),
        model=load_checkpoint(source),
        tuning=description.get("tuning", {}),
    )


def measure_recall(bundle: IndexBundle, user_embeddings: np.ndarray, k: int) -> float:
    """Share of the k Pins of highest inner product that the index returns, mean over users.

    Ties at the k-th score count as found.
    """
    queries = np.ascontiguousarray(user_embeddings, dtype=np.float32)
    _, exact_scores = search_exactly(bundle.embeddings, queries, k)
    return recall_of(*bundle.search_places(queries, k), exact_scores)
