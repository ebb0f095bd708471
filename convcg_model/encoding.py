"""From tables to arrays, once, and from arrays to the tensors of one batch, many times.

`encode_users` and `encode_pins` read whole tables; `user_batch` and `pin_batch` take some of their
rows. Histories and query tokens are kept without padding and padded per batch.
"""

import zlib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from convcg_model.array_files import Arrays, concatenate
from convcg_model.arrow_columns import as_array, as_flat_lists, as_floats, in_parts, table_column
from convcg_model.batches import ItemBatch, PinBatch, UserBatch
from convcg_model.catalogue import NO_PIN, Catalogue, distinct_rows
from convcg_model.features import FeatureSpec
from convcg_model.numeric import encode_numeric

PADDING: Arrays = {
    "token": np.zeros(1, dtype=np.int32),
    "recent": np.full(1, NO_PIN, dtype=np.int32),
    "recent_action": np.zeros(1, dtype=np.int32),
    "recent_age": np.zeros(1, dtype=np.float32),
    "recent_times": np.zeros(1, dtype=np.float32),
}
"""What stands behind all lists, where the padding of shorter ones points."""


@dataclass(frozen=True)
class EncodedUsers:
    """The user side of n rows; `starts[i]:starts[i + 1]` are the positions of row i's list."""

    categorical: dict[str, np.ndarray]
    numeric: np.ndarray
    subject: np.ndarray
    token: np.ndarray
    token_starts: np.ndarray
    recent: np.ndarray
    recent_action: np.ndarray
    recent_age: np.ndarray
    recent_times: np.ndarray
    recent_starts: np.ndarray


@dataclass(frozen=True)
class EncodedPins:
    """The Pin side of n rows: the Pin's row in the catalogue, and its numbers."""

    row: np.ndarray
    numeric: np.ndarray


def encode_users(
    table: pa.Table,
    spec: FeatureSpec,
    catalogue: Catalogue,
    *,
    role: str = "users",
    folder: Path | None = None,
) -> EncodedUsers:
    """The user side of a table with the user columns of training examples.

    With a `folder` the arrays are files in it (see `array_files.py`).
    """
    parts = (
        _user_arrays(part, spec, catalogue, role=role, first_row=first_row)
        for first_row, part in in_parts(table)
    )
    found = concatenate(chain(parts, [PADDING]), folder)
    return EncodedUsers(
        categorical={name: found[f"context_{name}"] for name in spec.context},
        numeric=found["numeric"],
        subject=found["subject"],
        token=found["token"],
        token_starts=_starts(found["num_tokens"]),
        recent=found["recent"],
        recent_action=found["recent_action"],
        recent_age=found["recent_age"],
        recent_times=found["recent_times"],
        recent_starts=_starts(found["num_recent"]),
    )


def _user_arrays(
    table: pa.Table, spec: FeatureSpec, catalogue: Catalogue, *, role: str, first_row: int
) -> Arrays:
    """The arrays of some rows, of lists the values and how many each row has."""
    categorical = {
        f"context_{name}": vocabulary.encode(
            table_column(table, name, role=role), role=f"{role}, {name}"
        )
        for name, vocabulary in spec.context.items()
    }
    subject = np.full(table.num_rows, NO_PIN, dtype=np.int32)
    if spec.has_subject:
        column = table_column(table, "subject_pin_id", role=role)
        subject = catalogue.rows(column, role=f"{role}, subject_pin_id")
    return {
        **categorical,
        "numeric": encode_numeric(table, spec.user_numeric, role=role, first_day=spec.first_day),
        "subject": subject,
        **_encode_queries(table, spec, role=role),
        **_encode_histories(table, spec, catalogue, role=role, first_row=first_row),
    }


def encode_pins(
    table: pa.Table,
    spec: FeatureSpec,
    catalogue: Catalogue,
    *,
    role: str = "pins",
    folder: Path | None = None,
) -> EncodedPins:
    """The Pin side of a table with the columns of Pin features; `folder` as of `encode_users`."""
    parts = (
        {
            "row": catalogue.rows(table_column(part, "pin_id", role=role), role=f"{role}, pin_id"),
            "numeric": encode_numeric(part, spec.pin_numeric, role=role, first_day=spec.first_day),
        }
        for _, part in in_parts(table)
    )
    found = concatenate(parts, folder)
    # Asked for everywhere, and four bytes a row: in memory in any case.
    return EncodedPins(row=np.array(found["row"]), numeric=found["numeric"])


def user_batch(users: EncodedUsers, catalogue: Catalogue, rows: np.ndarray) -> UserBatch:
    """Tensors of some rows; each Pin that they mention stands once among the batch's items."""
    positions = _padded_positions(users.recent_starts, rows)
    recent = users.recent[positions]
    subject = users.subject[rows]
    mentioned, place = distinct_rows(
        np.concatenate([[NO_PIN], subject, recent.ravel()]), len(catalogue.pin)
    )
    return UserBatch(
        items=_item_batch(catalogue, mentioned),
        item_row_M=_indices(mentioned),
        categorical={name: _indices(codes[rows]) for name, codes in users.categorical.items()},
        numeric_BF=torch.from_numpy(users.numeric[rows]),
        subject_B=_indices(place[1 : 1 + len(rows)]),
        token_BQ=_indices(users.token[_padded_positions(users.token_starts, rows)]),
        recent_BL=_indices(place[1 + len(rows) :].reshape(recent.shape)),
        action_BL=_indices(users.recent_action[positions]),
        age_BL=torch.from_numpy(users.recent_age[positions]),
        times_BL=torch.from_numpy(users.recent_times[positions]),
    )


