"""The index within the day: a bundle, the Pins that appeared since, and those that were taken out.

New Pins are embedded by the bundle's own frozen Pin tower into a small index of their own, which is
searched exactly beside the large one; embeddings of two models never meet.
"""

import datetime as dt
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from convcg_model.arrow_columns import as_array, table_column
from convcg_model.atomic_folder import atomic_folder, check_files, file_checksums
from convcg_model.eligible import Eligible, as_eligible
from convcg_model.id_lookup import IdLookup
from convcg_model.index import IndexBundle, ids_at, shown_columns
from convcg_model.trained_model import TrainedModel
from convcg_model.user_tower import Repeats

FORMAT = 1
DESCRIPTION, ADDED, EMBEDDINGS, REMOVED = (
    "changes.json",
    "added.parquet",
    "embeddings.npy",
    "removed.parquet",
)


@dataclass(frozen=True)
class PinChanges:
    """Pins that came (`added` with `embeddings` [n, D]) and went (`removed` ids) since a bundle.

    A Pin that is both is one that changed: it is shown as it was added.
    """

    model_version: str
    as_of: dt.datetime
    added: pa.Table
    embeddings: np.ndarray
    removed: pa.Array

    def save(self, path: Path) -> None:
        """Write as a folder, whole or not at all."""
        with atomic_folder(path) as folder:
            pq.write_table(self.added, folder / ADDED)
            np.save(folder / EMBEDDINGS, self.embeddings)
            pq.write_table(pa.table({"pin_id": self.removed}), folder / REMOVED)
            description = {
                "format": FORMAT,
                "model_version": self.model_version,
                "as_of": self.as_of.isoformat(),
                "added": self.added.num_rows,
                "removed": len(self.removed),
                "checksums": file_checksums(folder, [ADDED, EMBEDDINGS, REMOVED]),
            }
            (folder / DESCRIPTION).write_text(json.dumps(description, indent=1))


def pin_changes(bundle: IndexBundle, pins: pa.Table, *, as_of: dt.datetime) -> PinChanges:
    """What makes a bundle's Pins those of a newer table of Pin features, known at `as_of`.

    Pins that the bundle lacks are embedded, those that the table lacks are removed.
    """
    ids = table_column(pins, "pin_id", role="pins")
    is_new = bundle.lookup.find(ids, role="pins, pin_id") < 0
    added = pins.filter(pa.array(is_new))
    gone = IdLookup(ids).find(bundle.pin_ids, role="pins, pin_id") < 0
    return PinChanges(
        model_version=bundle.model_version,
        as_of=as_of,
        added=shown_columns(added),
        embeddings=_embed(bundle.model, added),
        removed=bundle.pin_ids.filter(pa.array(gone)),
    )


def _embed(model: TrainedModel, pins: pa.Table) -> np.ndarray:
    if pins.num_rows:
        return model.embed_pins(pins)
    return np.zeros((0, model.config.embedding_dim), dtype=np.float32)


def load_changes(path: Path) -> PinChanges:
    """The changes of a folder; ValueError where a file is missing, damaged or was changed."""
    if not (path / DESCRIPTION).is_file():
        raise ValueError(f"{path}: no {DESCRIPTION}; changes of Pins are a folder that has one")
    description = json.loads((path / DESCRIPTION).read_text())
    if description.get("format") != FORMAT:
        raise ValueError(
            f"{path / DESCRIPTION}: format is {description.get('format')!r}, but this release "
            f"reads {FORMAT}"
        )
    check_files(path, description["checksums"])
    return PinChanges(
        model_version=description["model_version"],
        as_of=dt.datetime.fromisoformat(description["as_of"]),
        added=pq.read_table(path / ADDED),
        embeddings=np.load(path / EMBEDDINGS),
        removed=as_array(pq.read_table(path / REMOVED)["pin_id"]),
    )


