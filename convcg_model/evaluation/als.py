"""The learned baseline: matrix factorisation by alternating least squares (`implicit`).

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008). It sees who
took which Pin with what weight, and nothing else: no features, no context, no order.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from convcg_model.evaluation.baselines import popularity
from convcg_model.evaluation.metrics import recall_at, target_ranks
from convcg_model.evaluation.scorers import rows_of


class AlsSettings(BaseModel):
    """One setting of the factorisation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    factors: int = Field(default=64, ge=1, le=1024, description="Length of the factor vectors.")
    regularization: float = Field(default=1.0, gt=0, description="L2 penalty on the factors.")
    alpha: float = Field(default=10.0, gt=0, description="Confidence per unit of label weight.")
    iterations: int = Field(default=15, ge=1, le=200, description="Alternations.")


DEFAULT_GRID = tuple(
    AlsSettings(factors=factors, regularization=1.0, alpha=alpha)
    for factors in (32, 96)
    for alpha in (1.0, 5.0, 25.0)
)
"""More confidence is less regularisation, so the grid varies one of the two."""


class AlsScorer:
    """Scorer: inner products of the factors learned from the training positives.

    Pins without a training positive come below all others, in order of popularity; a user without
    one gets popularity alone.
    """

    def __init__(self, positives: pa.Table, *, settings: AlsSettings, seed: int):
        """Fit on positives (`user_id`, `pin_id`, `weight`); the same seed gives the same scores."""
        from implicit.cpu.als import AlternatingLeastSquares

        self.settings = settings
        self.user_ids = positives["user_id"].unique().sort()
        self.pin_ids = positives["pin_id"].unique().sort()
        weights = csr_matrix(
            (
                positives["weight"].to_numpy().astype(np.float32),
                (
                    rows_of(positives["user_id"], among=self.user_ids),
                    rows_of(positives["pin_id"], among=self.pin_ids),
                ),
            ),
            shape=(len(self.user_ids), len(self.pin_ids)),
        )  # weights of the same pair add up
        # implicit runs its own threads over rows; BLAS threads inside them slow it tenfold.
        with threadpool_limits(1, "blas"):
            als = AlternatingLeastSquares(
                factors=settings.factors,
                regularization=settings.regularization,
                alpha=settings.alpha,
                iterations=settings.iterations,
                random_state=seed,
            )
            als.fit(weights, show_progress=False)
        self.user_factors = np.asarray(als.user_factors)
        self.pin_factors = np.asarray(als.item_factors)

    def __call__(self, queries: pa.Table, pins: pa.Table) -> np.ndarray:
        """Scores [Q, N], see the class."""
        scores = popularity(queries, pins)
        user_Q = rows_of(queries["user_id"], among=self.user_ids)
        pin_N = rows_of(pins["pin_id"], among=self.pin_ids)
        known_Q, known_N = np.flatnonzero(user_Q >= 0), np.flatnonzero(pin_N >= 0)
        if len(known_Q) and len(known_N):
            factors = self.pin_factors[pin_N[known_N]]
            learned = self.user_factors[user_Q[known_Q]] @ factors.T
            # Lifted above every popularity, which stays below 1.
            learned += 2 - learned.min(axis=1, keepdims=True)
            scores[np.ix_(known_Q, known_N)] = learned
        return scores


def fit_als(
    positives: pa.Table,
    *,
    task: str = "conversion",
    grid: Sequence[AlsSettings] = DEFAULT_GRID,
    seed: int = 0,
    validation_share: float = 0.15,
    max_validation_queries: int = 2_000,
) -> AlsScorer:
    """ALS with the settings of `grid` that are best on the newest training days, fitted on all.

    The newest days that hold at least `validation_share` of the positives are set aside, every
    setting is fitted on the rest and judged by recall@100 on the set-aside positives of `task` (of
    every task if that has none) whose user and Pin the rest knows. Without any such row the first
    setting is taken. `positives` are the train split's rows of `training_examples` that are not
    negatives, of all tasks.
    """
    if positives.num_rows == 0:
        raise ValueError("ALS needs training positives: the train split holds none")
    if not grid:
        raise ValueError("the grid of ALS settings is empty: give at least one")
    # Another order of the rows must not give other factors.
    positives = positives.sort_by([("impression_id", "ascending"), ("task", "ascending")])
    days = np.sort(positives["example_day"].to_numpy())
    cut = days[int((1 - validation_share) * (len(days) - 1))]
    newest = pc.field("example_day") >= pa.scalar(cut.item(), pa.date32())
    inner, judged = positives.filter(~newest), positives.filter(newest)
    if (of_task := judged.filter(pc.field("task") == task)).num_rows:
        judged = of_task
    judged = judged.take(
        np.arange(0, judged.num_rows, 1 + judged.num_rows // max_validation_queries)
    )
    best = grid[0]
    if len(grid) > 1 and inner.num_rows:
        recalls = [
            _validation_recall(AlsScorer(inner, settings=settings, seed=seed), judged)
            for settings in grid
        ]
        best = grid[int(np.argmax(recalls))]
    return AlsScorer(positives, settings=best, seed=seed)


def _validation_recall(als: AlsScorer, judged: pa.Table) -> float:
    """Recall@100 over all known Pins, of the rows whose user and Pin are known; 0.0 without any."""
    user_Q = rows_of(judged["user_id"], among=als.user_ids)
    target_Q = rows_of(judged["pin_id"], among=als.pin_ids)
    known = (user_Q >= 0) & (target_Q >= 0)
    if not known.any():
        return 0.0
    scores = als.user_factors[user_Q[known]] @ als.pin_factors.T
    return float(recall_at(target_ranks(scores, target_Q=target_Q[known]), k=100).mean())
