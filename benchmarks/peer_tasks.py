"""What the peers of `bench_peers.py` are handed, written from the tables of a deployment.

Two tasks a log. `search`: the older training positives, and some of the newest as queries: the
same days, candidates and weights by which the package chooses how long to train. `final`: all
training positives, and the held-out positives as queries, as in every report. The features are
encoded once and are the same for all (`peers/exchange.py`). Targets stay here.
"""

import json
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.peers.exchange import Candidates, Items, Labels, Rows, save
from convcg_model.arrow_columns import as_flat_lists, as_floats, table_column
from convcg_model.catalogue import Catalogue
from convcg_model.config import ModelConfig, TaskWeights, TrainingConfig
from convcg_model.course import settle
from convcg_model.encoding import EncodedUsers, encode_pins, encode_users
from convcg_model.evaluation.baselines import popularity_levels
from convcg_model.evaluation.evaluate import choose_queries, held_out, snapshots_of
from convcg_model.evaluation.result import EvaluationConfig
from convcg_model.evaluation.scorers import query_side, rows_of
from convcg_model.features import FeatureSpec, count_pins
from convcg_model.training_set import (
    TASKS,
    TrainingSet,
    count_positives,
    fit_catalogue_and_features,
    select_split,
    training_set,
)
from convcg_model.validation import (
    MICROSECONDS_PER_DAY,
    evidence_times,
    hold_out_newest,
    impression_times,
)

MAX_RECENT = ModelConfig().max_recent_actions


@dataclass(frozen=True)
class Task:
    """A folder for the peers, and what they are not told: each query's target among its candidates
    (-1: not among them), and what a query counts.
    """

    folder: Path
    target: np.ndarray
    weight: np.ndarray


def write_tasks(
    folder: Path,
    examples: pa.Table,
    pins: pa.Table,
    *,
    first_day: date,
    max_queries: int,
    search_queries: int,
) -> tuple[Task, Task, pa.Table]:
    """`search`, `final` and the held-out queries as a table.

    Of each of the two tasks there are at most `max_queries`, in `search` `search_queries`.
    """
    train = select_split(examples)
    seen = count_pins(train)["count"].to_pylist()
    config, training = settle(
        ModelConfig(), TrainingConfig(), num_positives=count_positives(train), pin_counts=seen
    )
    static, spec = fit_catalogue_and_features(train, pins, config=config, first_day=first_day)
    # Task weights are the towers' own affair: peers get the labels' weights.
    data = training_set(train, static, spec, task_weights=TaskWeights(conversion=1, engagement=1))
    users = _Users(examples)
    training = training.model_copy(update={"max_validation_queries": search_queries})
    validation = hold_out_newest(train, data, training=training)
    if validation is None:
        raise ValueError("the training positives have one time: there is nothing to choose by")
    known = validation.known

    # Search
    search = folder / "search"
    _write_train(search, train, known, spec=spec, users=users)
    queries = _user_side(
        train,
        known.users,
        validation.query_V,
        catalogue=data.catalogue,
        task=_tasks(data, validation.query_V),
        users=users,
    )
    popularity = np.stack([_counted(known, task) for task in range(len(TASKS))])
    rows = validation.candidate_C
    candidates = Candidates(
        number=np.array(0),
        item=data.pins.row[rows],
        numeric=data.pins.numeric[rows],
        popularity=popularity[:, data.pins.row[rows]],
    )
    save(search, "candidates_0", candidates)
    _write_queries(search, queries, asked_of=np.zeros(len(queries), dtype=int))
    _write_shared(search, validation.data.catalogue, spec=spec, users=users, first_day=first_day)
    _write_stream(search, train, data)

    # Final
    final = folder / "final"
    _write_train(final, train, data, spec=spec, users=users)
    asked = choose_queries(held_out(examples), config=EvaluationConfig(max_queries=max_queries))
    snapshots = snapshots_of(pins, days=sorted(asked["example_day"].unique().to_pylist()))
    target = np.full(asked.num_rows, -1)
    asked_of = np.zeros(asked.num_rows, dtype=int)
    day_Q = np.array(asked["example_day"].to_pylist())
    for number, (day, of_day) in enumerate(snapshots.items()):
        encoded = encode_pins(of_day, spec, data.catalogue)
        levels = np.stack([popularity_levels(of_day, task=task) for task in TASKS])
        candidates = Candidates(
            number=np.array(number), item=encoded.row, numeric=encoded.numeric, popularity=levels
        )
        save(final, f"candidates_{number}", candidates)
        pq.write_table(of_day, final / f"raw_pins_{number}.parquet")
        rows = np.flatnonzero(day_Q == day)
        asked_of[rows] = number
        target[rows] = rows_of(asked["pin_id"].take(rows), among=of_day["pin_id"])
    encoded_users = encode_users(asked, spec, data.catalogue)
    task = np.array([TASKS.index(name) for name in asked["task"].to_pylist()])
    everything = np.arange(asked.num_rows)
    queries = _user_side(
        asked, encoded_users, everything, catalogue=data.catalogue, task=task, users=users
    )
    _write_queries(final, queries, asked_of=asked_of)
    _write_shared(
        final,
        data.catalogue,
        spec=spec,
        users=users,
        first_day=first_day,
        snapshots=len(snapshots),
    )
    positives = examples.filter(pc.invert(examples["is_negative"]))
    whole = training_set(
        positives,
        static,
        spec,
        task_weights=TaskWeights(conversion=1, engagement=1),
    )
    _write_stream(final, positives, whole)
    pq.write_table(train, final / "raw_train.parquet")
    pq.write_table(query_side(asked), final / "raw_queries.parquet")
    return (
        Task(search, validation.target_V, validation.weight_V),
        Task(final, target, np.ones(asked.num_rows)),
        asked,
    )


