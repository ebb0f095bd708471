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

DEPTH_STEP = 4
"""Where too few Pins are left of those found, so many times as deep is searched."""
MAX_CELLS = 2**20
"""Pins found at a time, users x depth: what bounds the memory of a search."""


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

    A first look is the index's own. Users to whom it does not give k Pins of a full row are
    searched exactly, each as deep as it takes, for an approximate index knows no more of a user
    than the breadth that it was tuned for.
    """
    embeddings, repeats = tower.embed_with_repeats(tower.encode(users))
    allowed = as_eligible(eligible)
    num = index.pins.num_rows if allowed is None else allowed.num
    limits = None
    if max_per_advertiser:
        limits = _Limits(_codes(index.pins["advertiser_id"]), allowed, max_per_advertiser)
    unwanted = [_places(index, pins) for pins in left_out]
    chosen: list[tuple[np.ndarray, np.ndarray]] = [(_NONE, _NO_SCORES)] * users.num_rows
    waiting = np.arange(users.num_rows)
    depth = k + min(k, k if limits else max(map(len, unwanted), default=0))
    exact = False
    while len(waiting) and num:
        depth = min(depth, num)
        unfinished = []
        for rows in np.split(waiting, np.arange(0, len(waiting), max(1, MAX_CELLS // depth))[1:]):
            places, scores = index.search_places(
                embeddings[rows],
                depth,
                repeats=repeats.of_rows(rows),
                eligible=allowed,
                exact=exact,
            )
            for user, of_user, score in zip(rows.tolist(), places, scores, strict=True):
                found = of_user >= 0
                kept = found & ~np.isin(of_user, unwanted[user])
                if limits is not None:
                    kept &= limits.within(of_user, kept)
                chosen[user] = of_user[kept][:k], score[kept][:k]
                if len(chosen[user][0]) == k and found.all():
                    continue
                most = k if limits is None else min(k, limits.most(unwanted[user]))
                all_seen = depth == num or not found.all() or len(chosen[user][0]) == most
                if not (exact and all_seen):
                    unfinished.append(user)
        waiting = np.array(unfinished, dtype=np.int64)
        depth, exact = depth * DEPTH_STEP, True
    lengths = np.array([len(pins) for pins, _ in chosen], dtype=np.int64)
    return Candidates(
        user=np.repeat(np.arange(users.num_rows), lengths),
        rank=np.concatenate([np.arange(1, n + 1) for n in lengths] or [_NONE]),
        pin=np.concatenate([pins for pins, _ in chosen] or [_NONE]),
        score=np.concatenate([of_user for _, of_user in chosen] or [_NO_SCORES]),
    )


class _Limits:
    """At most `limit` Pins of an advertiser; `codes` [N] has a number for each, -1 for none."""

    def __init__(self, codes: np.ndarray, allowed: Eligible | None, limit: int) -> None:
        self.codes = codes
        self.limit = limit
        self._allowed = None if allowed is None else allowed.mask
        of_allowed = codes if allowed is None else codes[allowed.mask]
        self._counts = np.bincount(of_allowed + 1, minlength=int(codes.max(initial=-1)) + 2)
        self._most = self._under_limit(self._counts).sum()

    def within(self, pins: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """bool: which of a user's Pins, best first, are within the limit."""
        return _within(self.codes[pins], kept, self.limit)

    def most(self, unwanted: np.ndarray) -> int:
        """At most so many Pins can a user be given to whom the unwanted ones are not shown."""
        if self._allowed is not None:
            unwanted = unwanted[self._allowed[unwanted]]
        own, num = np.unique(self.codes[np.unique(unwanted)] + 1, return_counts=True)
        before = self._under_limit(self._counts[own], first=own == 0)
        after = self._under_limit(self._counts[own] - num, first=own == 0)
        return int(self._most - (before - after).sum())

    def _under_limit(self, counts: np.ndarray, first: np.ndarray | None = None) -> np.ndarray:
        """Of each advertiser; the first number is of Pins without one, which no limit holds for."""
        free = np.arange(len(counts)) == 0 if first is None else first
        return np.where(free, counts, np.minimum(counts, self.limit))


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
