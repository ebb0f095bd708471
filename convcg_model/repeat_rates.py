"""How often people take again what they acted on, counted: where the gains of repeats start from.

A small log has too few steps to find it out by gradients.
"""

from dataclasses import dataclass

import numpy as np

from convcg_model.training_set import TrainingSet

MAX_COUNTED = 100_000
PSEUDO_REPEATS = 1.0


@dataclass(frozen=True)
class RepeatRates:
    """Gains in logits: of a recent Pin, and of the subject Pin, over any other Pin."""

    recent: float
    subject: float


def count_repeats(data: TrainingSet, *, seed: int) -> RepeatRates:
    """The gains that repeats have beside a model that knows nothing else.

    If a share q of the positives is on one of h recent Pins, each has the probability q / h, where
    one of N Pins has 1 / N: a gain of log(q N / h). Counted on at most `MAX_COUNTED` positives,
    with one pseudo-repeat.
    """
    generator = np.random.default_rng([seed, 4])
    rows = generator.permutation(data.positive)[:MAX_COUNTED]
    num_pins = len(np.unique(data.pins.row[data.positive]))
    starts = data.users.recent_starts
    lengths = starts[rows + 1] - starts[rows]
    row = np.repeat(np.arange(len(rows)), lengths)
    within = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    recent = data.users.recent[np.repeat(starts[rows], lengths) + within]
    pairs = np.unique(np.stack([row, recent], axis=1), axis=0)
    repeats = int((pairs[:, 1] == data.pins.row[rows][pairs[:, 0]]).sum())
    subject = data.users.subject[rows]
    with_subject = int((subject > 0).sum())
    of_subject = int((subject == data.pins.row[rows]).sum())
    return RepeatRates(
        recent=_gain(repeats, len(pairs), num_pins),
        subject=_gain(of_subject, with_subject, num_pins),
    )


def _gain(repeats: int, chances: int, num_pins: int) -> float:
    return float(np.log((repeats + PSEUDO_REPEATS) / (chances + num_pins) * num_pins))
