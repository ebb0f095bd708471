"""Several models over several days, asked the same held-out queries: figures by day and pooled.

A day's queries are ranked once (`rank_day`) and kept, so that days can be added and pooled later.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import pyarrow as pa

from convcg_model.config import FrozenConfig
from convcg_model.evaluation.evaluate import (
    choose_queries,
    held_out,
    rank_queries,
    snapshots_of,
)
from convcg_model.evaluation.metrics import bootstrap_means, interval, recall_at, weighted_means
from convcg_model.evaluation.result import EvaluationConfig
from convcg_model.evaluation.scorers import Scorer
from convcg_model.evaluation.weights import match_factors, maturity_factors, query_weights

RANK = "rank: "
"""Before the name of the scorer, in the columns of a day's ranks."""
SLICES = {"all": "all Pins", "unseen": "Pins not seen before"}


class Point(FrozenConfig):
    """A scorer's recall on the queries of a day (null: of all days), with its interval; and its
    difference from the first scorer on the same queries."""

    day: date | None
    scorer: str
    task: str
    place: str
    num_queries: int
    value: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float


def rank_day(
    examples: pa.Table,
    *,
    pin_features: pa.Table,
    scorers: Mapping[str, Scorer],
    config: EvaluationConfig,
) -> pa.Table:
    """A row per held-out query: `user_id` as text, `task`, `unseen`, `weight`, and by scorer the
    rank of its Pin (infinity: not among the candidates).

    Queries, candidates and weights are those of `evaluate`.
    """
    holdout = held_out(examples)
    days = sorted(holdout["example_day"].unique().to_pylist())
    queries = choose_queries(holdout, config=config)
    ranks, _ = rank_queries(
        queries, snapshots=snapshots_of(pin_features, days=days), scorers=scorers, config=config
    )
    factors = maturity_factors(queries, max_factor=config.max_maturity_factor)
    seen = queries["seen_before"].to_pylist()
    return pa.table(
        {
            "user_id": queries["user_id"].cast(pa.string()),
            "task": queries["task"].cast(pa.string()),
            "unseen": pa.array([found is False for found in seen]),
            "weight": query_weights(factors, match_factors(queries)),
            **{f"{RANK}{name}": of_scorer for name, of_scorer in ranks.items()},
        }
    )


def points(
    days: Mapping[date, pa.Table], *, scorers: Sequence[str], config: EvaluationConfig
) -> list[Point]:
    """Recall at the headline's k of every scorer by day and over all days, by task and place.

    `days` are tables of `rank_day`. All scorers of a slice share the resamples of its users, so
    the differences from `scorers[0]` are paired. A day on which a slice has no queries is left out.
    """
    found = []
    pooled = pa.concat_tables(days.values(), promote_options="default") if days else None
    for day, table in [*days.items(), *([(None, pooled)] if pooled is not None else [])]:
        for task in ("conversion", "engagement"):
            for place in SLICES:
                rows = _rows(table, task, place)
                if len(rows):
                    of_slice = table.take(pa.array(rows))
                    found += _points(day, task, place, of_slice, scorers, config)
    return found


def _rows(table: pa.Table, task: str, place: str) -> np.ndarray:
    chosen = np.array(table["task"].to_pylist()) == task
    if place == "unseen":
        chosen &= table["unseen"].to_numpy()
    return np.flatnonzero(chosen)


def _points(
    day: date | None,
    task: str,
    place: str,
    rows: pa.Table,
    scorers: Sequence[str],
    config: EvaluationConfig,
) -> list[Point]:
    k = config.headline_k
    values = np.stack([recall_at(rows[f"{RANK}{n}"].to_numpy(), k=k) for n in scorers], axis=1)
    weight = rows["weight"].to_numpy()
    codes = rows["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    users = np.unique(codes, return_inverse=True)[1]
    resampled = bootstrap_means(
        values,
        weight_Q=weight,
        user_Q=users,
        num_resamples=config.num_resamples,
        rng=np.random.default_rng(config.seed),
    )
    means = weighted_means(values, weight_Q=weight)
    bounds = interval(resampled, level=config.level)
    apart = interval(resampled - resampled[:, :1], level=config.level)
    return [
        Point(
            day=day,
            scorer=name,
            task=task,
            place=place,
            num_queries=rows.num_rows,
            value=float(means[i]),
            low=float(bounds[0, i]),
            high=float(bounds[1, i]),
            difference=float(means[i] - means[0]),
            difference_low=float(apart[0, i]),
            difference_high=float(apart[1, i]),
        )
        for i, name in enumerate(scorers)
    ]
