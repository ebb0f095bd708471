"""Places of ids in a long list, found in a time that hardly grows with it."""

from bisect import bisect_left
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convcg_model.arrow_columns import as_ids, id_kind

FEW = 2_000
"""More text ids than so many are found faster by a hash table, which is as long as the list."""


class IdLookup:
    """Where ids (integers or text) stand in a list of distinct ones.

    The list is put in order once. Of a list in order nothing is copied, so that one that is mapped
    from a file stays there.
    """

    def __init__(self, ids: pa.Array) -> None:
        self.ids = ids
        self.kind = id_kind(ids)

    def find(self, ids: pa.Array, *, role: str) -> np.ndarray:
        """int64 [n]: the place of each id, -1 where it is null or not there.

        ValueError where the ids are of another type than the list's.
        """
        asked = as_ids(ids, self.kind, role=role)
        if not len(self.ids):
            return np.full(len(asked), -1)
        if self.kind == "string" and len(asked) > FEW:
            found = pc.fill_null(pc.index_in(asked, value_set=self.ids, skip_nulls=True), -1)
            return found.to_numpy(zero_copy_only=False).astype(np.int64)
        return self._find_integers(asked) if self.kind == "int64" else self._find_texts(asked)

    def _find_integers(self, asked: pa.Array) -> np.ndarray:
        wanted = pc.fill_null(asked, 0).to_numpy(zero_copy_only=False)
        place = np.minimum(np.searchsorted(self._ordered, wanted), len(self.ids) - 1)
        there = self._ordered[place] == wanted
        if asked.null_count:
            there &= asked.is_valid().to_numpy(zero_copy_only=False)
        return np.where(there, self._original(place), -1)

    def _find_texts(self, asked: pa.Array) -> np.ndarray:
        ordered, found = self._ordered, []
        for text in asked.to_pylist():
            if text is None:
                found.append(-1)
                continue
            # UTF-8 is in the order of its code points, as Python's text is.
            place = bisect_left(range(len(ordered)), text, key=lambda i: ordered[i].as_py())
            is_there = place < len(ordered) and ordered[place].as_py() == text
            found.append(place if is_there else -1)
        places = np.array(found, dtype=np.int64)
        return np.where(places < 0, -1, self._original(places))

    def _original(self, place: np.ndarray) -> np.ndarray:
        return place.astype(np.int64) if self._order is None else self._order[place]

    @cached_property
    def _order(self) -> np.ndarray | None:
        """Places in order; None where the list is in order already."""
        if len(self.ids) < 2 or pc.all(pc.less(self.ids[:-1], self.ids[1:])).as_py():
            return None
        return pc.array_sort_indices(self.ids).to_numpy().astype(np.int64)

    @cached_property
    def _ordered(self) -> np.ndarray:
        """The ids in order: of integers an array, of text an Arrow one."""
        ordered = self.ids if self._order is None else self.ids.take(pa.array(self._order))
        return ordered.to_numpy(zero_copy_only=False) if self.kind == "int64" else ordered