def pin_batch(pins: EncodedPins, catalogue: Catalogue, rows: np.ndarray) -> PinBatch:
    """Tensors of some rows."""
    return PinBatch(
        items=_item_batch(catalogue, pins.row[rows]),
        numeric_NF=torch.from_numpy(pins.numeric[rows]),
    )


def query_tokens(query: str | None, *, buckets: int, max_tokens: int) -> list[int]:
    """Hash buckets 1 to `buckets` of a query's words and, last, of the query as a whole.

    The hash is CRC-32, so that the same word has the same bucket in every process.
    """
    words = query.lower().split() if query else []
    parts = [*words[: max_tokens - 1], " ".join(words)] if len(words) > 1 else words
    return [zlib.crc32(part.encode()) % buckets + 1 for part in parts]


def _encode_queries(table: pa.Table, spec: FeatureSpec, *, role: str) -> Arrays:
    """Tokens of the rows' queries, and how many each row has."""
    if not spec.has_query:
        return {
            "token": np.zeros(0, dtype=np.int32),
            "num_tokens": np.zeros(table.num_rows, dtype=np.int32),
        }
    queries = table_column(table, "query", role=role).cast(pa.string()).dictionary_encode("encode")
    tokens = [
        query_tokens(query, buckets=spec.query_buckets, max_tokens=spec.max_query_tokens)
        for query in queries.dictionary.to_pylist()
    ]
    width = max([len(row) for row in tokens], default=0)
    padded = np.zeros((len(tokens), width), dtype=np.int32)
    for row, codes in zip(padded, tokens, strict=True):
        row[: len(codes)] = codes
    by_row = padded[queries.indices.to_numpy()]
    present = by_row > 0
    return {"token": by_row[present], "num_tokens": present.sum(axis=1).astype("i4")}


def _encode_histories(
    table: pa.Table, spec: FeatureSpec, catalogue: Catalogue, *, role: str, first_row: int
) -> Arrays:
    """Pins, kinds, ages and times of the recent actions, and how many each row has."""
    if spec.actions is None:
        nothing = {name: values[:0] for name, values in PADDING.items() if name != "token"}
        return {**nothing, "num_recent": np.zeros(table.num_rows, dtype=np.int32)}
    names = ("user_recent_pin_ids", "user_recent_actions", "user_recent_age_days")
    flat, lengths = zip(
        *(as_flat_lists(table_column(table, name, role=role)) for name in names), strict=True
    )
    for name, other in zip(names[1:], lengths[1:], strict=True):
        if not np.array_equal(lengths[0], other):
            row = first_row + int(np.flatnonzero(lengths[0] != other)[0])
            raise ValueError(f"{role}, row {row}: {name} and {names[0]} differ in length")
    kept = np.minimum(lengths[0], spec.max_recent_actions)
    position = np.arange(len(flat[0])) - np.repeat(_starts(lengths[0])[:-1], lengths[0])
    newest = pa.array(position < spec.max_recent_actions)
    pin_ids, actions, ages = (as_array(values.filter(newest)) for values in flat)
    pins = catalogue.rows(pin_ids, role=f"{role}, {names[0]}")
    return {
        "recent": pins,
        "recent_action": spec.actions.encode(actions, role=f"{role}, {names[1]}"),
        "recent_age": np.nan_to_num(as_floats(ages), nan=0.0).astype("f4"),
        "recent_times": _count_times(pins, np.repeat(np.arange(table.num_rows), kept)),
        "num_recent": kept.astype("i4"),
    }


def _count_times(pins: np.ndarray, row: np.ndarray) -> np.ndarray:
    """float32: where a row names a Pin first, how often it does; 0 elsewhere.

    >>> _count_times(np.array([7, 8, 7, 7]), np.array([0, 0, 0, 1])).tolist()
    [2.0, 1.0, 0.0, 1.0]
    """
    pairs = row.astype(np.int64) * (int(pins.max(initial=0)) + 1) + pins
    _, first, counts = np.unique(pairs, return_index=True, return_counts=True)
    times = np.zeros(len(pins), dtype=np.float32)
    times[first] = counts
    times[pins == NO_PIN] = 0
    return times


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _padded_positions(starts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """int64 [n, longest]: positions of the rows' values; padding points at the last, empty one."""
    lengths = starts[rows + 1] - starts[rows]
    offset = np.arange(max(1, lengths.max(initial=0)))
    return np.where(offset < lengths[:, None], starts[rows][:, None] + offset, starts[-1])


def _item_batch(catalogue: Catalogue, rows: np.ndarray) -> ItemBatch:
    return ItemBatch(
        pin_M=_indices(catalogue.pin[rows]),
        hash_M2=_indices(catalogue.hashes[rows]),
        category_M=_indices(catalogue.category[rows]),
        advertiser_M=_indices(catalogue.advertiser[rows]),
        numeric_MF=torch.from_numpy(catalogue.numeric[rows]),
        content_MC=torch.from_numpy(catalogue.content[rows]),
    )


def _indices(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.int64))
