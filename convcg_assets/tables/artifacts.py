"""What is no table of the lake but a folder per day T: the model, its index, its report and so on.

How they are made belongs to `convcg_model` and `defs/`; here is what each is made of.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convcg_assets.tables.settings import EvaluationSettings
from convcg_assets.tables.table import (
    ALL_CELLS,
    DAY,
    LONG_AGO,
    Bounds,
    Cells,
    Input,
    Recipe,
    Scope,
    digest_settings,
)


@dataclass(frozen=True)
class Artifact:
    """A folder per day below `folder`; in it, `described_in` says what the day's artifact is."""

    name: str
    folder: str
    described_in: str
    inputs: Callable[[Scope], tuple[Input, ...]]
    settings: Callable[[Scope], tuple[Any, ...]] = lambda scope: ()
    version: int = 1
    is_kept: bool = False
    of_newest: bool = False

    def recipe(self, scope: Scope) -> Recipe:
        """What each day is built from."""
        settings = digest_settings(self.version, *self.settings(scope))
        inputs = self.inputs(scope)
        return Recipe(self.name, inputs, "models", settings, self.is_kept, self.of_newest)


def as_of(day: dt.date, *, newest: dt.date, settings: EvaluationSettings) -> dt.date:
    """The day as of which the model of `day` is evaluated: the newest milestone reached.

    `newest` is the newest day with logs; what is known the day after can be evaluated on.
    """
    reached = [m for m in settings.repeat_after_days if day + m * DAY <= newest + DAY]
    return day + max(reached, default=0) * DAY


def _evaluation_inputs(scope: Scope) -> tuple[Input, ...]:
    """The model of T is judged on its holdout's labels, as they are known by and by."""
    settings, holdout = scope.settings.evaluation, scope.settings.examples.holdout_days

    def known(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds:
        return LONG_AGO, as_of(day, newest=newest, settings=settings) - DAY

    def curve(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds | None:
        used = as_of(day, newest=newest, settings=settings)
        return ALL_CELLS if upstream == used else None

    def past(table: str, cells: Cells | None = None) -> Input:
        return Input(table, before=holdout, after=-1, cells=cells)

    return (
        Input("two_tower_checkpoint"),
        Input("pin_embedding_index"),
        Input("training_examples"),
        past("weighted_labels", known),
        past("example_features", known),
        past("pin_features"),
        Input("conversion_delay", after=max(settings.repeat_after_days, default=0), cells=curve),
    )


TWO_TOWER_CHECKPOINT = Artifact(
    name="two_tower_checkpoint",
    folder="models",
    described_in="model.json",
    inputs=lambda scope: (Input("training_examples"), Input("pin_features")),
    # 2: training follows from the log. A model that is there stays; trained again it is another.
    version=2,
    is_kept=True,
)
PIN_EMBEDDING_INDEX = Artifact(
    name="pin_embedding_index",
    folder="indexes",
    described_in="index.json",
    inputs=lambda scope: (
        Input("two_tower_checkpoint"),
        Input("pin_features"),
        Input("training_examples"),
    ),
    is_kept=True,
)
EVALUATION_REPORT = Artifact(
    name="evaluation_report",
    folder="reports",
    described_in="report.json",
    inputs=_evaluation_inputs,
    settings=lambda scope: (scope.settings.evaluation, scope.settings.delay),
    # 2: a match by advertiser weighs as little as in training.
    version=2,
)
SERVING_FEATURES = Artifact(
    name="serving_features",
    folder="serving/features",
    described_in="features.json",
    inputs=lambda scope: (Input("user_features"), Input("pin_features")),
    of_newest=True,
)
PROMOTION = Artifact(
    name="promotion",
    folder="promotions",
    described_in="decision.json",
    inputs=lambda scope: (
        Input("pin_embedding_index"),
        Input("evaluation_report"),
        Input("serving_features"),
    ),
    is_kept=True,
    of_newest=True,
)
CANDIDATES = Artifact(
    name="candidates",
    folder="candidates",
    described_in="candidates.json",
    inputs=lambda scope: (
        Input("promotion"),
        Input("user_features"),
        Input("pin_features"),
        Input(
            "attributed_conversions",
            before=max(1, scope.settings.candidates.bought_days),
            after=-1,
        ),
    ),
    settings=lambda scope: (scope.settings.candidates,),
    is_kept=True,
    of_newest=True,
)
