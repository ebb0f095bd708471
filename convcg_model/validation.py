"""The newest training days as judges of the older ones: what is held apart, and how it judges.

The holdout of the evaluation has no part in it. Shape suffixes: see `batches.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch

from convcg_model.arrow_columns import table_column
from convcg_model.config import TrainingConfig
from convcg_model.encoding import pin_batch, user_batch
from convcg_model.repeat_score import find_mentions
from convcg_model.towers import TwoTower
from convcg_model.training_set import TASKS, TrainingSet
from convcg_model.vocabulary import FIRST_KNOWN, UNKNOWN

MICROSECONDS_PER_DAY = 86_400 * 10**6
PINS_PER_PASS = 2048
QUERIES_PER_PASS = 64
"""So few that the scores of a pass stay in a processor's cache."""
SCALES = (1.0, 0.8, 0.65, 0.5, 0.35, 0.2, 0.1, 0.0)
"""What `direction_scale` is chosen among."""
NOISE = 0.5
"""So many standard errors a look must gain to be better."""
ENOUGH_CONVERSIONS = 1_000
"""So many conversions judge alone; fewer share with the engagements in proportion."""


@dataclass(frozen=True)
class Validation:
    """V queries (rows of the encoded examples) ranked among C Pins, each as of one row.

    `known` is what was known before them; `target_V` points into `candidate_C`. Ids that `known`
    does not hold are unknown in `data`, whatever the vocabulary of the whole training says.
    """

    known: TrainingSet
    data: TrainingSet
    query_V: np.ndarray
    target_V: np.ndarray
    weight_V: np.ndarray
    candidate_C: np.ndarray
    new_share: float


