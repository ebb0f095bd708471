"""Candidates of many users at once: the best Pins of each, under what may be shown to whom.

Users come in batches and go again, so that memory does not grow with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from convcg_model.eligible import Eligible, as_eligible
from convcg_model.live_index import LiveIndex
from convcg_model.user_tower import UserTower

MAX_DEPTH_STEP = 4
"""Where too few Pins are left of those found, so many times as deep is searched."""


@dataclass(frozen=True)
class Candidates:
    """A row each, by user and rank: row of the user, rank from 1, place among the index's Pins."""

    user: np.ndarray
    rank: np.ndarray
    pin: np.ndarray
    score: np.ndarray


def find_candidates(
    users: pa.Table,
    *,
    index: LiveIndex,
    tower: UserTower,
    k: int,
    left_out: Sequence[Sequence[int | str] | None],
    eligible: np.ndarray | Eligible | None = None,
    max_per_advertiser: int | None = None,
) -> Candidates:
    """The k best Pins of each user, of those `eligible` (bool over the index's Pins).

    `users` has the user columns of training examples, `left_out` per user the Pins that are not to
    be among them. Of one advertiser at most `max_per_advertiser` are: the best ones. Taking the
    Pins in the order of their scores and skipping whose advertiser is full gives the k of highest
    total score under that limit, for each Pin has one advertiser.

    Exact as far as the index is: each user is searched as deep as it takes.
    """
    embeddings, repeats = tower.embed_with_repeats(tower.encode(users))
    allowed = as_eligible(eligible)
    num_eligible = index.pins.num_rows if allowed is None else allowed.num
    advertiser = _codes(index.pins["advertiser_id"]) if max_per_advertiser else None
    unwanted = [_places(index, pins) for pins in left_out]
    chosen: list[tuple[np.ndarray, np.ndarray]] = [(_NONE, _NO_SCORES)] * users.num_rows
    waiting = np.arange(users.num_rows)
    depth = k + max((len(places) for places in unwanted), default=0)
    depth = depth * 2 if max_per_advertiser else depth
    while len(waiting):
        depth = min(depth, num_eligible)
        if not depth:
            break
        places, scores = index.search_places(
            embeddings[waiting], depth, repeats=repeats.of_rows(waiting), eligible=allowed
        )
        unfinished = []
        for i, user in enumerate(waiting.tolist()):
            found = places[i] >= 0
            of_user = places[i][found]
            kept = ~np.isin(of_user, unwanted[user])
            if advertiser is not None and max_per_advertiser:
                kept &= _within(advertiser[of_user], kept, max_per_advertiser)
            chosen[user] = of_user[kept][:k], scores[i][found][kept][:k]
            if len(chosen[user][0]) < k and depth < num_eligible:
                unfinished.append(user)
        waiting, depth = np.array(unfinished, dtype=np.int64), depth * MAX_DEPTH_STEP
    lengths = np.array([len(pins) for pins, _ in chosen], dtype=np.int64)
    return Candidates(
        user=np.repeat(np.arange(users.num_rows), lengths),
        rank=np.concatenate([np.arange(1, n + 1) for n in lengths] or [_NONE]),
        pin=np.concatenate([pins for pins, _ in chosen] or [_NONE]),
        score=np.concatenate([of_user for _, of_user in chosen] or [_NO_SCORES]),
    )


_NONE = np.zeros(0, dtype=np.int64)
_NO_SCORES = np.zeros(0, dtype=np.float32)


def _within(advertiser: np.ndarray, kept: np.ndarray, limit: int) -> np.ndarray:
    """bool: of the kept Pins, in order, the first `limit` of each advertiser.

    A Pin without an advertiser (-1) is of none that could be full.

    >>> _within(np.array([1, 1, 2, 1, -1, -1]), np.array([True, False, True, True, True, True]), 1)
    array([ True, False,  True, False,  True,  True])
    """
    rows = np.flatnonzero(kept)
    codes = advertiser[rows]
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    first = np.searchsorted(ordered, ordered)
    nth = np.empty(len(rows), dtype=np.int64)
    nth[order] = np.arange(len(rows)) - first
    within = np.zeros(len(kept), dtype=bool)
    within[rows] = (nth < limit) | (codes < 0)
    return within


def _codes(advertisers: pa.ChunkedArray) -> np.ndarray:
    """A number for each advertiser, -1 for none."""
    if pa.types.is_null(advertisers.type):
        return np.full(len(advertisers), -1, dtype=np.int64)
    codes = advertisers.combine_chunks().dictionary_encode().indices
    return codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _places(index: LiveIndex, pins: Sequence[int | str] | None) -> np.ndarray:
    if not pins:
        return _NONE
    kind = index.lookup.ids.type
    places = index.lookup.find(pa.array(pins, kind), role="left out")
    return places[places >= 0]
