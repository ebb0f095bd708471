"""Arrays put together of parts: in memory, or in files of a folder that are mapped into it.

Mapped arrays are read like others, a batch's rows at a time; what the system keeps of them in
memory it can give back, so that a training needs no more memory than its steps.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


def concatenate(parts: Iterable[Mapping[str, np.ndarray]], folder: Path | None) -> Arrays:
    """Each named array of all parts in one, along the first axis; `folder` is where files go.

    Arrays of a name have one type and the same further axes; a part may lack some names.
    """
    return _in_memory(parts) if folder is None else _in_files(parts, folder)


def _in_memory(parts: Iterable[Mapping[str, np.ndarray]]) -> Arrays:
    by_name: dict[str, list[np.ndarray]] = {}
    for part in parts:
        for name, values in part.items():
            by_name.setdefault(name, []).append(values)
    return {n: v[0] if len(v) == 1 else np.concatenate(v) for n, v in by_name.items()}


def _in_files(parts: Iterable[Mapping[str, np.ndarray]], folder: Path) -> Arrays:
    folder.mkdir(parents=True, exist_ok=True)
    like: Arrays = {}
    num_rows: dict[str, int] = {}
    with ExitStack() as opened:
        files = {}
        for part in parts:
            for name, values in part.items():
                if name not in files:
                    files[name] = opened.enter_context((folder / name).open("wb"))
                    like[name], num_rows[name] = values[:0], 0
                np.ascontiguousarray(values).tofile(files[name])
                num_rows[name] += len(values)
    return {
        name: _mapped(folder / name, values, shape=(num_rows[name], *values.shape[1:]))
        for name, values in like.items()
    }


def _mapped(path: Path, like: np.ndarray, *, shape: tuple[int, ...]) -> np.ndarray:
    if not np.prod(shape):  # No empty file can be mapped.
        return np.zeros(shape, dtype=like.dtype)
    return np.memmap(path, dtype=like.dtype, mode="r", shape=shape)