def split_time(examples: pa.Table, positive: np.ndarray, *, share: float) -> int | None:
    """Microseconds at which the newest `share` of the positives begins; None if nothing is before.

    The start of a day where there are at least three days, else the time itself.
    """
    ts = impression_times(examples)[positive]
    days = np.unique(ts // MICROSECONDS_PER_DAY)
    cut = int(np.quantile(ts, 1 - share, method="lower"))
    if len(days) >= 3:
        day = max(cut // MICROSECONDS_PER_DAY, int(days[1]))
        cut = int(day * MICROSECONDS_PER_DAY)
    return cut if 0 < (ts < cut).sum() < len(ts) else None


def impression_times(examples: pa.Table) -> np.ndarray:
    """int64 [n]: `impression_ts` in microseconds."""
    column = table_column(examples, "impression_ts", role="training examples")
    return column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False)


def hold_out_newest(
    examples: pa.Table, data: TrainingSet, *, training: TrainingConfig
) -> Validation | None:
    """The validation of a training set; None where its positives cannot be told apart by time."""
    cut = split_time(examples, data.positive, share=training.validation_share)
    if cut is None:
        return None
    ts = impression_times(examples)
    before = (ts < cut) & (evidence_times(examples, ts) < cut)
    known = data.subset(before)
    if not len(known.positive):
        return None

    # Candidates: the Pins of all rows, each as of its newest row of those that are known, else as
    # of its first row after
    rows = np.concatenate([data.positive, data.negative])
    age = np.where(before[rows], cut - ts[rows], ts[rows] - cut)
    in_order = np.arange(len(rows))
    order = np.lexsort((in_order, age, ~before[rows], data.pins.row[rows]))
    pins, first = np.unique(data.pins.row[rows][order], return_index=True)
    candidate_C = rows[order][first]

    # Queries, at most so many of a task
    generator = np.random.default_rng([training.seed, 3])
    queries, weights = [], []
    newest = ts[data.positive] >= cut
    numbers = [int((newest & (data.task == index)).sum()) for index in range(len(TASKS))]
    conversion_share = min(1.0, numbers[0] / ENOUGH_CONVERSIONS) if numbers[1] else 1.0
    shares = (conversion_share, 1 - conversion_share)
    for index, share in enumerate(shares):
        of_task = data.positive[newest & (data.task == index)]
        taken = min(len(of_task), training.max_validation_queries)
        if taken and share > 0:
            queries.append(generator.permutation(of_task)[:taken])
            weights.append(np.full(taken, share / taken))
    query_V = np.concatenate(queries)
    target_V = np.searchsorted(pins, data.pins.row[query_V])
    if len(pins) > training.max_validation_pins:
        others = generator.permutation(len(pins))[: training.max_validation_pins]
        kept = np.union1d(others, target_V)
        candidate_C, target_V = candidate_C[kept], np.searchsorted(kept, target_V)

    unknown = ~known.mentioned_pins()
    pin = np.where(unknown & (data.catalogue.pin >= FIRST_KNOWN), UNKNOWN, data.catalogue.pin)
    return Validation(
        known=known,
        data=replace(data, catalogue=replace(data.catalogue, pin=pin.astype("i4"))),
        query_V=query_V,
        target_V=target_V,
        weight_V=np.concatenate(weights),
        candidate_C=candidate_C,
        new_share=float(unknown[data.pins.row[data.positive[newest]]].mean()),
    )


def validation_gains(
    network: TwoTower, validation: Validation, *, scales: Sequence[float] = (1.0,)
) -> np.ndarray:
    """float64 [S, V]: 1 / log2(1 + rank) of every query, NDCG without a cut, in (0, 1].

    By each scale that the directions are multiplied with. Ties share the mean rank. Unlike recall
    at some k it sees every move of a rank.
    """
    data, device = validation.data, next(network.parameters()).device
    network.eval()
    gains = []
    with torch.inference_mode():
        pin_CD = torch.cat(
            [
                network.embed_pins(pin_batch(data.pins, data.catalogue, rows).to(device))
                for rows in _passes(validation.candidate_C, PINS_PER_PASS)
            ]
        )
        pin_row_C = torch.from_numpy(data.pins.row[validation.candidate_C].astype(np.int64))
        pin_row_C = pin_row_C.to(device)
        targets = iter(_passes(validation.target_V, QUERIES_PER_PASS))
        for rows in _passes(validation.query_V, QUERIES_PER_PASS):
            batch = user_batch(data.users, data.catalogue, rows).to(device)
            direction_VC, prior_C = network.score_parts(network.embed_users(batch), pin_CD)
            gain_VP = network.repeat_gain(batch)
            rest_VC = prior_C.expand_as(direction_VC)
            if gain_VP is not None:
                rest_VC = find_mentions(batch, pin_row_N=pin_row_C).spread(gain_VP).add_(prior_C)
            target_V1 = torch.from_numpy(next(targets)).to(device).unsqueeze(1)
            of_scales = []
            for scale in scales:
                score_VC = torch.add(rest_VC, direction_VC, alpha=scale)
                # Pins above less Pins below: ties, the target among them, count nothing.
                balance_V = score_VC.sub_(score_VC.gather(1, target_V1)).sign_().sum(dim=1)
                rank_V = (balance_V + score_VC.shape[1] + 1) / 2
                of_scales.append((1 / torch.log2(1 + rank_V)).cpu().numpy())
            gains.append(np.stack(of_scales))
    network.train()
    return np.concatenate(gains, axis=1).astype(np.float64)


def choose_scale(gains_SV: np.ndarray, *, weight_V: np.ndarray) -> int:
    """The scale of the highest mean, where it is better than the first by more than chance.

    >>> choose_scale(np.array([[0.4, 0.4], [0.6, 0.5]]), weight_V=np.array([0.5, 0.5]))
    1
    >>> choose_scale(np.array([[0.4, 0.4], [0.9, 0.0]]), weight_V=np.array([0.5, 0.5]))
    0
    """
    best = int(np.argmax(gains_SV @ weight_V))
    return best if is_better(gains_SV[best], than=gains_SV[0], weight_V=weight_V) else 0


def is_better(gains: np.ndarray, *, than: np.ndarray | None, weight_V: np.ndarray) -> bool:
    """Whether the weighted mean is higher by more than half the difference's standard error.

    As in the one-standard-error rule (Breiman et al. 1984) the earliest of looks that chance could
    have put in any order is kept, which has fitted the older days least; half, because a search
    that stops too soon loses as well.

    >>> is_better(np.array([0.6, 0.4]), than=np.array([0.5, 0.3]), weight_V=np.array([0.5, 0.5]))
    True
    >>> is_better(np.array([0.9, 0.1]), than=np.array([0.5, 0.3]), weight_V=np.array([0.5, 0.5]))
    False
    """
    if than is None:
        return True
    difference = gains - than
    mean = float(difference @ weight_V)
    error = float(np.sqrt(np.square(weight_V) @ np.square(difference - mean)))
    return mean > NOISE * error


def _passes(rows: np.ndarray, most: int) -> list[np.ndarray]:
    return np.array_split(rows, max(1, -(-len(rows) // most)))


def evidence_times(examples: pa.Table, ts: np.ndarray) -> np.ndarray:
    """When a row's evidence had arrived: `evidence_dt`, where it is told, else the impression."""
    if "evidence_dt" not in examples.column_names:
        return ts
    days = table_column(examples, "evidence_dt", role="training examples")
    days = days.cast(pa.int32()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(days), np.nan_to_num(days) * MICROSECONDS_PER_DAY, ts)
