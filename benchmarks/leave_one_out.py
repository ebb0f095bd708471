"""Sequences of items and their leave-one-out protocol, and an item-kNN that needs no training.

The protocol, as published with SASRec (Kang and McAuley 2018) and S3-Rec (Zhou et al. 2020): of
each user's items in the order of time the last is the test, the one before it the validation, the
others are for training. All items but the user's own earlier ones are ranked. Here are the
sequences, what the towers take of them, and the ranks; training is in `bench_public.py`.
"""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from convcg_model.evaluation.metrics import target_ranks
from convcg_model.features import CONTEXT_COLUMNS, PIN_NUMBERS, USER_NUMBERS

TEST, VALIDATION = 1, 2
"""How many of a user's last items the query does not know; the first of them is its target."""
USERS_PER_PASS = 512

Sequences = list[np.ndarray]
"""Of each user the items, 1 to N, in the order of time."""
Score = Callable[[np.ndarray, int], np.ndarray]
"""`(users, number of last items hidden) -> scores [users, N]`."""


def read_sequences(path: Path) -> Sequences:
    """Sequences of a file: one line per user, the user's id and then the items', by blanks.

    Raises ValueError where a user has too few items for the protocol.
    """
    sequences = []
    with gzip.open(path, "rt") as lines:
        for number, line in enumerate(lines, 1):
            items = np.array(line.split()[1:], dtype=np.int64)
            if len(items) <= VALIDATION:
                raise ValueError(
                    f"{path}, line {number}: {len(items)} items; a user needs one to learn from, "
                    "one to validate on and one to test on"
                )
            sequences.append(items)
    return sequences


def num_items(sequences: Sequences) -> int:
    """N, the largest item."""
    return int(max(items.max() for items in sequences))


def training_rows(sequences: Sequences, *, longest: int) -> pa.Table:
    """Training examples: every item of a training sequence but its first, with those before it."""
    lengths = np.array([len(items) - VALIDATION for items in sequences])
    users = np.repeat(np.arange(len(sequences)), lengths - 1)
    places = np.concatenate([np.arange(1, length) for length in lengths])
    return _rows(sequences, users, places, longest=longest)


def query_rows(sequences: Sequences, users: np.ndarray, *, hidden: int, longest: int) -> pa.Table:
    """The queries of these users, as training examples are, `hidden` being TEST or VALIDATION."""
    places = np.array([len(sequences[user]) - hidden for user in users])
    return _rows(sequences, users, places, longest=longest)


def _rows(sequences: Sequences, users: np.ndarray, places: np.ndarray, *, longest: int) -> pa.Table:
    """Rows of training examples: the item at each place, and the `longest` before it, newest first.

    There are no times: the age of an action is its place, 0 for the newest. The newest is also the
    subject, as the Pin that is looked at is, so that what comes next can be told from it alone.
    """
    histories = [
        sequences[user][max(0, place - longest) : place][::-1]
        for user, place in zip(users, places, strict=True)
    ]
    lengths = np.array([len(history) for history in histories])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    age = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
    offsets = pa.array(starts.astype(np.int32))
    num_rows = len(users)
    columns = {
        "impression_id": pa.array(np.arange(num_rows)),
        "impression_ts": pa.array(np.zeros(num_rows, dtype=np.int64)).cast(pa.timestamp("us")),
        "user_id": pa.array(users),
        "pin_id": pa.array([sequences[u][place] for u, place in zip(users, places, strict=True)]),
        "task": pa.array(["engagement"] * num_rows),
        "is_negative": pa.array(np.zeros(num_rows, dtype=bool)),
        "weight": pa.array(np.ones(num_rows)),
        "user_recent_pin_ids": pa.ListArray.from_arrays(offsets, np.concatenate(histories)),
        "user_recent_actions": pa.ListArray.from_arrays(offsets, ["click"] * len(age)),
        "user_recent_age_days": pa.ListArray.from_arrays(offsets, age.astype(np.float64)),
    }
    unknown = ("advertiser_id", "query", "pin_category", *CONTEXT_COLUMNS)
    numbers = (*USER_NUMBERS, *(f"pin_{name}" for name in PIN_NUMBERS))
    columns |= {name: pa.nulls(num_rows, pa.string()) for name in unknown}
    columns["subject_pin_id"] = pa.array([history[0] for history in histories])
    columns |= {name: pa.nulls(num_rows, pa.float64()) for name in numbers}
    return pa.table(columns)


def item_rows(number: int) -> pa.Table:
    """The items 1 to `number` as a table of Pin features, of which nothing but the id is known."""
    columns = {
        "pin_id": pa.array(np.arange(1, number + 1)),
        "advertiser_id": pa.nulls(number, pa.string()),
        "category": pa.nulls(number, pa.string()),
        "content": pa.nulls(number, pa.list_(pa.float64())),
    }
    return pa.table(columns | {name: pa.nulls(number, pa.float64()) for name in PIN_NUMBERS})


def ranks(score: Score, sequences: Sequences, users: np.ndarray, *, hidden: int) -> np.ndarray:
    """Rank of each user's target among all items but the user's own before it, float64 [users]."""
    found = []
    for start in range(0, len(users), USERS_PER_PASS):
        chunk = users[start : start + USERS_PER_PASS]
        scores = score(chunk, hidden).copy()
        for row, user in enumerate(chunk):
            target = sequences[user][-hidden]
            own = sequences[user][:-hidden]
            scores[row, own[own != target] - 1] = -np.inf
        targets = np.array([sequences[user][-hidden] - 1 for user in chunk])
        found.append(target_ranks(scores, target_Q=targets))
    return np.concatenate(found)


def item_knn(sequences: Sequences, *, decay: float, unknown: int = VALIDATION) -> Score:
    """Item-kNN: the sum, over a user's items, of the cosines of who else had both.

    The cosines are counted on all items but the last `unknown` ones: VALIDATION for the training
    items, TEST for the validation items too. An item of the user counts `decay` times the one after
    it, 1 being the plain sum.
    """
    number = num_items(sequences)
    had = _incidence(sequences, hidden=unknown, decay=1.0, number=number)
    had.sum_duplicates()
    had.data[:] = 1.0
    norms = np.sqrt(np.asarray(had.sum(axis=0)).ravel()).clip(min=1.0)
    scaled = csr_matrix(had.multiply(1 / norms))
    cosines = csr_matrix(scaled.T @ scaled)
    cosines.setdiag(0)

    def score(users: np.ndarray, hidden: int) -> np.ndarray:
        asked = [sequences[user] for user in users]
        return (_incidence(asked, hidden=hidden, decay=decay, number=number) @ cosines).toarray()

    return score


def _incidence(sequences: Sequences, *, hidden: int, decay: float, number: int) -> csr_matrix:
    """[users, N]: what each item counts that the user had before the hidden ones."""
    known = [items[:-hidden] for items in sequences]
    rows = np.repeat(np.arange(len(known)), [len(items) for items in known])
    weight = np.concatenate([decay ** np.arange(len(items))[::-1] for items in known])
    return csr_matrix((weight, (rows, np.concatenate(known) - 1)), shape=(len(known), number))
