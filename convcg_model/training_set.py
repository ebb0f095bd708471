"""Training examples made ready for the loop: encoded, ordered, weighted, with their lookups."""

import hashlib
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convcg_model.arrow_columns import PART_ROWS, as_floats, id_kind, table_column
from convcg_model.catalogue import Catalogue, encode_catalogue, example_pins, static_pins
from convcg_model.config import ModelConfig, TaskWeights
from convcg_model.encoding import EncodedPins, EncodedUsers, encode_pins, encode_users
from convcg_model.features import FeatureSpec, fit_features, pin_columns
from convcg_model.positives import PositivePairs, positive_pairs
from convcg_model.sampling import HardNegativePool, hard_negative_pool, sampling_probability

ROLE = "training examples"
TASKS = ("conversion", "engagement")


@dataclass(frozen=True)
class TrainingSet:
    """P positives and the hard negatives of one training.

    `positive` and `negative` are rows of the encoded examples; `task`, `weight` (with the task
    weights in it) and `probability` are the positives'.
    """

    users: EncodedUsers
    pins: EncodedPins
    catalogue: Catalogue
    user: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    task: np.ndarray
    weight: np.ndarray
    probability: np.ndarray
    pairs: PositivePairs
    pool: HardNegativePool

    def subset(self, kept: np.ndarray) -> "TrainingSet":
        """The set of the examples for which `kept` [n] is true; they keep their row numbers."""
        positive, negative = self.positive[kept[self.positive]], self.negative[kept[self.negative]]
        of_kept = kept[self.positive]
        num_users = len(self.pairs.starts) - 1
        return replace(
            self,
            positive=positive,
            negative=negative,
            task=self.task[of_kept],
            weight=self.weight[of_kept],
            probability=sampling_probability(self.pins.row[positive]),
            pairs=positive_pairs(self.user[positive], self.pins.row[positive], num_users=num_users),
            pool=hard_negative_pool(self.user[negative], num_users=num_users),
        )

    def mentioned_pins(self) -> np.ndarray:
        """bool [M]: the catalogue rows that the examples, their histories and subjects name."""
        rows = np.concatenate([self.positive, self.negative])
        mentioned = np.zeros(len(self.catalogue.pin), dtype=bool)
        mentioned[self.pins.row[rows]] = True
        mentioned[self.users.subject[rows]] = True
        is_read = np.zeros(len(self.user), dtype=bool)
        is_read[rows] = True
        starts = self.users.recent_starts
        for first in range(0, len(is_read), PART_ROWS):
            last = min(first + PART_ROWS, len(is_read))
            kept = np.repeat(is_read[first:last], np.diff(starts[first : last + 1]))
            mentioned[self.users.recent[starts[first] : starts[last]][kept]] = True
        return mentioned

    def digest(self) -> str:
        """SHA-256 of what decides the training's course beside configs and feature spec."""
        digest = hashlib.sha256()
        for values in (self.positive, self.negative, self.task, self.weight, self.pins.row):
            digest.update(np.ascontiguousarray(values).tobytes())
        for values in (self.users.numeric, self.pins.numeric, self.users.recent, self.users.token):
            for first in range(0, len(values), PART_ROWS):
                digest.update(np.ascontiguousarray(values[first : first + PART_ROWS]).tobytes())
        digest.update(self.catalogue.content.tobytes())
        return digest.hexdigest()


def select_split(examples: pa.Table, split: str = "train") -> pa.Table:
    """The rows of one split of a table of training examples."""
    table_column(examples, "split", role=ROLE)
    return examples.filter(pc.equal(examples["split"], split))


def count_positives(examples: pa.Table) -> int:
    """Rows that are no negatives."""
    negative = table_column(examples, "is_negative", role=ROLE).cast(pa.bool_())
    return examples.num_rows - (pc.sum(negative).as_py() or 0)


def fit_catalogue_and_features(
    examples: pa.Table,
    catalogue: pa.Table,
    *,
    config: ModelConfig,
    first_day: date | None = None,
) -> tuple[pa.Table, FeatureSpec]:
    """The static table of every Pin of the catalogue or the examples, and the feature spec."""
    kinds = {}
    for name in ("pin_id", "advertiser_id"):
        columns = [table_column(catalogue, name, role="catalogue")]
        columns.append(table_column(examples, name, role=ROLE))
        # A column of type null says nothing about the kind of its ids.
        kinds[name] = next((id_kind(c) for c in columns if not pa.types.is_null(c.type)), "string")
    static = static_pins(
        catalogue,
        *example_pins(examples),
        pin_id_kind=kinds["pin_id"],
        advertiser_id_kind=kinds["advertiser_id"],
    )
    return static, fit_features(examples, static, config=config, first_day=first_day)


