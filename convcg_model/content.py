"""Content vectors of Pins, of one encoder at a time: those of two do not lie in one space."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convcg_model.arrow_columns import as_array, as_flat_lists, as_vectors, table_column


def prevailing_version(pins: pa.Table) -> str | None:
    """The encoder of most of the Pins that have content; of equally many the greatest name.

    None where the catalogue does not name encoders.
    """
    versions = _versions(pins).filter(_has_content(pins))
    counts = [(pair["counts"], pair["values"]) for pair in pc.value_counts(versions).to_pylist()]
    return max(counts, key=lambda pair: (pair[0], pair[1] or ""), default=(0, None))[1]


def num_of_other_versions(pins: pa.Table, version: str | None) -> int:
    """How many Pins have content of another encoder."""
    return int(np.count_nonzero(_has_content(pins).to_numpy(zero_copy_only=False))) - int(
        np.count_nonzero(_is_of(pins, version))
    )


def read_content(
    pins: pa.Table, version: str | None, *, role: str
) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [n, length], bool [n]: which are there) of the content of one encoder.

    ValueError where its vectors differ in length, or hold a NaN.
    """
    content = as_array(table_column(pins, "content", role=role))
    is_of = pa.array(_is_of(pins, version))
    return as_vectors(pc.if_else(is_of, content, pa.scalar(None, content.type)), role=role)


def _is_of(pins: pa.Table, version: str | None) -> np.ndarray:
    """bool [n]: which Pins have content of that encoder."""
    versions = _versions(pins)
    same = versions.is_null() if version is None else pc.equal(versions, version)
    found = pc.and_(pc.fill_null(same, False), _has_content(pins))
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)


def _has_content(pins: pa.Table) -> pa.Array:
    _, lengths = as_flat_lists(table_column(pins, "content", role="catalogue"))
    return pa.array(lengths > 0)


def _versions(pins: pa.Table) -> pa.Array:
    """Which encoder made each Pin's content; a table of before does not say."""
    if "content_version" not in pins.column_names:
        return pa.nulls(pins.num_rows, pa.string())
    return as_array(pins["content_version"]).cast(pa.string())
