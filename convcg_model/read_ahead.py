"""Telling the system which rows of arrays in files are read next, so that no step waits for them.

Hints alone: what is read does not depend on them, and arrays in memory need none.
"""

import mmap
from contextlib import suppress

import numpy as np

from convcg_model.training_set import TrainingSet

GAP_ROWS = 16
"""Rows that lie so close are read as one piece."""
CAN_ADVISE = hasattr(mmap, "MADV_RANDOM")


class ReadAhead:
    """The arrays of a training set that are mapped from files, each with the place of its rows."""

    def __init__(self, data: TrainingSet):
        users, pins = data.users, data.pins
        by_row = [users.numeric, users.subject, *users.categorical.values(), pins.numeric]
        lists = [users.recent, users.recent_action, users.recent_age, users.recent_times]
        places = [(values, None) for values in by_row]
        places += [(values, users.recent_starts) for values in lists]
        places += [(users.token, users.token_starts)]
        self._places = [(v, starts) for v, starts in places if isinstance(v, np.memmap)]
        for values, _ in self._places if CAN_ADVISE else ():
            # A row's page and not the many behind it, of which no row may be asked for.
            with suppress(OSError):
                _map_of(values).madvise(mmap.MADV_RANDOM)

    def rows(self, rows: np.ndarray) -> None:
        """These rows are read soon."""
        if not self._places or not CAN_ADVISE or not len(rows):
            return
        rows = np.unique(rows).astype(np.int64)
        begins = np.flatnonzero(np.diff(rows, prepend=rows[0] - GAP_ROWS - 1) > GAP_ROWS)
        first, last = rows[begins], rows[np.append(begins[1:], len(rows)) - 1] + 1
        for values, starts in self._places:
            begin, end = (first, last) if starts is None else (starts[first], starts[last])
            width = values.dtype.itemsize * int(np.prod(values.shape[1:]))
            begin = begin * width // mmap.PAGESIZE * mmap.PAGESIZE
            lengths = np.minimum(end * width, values.nbytes) - begin
            mapped = _map_of(values)
            with suppress(OSError):  # A hint that nobody takes.
                for start, length in zip(begin.tolist(), lengths.tolist(), strict=True):
                    if length > 0:
                        mapped.madvise(mmap.MADV_WILLNEED, start, length)


def _map_of(values: np.memmap) -> mmap.mmap:
    return values._mmap  # pyright: ignore[reportAttributeAccessIssue]