class LiveIndex:
    """A bundle as of now. `pins` are those of the bundle and then the added ones.

    ValueError where the changes were embedded by another model than the bundle's.
    """

    def __init__(self, bundle: IndexBundle, changes: PinChanges | None = None) -> None:
        if changes is not None and changes.model_version != bundle.model_version:
            raise ValueError(
                f"the added Pins were embedded by model {changes.model_version[:12]}..., but the "
                f"index by {bundle.model_version[:12]}...: embeddings of two models are not "
                "comparable; `convcg refresh` embeds them anew"
            )
        self.bundle = bundle
        self._changes = changes
        # Each lives as long as what it was made of.
        self._narrowed: WeakKeyDictionary[Eligible, Eligible] = WeakKeyDictionary()

    @property
    def as_of(self) -> dt.datetime | None:
        """When the Pins were last brought up to date; None: not since the bundle was built."""
        return None if self._changes is None else self._changes.as_of

    @property
    def num_pins(self) -> int:
        """Pins that can be found."""
        remaining = self._remaining
        kept = len(self.bundle.pin_ids) if remaining is None else int(remaining.sum())
        return kept + (0 if self._changes is None else self._changes.added.num_rows)

    @property
    def model_version(self) -> str:
        """Of all embeddings."""
        return self.bundle.model_version

    @cached_property
    def pins(self) -> pa.Table:
        """What filters ask for, of the bundle's Pins and then of those added."""
        if self._changes is None or not self._changes.added.num_rows:
            return self.bundle.pins
        added = self._changes.added.cast(self.bundle.pins.schema)
        return pa.concat_tables([self.bundle.pins, added]).combine_chunks()

    @cached_property
    def _remaining(self) -> np.ndarray | None:
        """bool [N]: the bundle's Pins that are still shown as it has them; None: all."""
        if self._changes is None:
            return None
        gone = [self._changes.removed]
        if self._changes.added.num_rows:
            gone.append(as_array(self._changes.added["pin_id"]))
        kind = self.bundle.pin_ids.type
        ids = pa.concat_arrays([part.cast(kind) for part in gone])
        places = self.bundle.lookup.find(ids, role="changes")
        if not (places >= 0).any():
            return None
        remaining = np.ones(len(self.bundle.pin_ids), dtype=bool)
        remaining[places[places >= 0]] = False
        return remaining

    @cached_property
    def lookup(self) -> IdLookup:
        """Places of ids among `pins`; of a Pin that changed, the added one."""
        if self._changes is None or not self._changes.added.num_rows:
            return self.bundle.lookup
        ids = as_array(self.pins["pin_id"])
        if self._remaining is not None:
            num = len(self.bundle.pin_ids)
            hidden = np.concatenate([~self._remaining, np.zeros(len(ids) - num, dtype=bool)])
            ids = pc.if_else(pa.array(hidden), pa.scalar(None, ids.type), ids)
        return IdLookup(ids)

    def search(
        self,
        user_embeddings: np.ndarray,
        k: int,
        *,
        repeats: Repeats | None = None,
        eligible: np.ndarray | Eligible | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `IndexBundle.search`; `eligible` is bool over `pins`."""
        places, scores = self.search_places(user_embeddings, k, repeats=repeats, eligible=eligible)
        return ids_at(self._ids, places), scores

    def search_places(
        self,
        user_embeddings: np.ndarray,
        k: int,
        *,
        repeats: Repeats | None = None,
        eligible: np.ndarray | Eligible | None = None,
        exact: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `search`, but places in `pins` (int64, -1: none) instead of ids.

        `exact` as in `IndexBundle.find_places`.
        """
        num, allowed = len(self.bundle.pin_ids), as_eligible(eligible)
        if self._changes is None:
            of_bundle = allowed
        elif allowed is None:
            of_bundle = self._shown
        else:
            of_bundle = self._of_bundle(allowed)
        places, scores = self.bundle.find_places(
            user_embeddings, k, repeats=repeats, eligible=of_bundle, exact=exact
        )
        if self._changes is None or not self._changes.added.num_rows:
            return places, scores
        rows = None if allowed is None else np.flatnonzero(allowed.mask[num:])
        added, added_scores = self._search_added(user_embeddings, k, repeats=repeats, rows=rows)
        together = np.concatenate([places, np.where(added < 0, -1, added + num)], axis=1)
        of_all = np.concatenate([scores, added_scores], axis=1)
        best = np.argsort(-of_all, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(together, best, axis=1), np.take_along_axis(of_all, best, axis=1)

    @cached_property
    def _shown(self) -> Eligible | None:
        """The bundle's Pins that are still shown as it has them; None: all."""
        return None if self._remaining is None else Eligible(self._remaining)

    def _of_bundle(self, allowed: Eligible) -> Eligible:
        """Of the eligible those of the bundle that are still shown; made once for each."""
        known = self._narrowed.get(allowed)
        if known is not None:
            return known
        mask = allowed.mask[: len(self.bundle.pin_ids)]
        narrowed = Eligible(mask if self._remaining is None else mask & self._remaining)
        self._narrowed[allowed] = narrowed
        return narrowed

    @cached_property
    def _ids(self) -> np.ndarray:
        return np.asarray(as_array(self.pins["pin_id"]).to_numpy(zero_copy_only=False))

    def _search_added(
        self,
        user_embeddings: np.ndarray,
        k: int,
        *,
        repeats: Repeats | None,
        rows: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Places among the added Pins (-1: none) and scores, with what repeating adds."""
        assert self._changes is not None
        queries = np.ascontiguousarray(user_embeddings, dtype=np.float32)
        scores = queries @ self._changes.embeddings.T
        if repeats is not None:
            place = self._added_lookup.find(repeats.pin_ids, role="repeats")
            there = place >= 0
            scores[repeats.row[there], place[there]] += repeats.gain[there]
        if rows is not None:
            hidden = np.ones(scores.shape[1], dtype=bool)
            hidden[rows] = False
            scores[:, hidden] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        of_best = np.take_along_axis(scores, best, axis=1)
        return np.where(np.isneginf(of_best), -1, best), of_best

    @cached_property
    def _added_lookup(self) -> IdLookup:
        assert self._changes is not None
        return IdLookup(as_array(self._changes.added["pin_id"]))