class _Users:
    """Users of all examples by number, so that none is told from another by the split."""

    def __init__(self, examples: pa.Table):
        self.ids = examples["user_id"].drop_null().unique().sort()

    def number(self, rows: pa.Table) -> np.ndarray:
        return rows_of(rows["user_id"], among=self.ids).astype(np.int32)


def _tasks(data: TrainingSet, rows: np.ndarray) -> np.ndarray:
    """Task of each query, which is a row of the examples.

    A row is one positive, so that its place among them tells its task.
    """
    order = np.argsort(data.positive)
    return data.task[order][np.searchsorted(data.positive[order], rows)]


def _user_side(
    table: pa.Table,
    encoded: EncodedUsers,
    rows: np.ndarray,
    *,
    catalogue: Catalogue,
    task: np.ndarray,
    users: _Users,
) -> Rows:
    recent, recent_age = _histories(table.take(rows), catalogue)
    subject = table_column(table, "subject_pin_id", role="queries")
    context = np.zeros((len(rows), 0), dtype=np.int32)
    if encoded.categorical:
        context = np.stack([codes[rows] for codes in encoded.categorical.values()], axis=1)
    return Rows(
        number=rows,
        user=users.number(table)[rows],
        task=task.astype(np.int8),
        time=impression_times(table)[rows] / MICROSECONDS_PER_DAY,
        context=context,
        numeric=encoded.numeric[rows],
        subject=catalogue.rows(subject, role="queries, subject_pin_id")[rows],
        recent=recent,
        recent_age=recent_age,
    )


def _histories(table: pa.Table, catalogue: Catalogue) -> tuple[np.ndarray, np.ndarray]:
    """Items [n, L] and ages of the recent actions, newest first, 0 behind them.

    Told even where the training rows have none, which leaves histories out of the towers' features.
    """
    names = ("user_recent_pin_ids", "user_recent_age_days")
    (pins, lengths), (ages, _) = (
        as_flat_lists(table_column(table, name, role="queries")) for name in names
    )
    row = np.repeat(np.arange(table.num_rows), lengths)
    place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    read = place < MAX_RECENT
    items = np.zeros((table.num_rows, MAX_RECENT), dtype=np.int32)
    age = np.zeros((table.num_rows, MAX_RECENT), dtype=np.float32)
    if len(row):
        items[row[read], place[read]] = catalogue.rows(pins, role=f"queries, {names[0]}")[read]
        age[row[read], place[read]] = np.nan_to_num(as_floats(ages))[read]
    return items, age


def _label_weights(table: pa.Table, rows: np.ndarray) -> np.ndarray:
    return as_floats(table["weight"].combine_chunks())[rows].astype(np.float32)


def _write_train(
    folder: Path, table: pa.Table, data: TrainingSet, *, spec: FeatureSpec, users: _Users
) -> None:
    folder.mkdir(parents=True)
    rows = data.positive
    sides = {"catalogue": data.catalogue, "task": data.task, "users": users}
    save(folder, "train", _user_side(table, data.users, rows, **sides))
    labels = Labels(
        item=data.pins.row[rows],
        weight=_label_weights(table, rows),
        numeric=data.pins.numeric[rows],
    )
    save(folder, "labels", labels)


def _write_queries(folder: Path, queries: Rows, *, asked_of: np.ndarray) -> None:
    save(folder, "queries", replace(queries, number=np.arange(len(queries))))
    np.save(folder / "asked_of.npy", asked_of)


def _write_shared(
    folder: Path,
    catalogue: Catalogue,
    *,
    spec: FeatureSpec,
    users: _Users,
    first_day: date,
    snapshots: int = 1,
) -> None:
    items = Items(
        pin=catalogue.pin,
        category=catalogue.category,
        advertiser=catalogue.advertiser,
        numeric=catalogue.numeric,
        content=catalogue.content,
    )
    save(folder, "items", items)
    sizes = {
        "users": len(users.ids),
        "context": [vocabulary.size for vocabulary in spec.context.values()],
        "snapshots": snapshots,
        "first_day": str(first_day),
    }
    (folder / "sizes.json").write_text(json.dumps(sizes))


def _write_stream(folder: Path, table: pa.Table, data: TrainingSet) -> None:
    """When each positive could be counted, for who counts up to the moment of a query.

    Of evidence its day alone is told: of a later day than the impression it counts from the end
    of that day on.
    """
    rows = data.positive
    shown = impression_times(table)
    evidence = evidence_times(table, shown)
    later = evidence > shown
    arrived = np.where(later, evidence + MICROSECONDS_PER_DAY, shown)[rows]
    np.savez(
        folder / "stream.npz",
        time=arrived / MICROSECONDS_PER_DAY,
        item=data.pins.row[rows],
        task=data.task,
        weight=_label_weights(table, rows),
    )


def _counted(known: TrainingSet, task: int) -> np.ndarray:
    """Popularity of every item as known before the newest positives, in [0, 1)."""
    rows = known.positive[known.task == task]
    count = np.bincount(known.pins.row[rows], minlength=len(known.catalogue.pin))
    values, place = np.unique(count, return_inverse=True)
    return place / len(values)
