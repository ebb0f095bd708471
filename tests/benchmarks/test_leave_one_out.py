"""The published protocol on four users, worked out by hand or in loops."""

import gzip
import math

import numpy as np
import pytest

from benchmarks.leave_one_out import (
    TEST,
    VALIDATION,
    item_knn,
    query_rows,
    ranks,
    read_sequences,
    training_rows,
)

SEQUENCES = [
    np.array(items) for items in ([1, 2, 3, 4, 5], [2, 3, 1, 5], [4, 2, 3, 6, 1], [1, 3, 4, 2])
]


def test_rows_know_nothing_of_their_item_or_of_what_came_after():
    rows = training_rows(SEQUENCES, longest=2).to_pylist()
    assert [(row["user_id"], row["pin_id"], row["user_recent_pin_ids"]) for row in rows] == [
        (0, 2, [1]),
        (0, 3, [2, 1]),
        (1, 3, [2]),
        (2, 2, [4]),
        (2, 3, [2, 4]),
        (3, 3, [1]),
    ]
    assert [row["subject_pin_id"] for row in rows] == [1, 2, 2, 4, 2, 1]
    assert rows[1]["user_recent_age_days"] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("hidden", "target", "recent"), [(TEST, 5, [4, 3]), (VALIDATION, 4, [3, 2])]
)
def test_queries_know_all_before_their_target(hidden, target, recent):
    [row] = query_rows(SEQUENCES, np.array([0]), hidden=hidden, longest=2).to_pylist()
    assert (row["pin_id"], row["user_recent_pin_ids"]) == (target, recent)


def test_ranks_are_among_all_items_but_the_users_own():
    scores = np.array([6.0, 5, 4, 3, 2, 1])
    found = ranks(
        lambda users, _: np.tile(scores, (len(users), 1)), SEQUENCES, np.arange(4), hidden=1
    )
    # Items by score are 1 to 6. User 0 has 1 to 4: 5 is first. User 1 has 1, 2, 3: 4 is before 5.
    # User 2 has 2, 3, 4, 6: 1 is first. User 3 has 1, 3, 4: 2 is first.
    assert found.tolist() == [1, 2, 1, 1]


@pytest.mark.parametrize("hidden", [TEST, VALIDATION])
@pytest.mark.parametrize(("decay", "unknown"), [(1.0, VALIDATION), (0.5, VALIDATION), (0.5, TEST)])
def test_item_knn_is_a_sum_of_cosines(hidden, decay, unknown):
    known = [set(items[:-unknown].tolist()) for items in SEQUENCES]
    having = {item: {user for user in range(4) if item in known[user]} for item in range(1, 7)}

    def cosine(item, other):
        if item == other or not having[item] or not having[other]:
            return 0.0
        both = len(having[item] & having[other])
        return both / math.sqrt(len(having[item]) * len(having[other]))

    scores = item_knn(SEQUENCES, decay=decay, unknown=unknown)(np.arange(4), hidden)
    for user, items in enumerate(SEQUENCES):
        asked = items[:-hidden][::-1].tolist()
        expected = [
            sum(decay**place * cosine(own, item) for place, own in enumerate(asked))
            for item in range(1, 7)
        ]
        assert scores[user].tolist() == pytest.approx(expected)


def test_a_user_with_too_few_items_is_named(tmp_path):
    path = tmp_path / "Set.txt.gz"
    path.write_bytes(gzip.compress(b"7 1 2 3\n8 1 2\n"))
    with pytest.raises(ValueError, match=r"line 2: 2 items; a user needs one to learn from"):
        read_sequences(path)
