"""The course of a training: what follows from the log, and where in the training a step stands.

With `epochs: auto` a training has two stretches. It *searches*: on the older positives, at a rate
that stays, while the newest judge it every so often, until they have not found it better for a
while. It *finishes*: from the weights of the best look on, on all positives, at a rate that falls
to nothing. With a number of epochs there is no search. Nothing here knows of tensors.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from convcg_model.config import ModelConfig, TrainingConfig

MIN_AUTO_EPOCHS = 2.5
MAX_AUTO_EPOCHS = 40.0
LOOKS_PER_EPOCH = 4
MIN_STEPS_BETWEEN_LOOKS = 12
MIN_BATCH, MAX_BATCH = 64, 2048
STEPS_PER_EPOCH = 160
MIN_ID_DROPOUT, MAX_ID_DROPOUT = 0.1, 0.9
IDS_TRUSTED_FROM = 50
"""So many positives of a Pin say as much as all that is known of it besides."""


@dataclass
class Course:
    """Steps 0 to `search_steps - 1` at most are the search; `finish` steps after it.

    `curve` holds (steps done, score) of every look; `best_step` is the one to go on from: the first
    that no later one surpassed by more than chance.
    """

    search_steps: int
    finish_steps: int
    look_every: int
    patience: int
    finish_share: float
    curve: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0
    search_end: int | None = None
    direction_scale: float = 1.0
    """What the directions counted at the best look."""

    def is_search(self, step: int) -> bool:
        """Whether this step is one of the search."""
        return step < (self.search_steps if self.search_end is None else self.search_end)

    def is_look(self, steps_done: int) -> bool:
        """Whether the newest positives judge after so many steps."""
        if not self.is_search(steps_done - 1):
            return False
        return steps_done % self.look_every == 0 or steps_done == self.search_steps

    def look(
        self, steps_done: int, score: float, *, is_better: bool, direction_scale: float = 1.0
    ) -> bool:
        """Note a look; whether it ends the search, which then begins to finish."""
        self.curve.append((steps_done, score))
        if is_better:
            self.best_step, self.direction_scale = steps_done, direction_scale
        waited = sum(step > self.best_step for step, _ in self.curve)
        if waited < self.patience and steps_done < self.search_steps:
            return False
        self.search_end = steps_done
        self.finish_steps = max(1, round(self.finish_share * self.best_step))
        return True

    @property
    def total_steps(self) -> int:
        """Steps of the whole training, as far as can be said."""
        return (self.search_steps if self.search_end is None else self.search_end) + (
            self.finish_steps
        )

    def learning_rate(self, step: int, *, training: TrainingConfig) -> float:
        """Up in a line during the warm-up; in what is no search down in a line to a hundredth.

        The warm-up is a share of the search's longest, or of all steps where there is none.
        """
        if self.search_steps:
            warmup_steps = max(1, min(self.look_every, round(0.05 * self.search_steps)))
            first, length = self.total_steps - self.finish_steps, self.finish_steps
        else:
            warmup_steps = max(1, round(training.warmup_share * self.finish_steps))
            first, length = warmup_steps, max(1, self.finish_steps - warmup_steps)
        rising = (step + 1) / warmup_steps
        falling = 1 - 0.99 * max(0, step + 1 - first) / max(1, length)
        return training.learning_rate * min(rising, falling)

    def state(self) -> dict[str, Any]:
        """What changes while it runs, as JSON."""
        return {
            "curve": list(self.curve),
            "best_step": self.best_step,
            "search_end": self.search_end,
            "finish_steps": self.finish_steps,
            "direction_scale": self.direction_scale,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.curve = [(int(step), float(score)) for step, score in state["curve"]]
        self.best_step = state["best_step"]
        self.search_end, self.finish_steps = state["search_end"], state["finish_steps"]
        self.direction_scale = state["direction_scale"]


def plan_course(num_positives: int, *, num_searched: int, training: TrainingConfig) -> Course:
    """The course of a training on so many positives, of which `num_searched` are the older ones."""
    assert training.batch_size != "auto"
    per_epoch = max(1, round(num_positives / training.batch_size))
    if training.epochs != "auto" or num_searched == 0:
        epochs = 3 if training.epochs == "auto" else training.epochs
        return Course(0, epochs * per_epoch, 1, 1, 0.0, search_end=0)
    searched_per_epoch = max(1, round(num_searched / training.batch_size))
    epochs = min(MAX_AUTO_EPOCHS, max(MIN_AUTO_EPOCHS, training.max_auto_examples / num_searched))
    look_every = max(MIN_STEPS_BETWEEN_LOOKS, round(searched_per_epoch / LOOKS_PER_EPOCH))
    return Course(
        search_steps=max(look_every, round(epochs * searched_per_epoch)),
        finish_steps=0,
        look_every=look_every,
        patience=training.patience,
        finish_share=training.finish_share,
    )


def settle(
    config: ModelConfig, training: TrainingConfig, *, num_positives: int, pin_counts: list[int]
) -> tuple[ModelConfig, TrainingConfig]:
    """The configs with every `auto` but that of `epochs` made a number.

    `pin_counts` says how often each Pin was seen.
    - An id gets an embedding of its own as long as there are four positives for every one, or no
      more than a thousand ids.
    - The share of ids hidden is K / (K + r), K `IDS_TRUSTED_FROM`, of r positives for each Pin: how
      much of a mean of r observations is left to the prior (credibility, Buehlmann 1967). Few
      positives leave an id little to say, and what it learns is noise.
    - A batch is a power of two that makes about `STEPS_PER_EPOCH` steps an epoch, from `MIN_BATCH`
      to `MAX_BATCH`: a small log needs the steps, a large one the speed.

    >>> config, training = settle(
    ...     ModelConfig(), TrainingConfig(), num_positives=600_000, pin_counts=[60] * 10_000
    ... )
    >>> config.min_pin_count, config.id_dropout, training.batch_size
    (1, 0.45, 2048)
    """
    if config.min_pin_count == "auto":
        most = max(1_000, num_positives // 4)
        counts = sorted(pin_counts, reverse=True)
        least = 1 if len(counts) <= most else counts[most] + 1
        config = config.model_copy(update={"min_pin_count": least})
    if config.id_dropout == "auto":
        per_pin = num_positives / max(1, len(pin_counts))
        hidden = IDS_TRUSTED_FROM / (IDS_TRUSTED_FROM + per_pin)
        hidden = round(min(MAX_ID_DROPOUT, max(MIN_ID_DROPOUT, hidden)), 2)
        config = config.model_copy(update={"id_dropout": hidden})
    if training.batch_size == "auto":
        size = 2 ** round(math.log2(max(1, num_positives / STEPS_PER_EPOCH)))
        size = min(MAX_BATCH, max(MIN_BATCH, size))
        training = training.model_copy(update={"batch_size": size})
    if training.hard_negatives_per_batch == "auto":
        assert training.batch_size != "auto"
        number = training.batch_size // 4
        training = training.model_copy(update={"hard_negatives_per_batch": number})
    return config, training
