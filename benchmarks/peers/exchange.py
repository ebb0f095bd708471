"""What every peer is handed, and what it hands back: files of arrays, and the frame of its script.

A peer runs in an environment of its own, so this file needs NumPy alone. A script defines
`fit(data, settings) -> Fitted` and calls `run(fit)`; what is ranked, timed and written is the same
for all. What is right and what counts is decided by `bench_peers.py`, which keeps the targets.

Shape suffixes: P training positives, Q queries, N candidates, M items, L recent actions.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TOP = 1000
"""Candidates of each query that are written."""
NO_ITEM, FIRST_ITEM = 0, 2
"""Items 0 and 1 stand for no item and for one that nothing is known of."""
CONVERSION, ENGAGEMENT = 0, 1
SCORES_AT_A_TIME = 20_000_000


@dataclass(frozen=True)
class Rows:
    """The user side of training positives or queries.

    `number` is the row of the raw table, `user` is -1 for nobody, `time` in days, `context` codes
    of categories, `numeric` standardised, `subject` and `recent` (newest first, padded) items, 0
    for none; `recent_age` in days.
    """

    number: np.ndarray
    user: np.ndarray
    task: np.ndarray
    time: np.ndarray
    context: np.ndarray
    numeric: np.ndarray
    subject: np.ndarray
    recent: np.ndarray
    recent_age: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: np.ndarray) -> "Rows":
        """Some of the rows."""
        return Rows(**{name: values[rows] for name, values in vars(self).items()})

    def sources(self) -> np.ndarray:
        """[n, 1 + L]: the subject and the recent items."""
        return np.concatenate([self.subject[:, None], self.recent], axis=1)


@dataclass(frozen=True)
class Labels:
    """The Pin side of training positives: item, label weight, and the item's numbers then."""

    item: np.ndarray
    weight: np.ndarray
    numeric: np.ndarray


@dataclass(frozen=True)
class Items:
    """What does not change about M items: codes (0: missing), numbers, content."""

    pin: np.ndarray
    category: np.ndarray
    advertiser: np.ndarray
    numeric: np.ndarray
    content: np.ndarray


@dataclass(frozen=True)
class Candidates:
    """The items that are ranked at one time, their numbers then, and their popularity [2, N].

    `number` [] tells the sets of candidates apart; popularity is in [0, 1), one row per task.
    """

    number: np.ndarray
    item: np.ndarray
    numeric: np.ndarray
    popularity: np.ndarray


@dataclass(frozen=True)
class Data:
    """What a peer learns from."""

    train: Rows
    labels: Labels
    items: Items
    sizes: dict[str, Any]
    folder: Path

    @property
    def num_users(self) -> int:
        """Users among the training positives and the queries."""
        return self.sizes["users"]


Score = Callable[[Rows, Candidates], np.ndarray]
"""`(queries, candidates) -> scores [Q, N]`; higher is better."""


@dataclass(frozen=True)
class Fitted:
    """A score, and how many examples training saw: positives times epochs; None if it counts.

    `cpu_s` is the processor time of these alone, where `fit` does more: peers get their features
    encoded.
    """

    score: Score
    examples: int | None = None
    cpu_s: float | None = None


Fit = Callable[[Data, dict[str, Any]], Fitted]


def save(folder: Path, name: str, part: Any) -> None:
    """Write one of the dataclasses above."""
    np.savez(folder / f"{name}.npz", **vars(part))


def load(folder: Path, name: str, kind: type) -> Any:
    """Read one of the dataclasses above."""
    with np.load(folder / f"{name}.npz") as arrays:
        return kind(**{name: arrays[name] for name in arrays.files})


def over_popularity(
    learned: np.ndarray,
    queries: Rows,
    candidates: Candidates,
    *,
    known_Q: np.ndarray,
    known_N: np.ndarray,
) -> np.ndarray:
    """Scores of the known users and items above all others, which are in order of popularity."""
    scores = candidates.popularity[queries.task].astype(np.float32)
    rows, columns = np.flatnonzero(known_Q), np.flatnonzero(known_N)
    if len(rows) and len(columns):
        part = learned[np.ix_(rows, columns)]
        scores[np.ix_(rows, columns)] = part - part.min(axis=1, keepdims=True) + 2
    return scores


def top_candidates(scores: np.ndarray, *, order: np.ndarray) -> np.ndarray:
    """int32 [Q, TOP]: places of the best candidates, best first; ties broken by `order`."""
    if np.isnan(scores).any():
        raise ValueError("scores must not be NaN")
    shuffled = -scores[:, order]
    kept = min(TOP, shuffled.shape[1])
    part = np.argpartition(shuffled, kept - 1, axis=1)[:, :kept]
    part.sort(axis=1)
    best = np.take_along_axis(
        part, np.argsort(np.take_along_axis(shuffled, part, axis=1), axis=1, kind="stable"), axis=1
    )
    places = np.full((len(scores), TOP), -1, dtype=np.int32)
    places[:, :kept] = order[best]
    return places


def _peak_mb() -> float:
    """Most memory that this process has held. (`getrusage` begins with what its parent held.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def run(fit: Fit) -> None:
    """The frame of a peer's script: by setting fit, rank, write; a line of JSON for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path, help="a folder for the places: 0.npy, 1.npy, ...")
    parser.add_argument("settings", type=json.loads, nargs="+")
    options = parser.parse_args()
    folder = options.folder
    data = Data(
        train=load(folder, "train", Rows),
        labels=load(folder, "labels", Labels),
        items=load(folder, "items", Items),
        sizes=json.loads((folder / "sizes.json").read_text()),
        folder=folder,
    )
    for number, settings in enumerate(options.settings):
        started = time.process_time()
        fitted = fit(data, settings)
        cpu_s = time.process_time() - started if fitted.cpu_s is None else fitted.cpu_s
        peak_mb = _peak_mb()
        np.save(options.output / f"{number}.npy", rank(fitted.score, folder))
        took = {"cpu_s": round(cpu_s, 2), "peak_mb": round(peak_mb), "examples": fitted.examples}
        print(json.dumps(took), flush=True)


def rank(score: Score, folder: Path) -> np.ndarray:
    """int32 [Q, TOP]: places among its candidates of what is best for each query; -1: no more."""
    queries, asked_of = load(folder, "queries", Rows), np.load(folder / "asked_of.npy")
    top = np.full((len(queries), TOP), -1, dtype=np.int32)
    for number in np.unique(asked_of):
        candidates = load(folder, f"candidates_{number}", Candidates)
        order = np.random.default_rng(number).permutation(len(candidates.item))
        rows = np.flatnonzero(asked_of == number)
        for part in np.array_split(rows, 1 + len(rows) * len(order) // SCORES_AT_A_TIME):
            top[part] = top_candidates(score(queries.take(part), candidates), order=order)
    return top
