"""What a scorer is, and what it may see of a query.

A scorer gives every candidate Pin a score for every query; the model, the baselines and a
simulator's oracle are all scorers, so that one evaluation measures them the same way.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convcg_model.trained_model import TrainedModel
from convcg_model.user_tower import Repeats

Scorer = Callable[[pa.Table, pa.Table], np.ndarray]
"""`(queries [Q rows], pins [N rows of pin_features]) -> scores [Q, N]`; higher is better."""

_CONTEXT = ("dt", "example_day", "impression_ts", "surface", "subject_pin_id", "query", "task")


def query_side(examples: pa.Table) -> pa.Table:
    """The columns of `training_examples` that are known before the answer: context and user.

    The Pin, its features, the label's weight and evidence are left out, so that no scorer can
    look at what it is asked for.
    """
    return examples.select(
        [name for name in examples.column_names if name in _CONTEXT or name.startswith("user_")]
    )


def rows_of(ids: pa.ChunkedArray, *, among: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Row in `among` of each id, int64, -1 for null ids and for those that are not there.

    Ids are integers or strings, as the source has them. Both sides need the same type.

    >>> rows_of(pa.chunked_array([["b", "x", None]]), among=pa.chunked_array([["a", "b"]]))
    array([ 1, -1, -1])
    """
    if pa.types.is_null(ids.type):
        return np.full(len(ids), -1)
    if ids.type != among.type:
        raise ValueError(f"ids of type {ids.type} cannot be looked up among ids of {among.type}")
    value_set = among.combine_chunks() if isinstance(among, pa.ChunkedArray) else among
    options = pc.SetLookupOptions(value_set, skip_nulls=True)
    found = pc.call_function("index_in", [ids], options)
    return found.fill_null(-1).to_numpy().astype(np.int64)


def embedding_scorer(
    *,
    embed_users: Callable[[pa.Table], np.ndarray],
    embed_pins: Callable[[pa.Table], np.ndarray],
    repeats: Callable[[pa.Table], Repeats] | None = None,
) -> Scorer:
    """Scorer of a two-tower model: inner products of user and Pin embeddings, and over them what
    `repeats` says that a user's own Pins gain.

    Embeddings of the last Pins table are kept, for the chunks of one day share it.
    """
    last: list[tuple[pa.Table, np.ndarray]] = []

    def score(queries: pa.Table, pins: pa.Table) -> np.ndarray:
        if not last or last[0][0] is not pins:
            last[:] = [(pins, embed_pins(pins))]
        scores = embed_users(queries) @ last[0][1].T
        if repeats is not None:
            gained = repeats(queries)
            column = rows_of(pa.chunked_array([gained.pin_ids]), among=pins["pin_id"])
            found = column >= 0
            scores[gained.row[found], column[found]] += gained.gain[found]
        return scores

    return score


def model_scorer(model: TrainedModel, *, catalogue: pa.Table) -> Scorer:
    """Scorer of a trained model; `catalogue` makes Pins known that are newer than it."""
    return embedding_scorer(
        embed_users=lambda queries: model.embed_users(queries, catalogue=catalogue),
        embed_pins=model.embed_pins,
        repeats=lambda queries: model.repeats(queries, catalogue=catalogue),
    )