def training_set(
    examples: pa.Table,
    static: pa.Table,
    spec: FeatureSpec,
    *,
    task_weights: TaskWeights,
    folder: Path | None = None,
) -> TrainingSet:
    """The examples encoded, positives and negatives ordered by (impression, task, Pin).

    With a `folder` what grows with features and histories is kept in files of it, and read from
    there batch by batch; in memory stay some 100 bytes of an example.
    """
    order, is_negative, task = _ordered_rows(examples)
    positive, negative = order[~is_negative[order]], order[is_negative[order]]
    if not len(positive):
        raise ValueError(
            f"{ROLE}: no positives among {examples.num_rows} rows (rows of a task, "
            "with is_negative false); there is nothing to learn from"
        )
    weight = _positive_weights(examples, positive, task[positive], task_weights=task_weights)
    catalogue = encode_catalogue(static, spec, role="catalogue")
    user, num_users = _user_numbers(examples, order)
    of_users, of_pins = (folder / "users", folder / "pins") if folder else (None, None)
    pins = encode_pins(pin_columns(examples), spec, catalogue, role=ROLE, folder=of_pins)
    return TrainingSet(
        users=encode_users(examples, spec, catalogue, role=ROLE, folder=of_users),
        pins=pins,
        catalogue=catalogue,
        user=user,
        positive=positive,
        negative=negative,
        task=task[positive],
        weight=weight,
        probability=sampling_probability(pins.row[positive]),
        pairs=positive_pairs(user[positive], pins.row[positive], num_users=num_users),
        pool=hard_negative_pool(user[negative], num_users=num_users),
    )


def _ordered_rows(examples: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row order that does not depend on the table's, is_negative, and task as index (-1: none)."""
    columns = {
        name: table_column(examples, name, role=ROLE)
        for name in ("impression_id", "task", "pin_id", "is_negative")
    }
    order = pc.sort_indices(pa.table(columns), sort_keys=[(name, "ascending") for name in columns])
    is_negative = pc.fill_null(columns["is_negative"].cast(pa.bool_()), False)
    task = pc.fill_null(
        pc.index_in(columns["task"].cast(pa.string()), value_set=pa.array(TASKS)), -1
    ).to_numpy()
    is_negative = is_negative.to_numpy(zero_copy_only=False)
    unclear = np.flatnonzero(~is_negative & (task < 0))
    if len(unclear):
        row = int(unclear[0])
        raise ValueError(
            f"{ROLE}: {len(unclear)} rows are neither negatives nor of a task, the first in row "
            f"{row} with task {columns['task'][row].as_py()!r}; tasks are {', '.join(TASKS)}"
        )
    return order.to_numpy(), is_negative, task


def _positive_weights(
    examples: pa.Table, positive: np.ndarray, task: np.ndarray, *, task_weights: TaskWeights
) -> np.ndarray:
    """float32 [P]: label weights, scaled so that the mean over positives is the sum of the task
    weights, each task having its own share whatever the number and weight of its labels.
    """
    label_weight = as_floats(table_column(examples, "weight", role=ROLE))[positive]
    wrong = np.flatnonzero(~(np.isfinite(label_weight) & (label_weight >= 0)))
    if len(wrong):
        value, impression = label_weight[wrong[0]], examples["impression_id"][positive[wrong[0]]]
        raise ValueError(
            f"{ROLE}: {len(wrong)} positives have a weight that is null, negative or not finite, "
            f"the first {value} at impression {impression}"
        )
    weight = np.zeros(len(positive))
    for index, name in enumerate(TASKS):
        of_task = task == index
        total = np.sort(label_weight[of_task]).sum()
        if total > 0:
            share = getattr(task_weights, name) * len(positive) / total
            weight[of_task] = label_weight[of_task] * share
    if not weight.any():
        raise ValueError(f"{ROLE}: all positives have weight 0, by label or by task weight")
    return weight.astype(np.float32)


def _user_numbers(examples: pa.Table, order: np.ndarray) -> tuple[np.ndarray, int]:
    """int64 [n]: users numbered as they come in `order`; a row without a user is one of its own."""
    encoded = table_column(examples, "user_id", role=ROLE).take(order).dictionary_encode()
    known = len(encoded.dictionary)
    in_order = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy().copy()
    nobody = in_order < 0
    in_order[nobody] = known + np.arange(nobody.sum())
    number = np.empty_like(in_order)
    number[order] = in_order
    return number, known + int(nobody.sum())
