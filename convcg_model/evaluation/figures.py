"""From the ranks of one slice's queries to its figures: means, intervals, shares, differences."""

import zlib
from collections.abc import Mapping

import numpy as np

from convcg_model.evaluation.metrics import (
    bootstrap_means,
    interval,
    ndcg_at,
    recall_at,
    weighted_means,
)
from convcg_model.evaluation.result import Difference, Estimate, EvaluationConfig, Figures
from convcg_model.evaluation.weights import effective_queries, maturity, query_weights


def summarise(
    ranks: Mapping[str, np.ndarray],
    *,
    user_Q: np.ndarray,
    factor_Q: np.ndarray | None,
    match_Q: np.ndarray,
    where: tuple[str, str, str],
    config: EvaluationConfig,
) -> tuple[list[Figures], list[Difference]]:
    """Figures of every scorer on one slice, and the model's difference from each other scorer.

    `ranks` holds the target's rank of each of the slice's queries by scorer [Q], `user_Q` the
    query's user as any integer code, `factor_Q` its maturity factor (None: not known, each stands
    for itself) and `match_Q` what its match weighs: their product is its weight. `where` is (task,
    dimension, group). All scorers share the resamples, so the differences are paired.
    """
    task, dimension, group = where
    metrics = {
        name: {f"recall@{k}": recall_at(rank_Q, k=k) for k in config.recall_ks}
        | {f"ndcg@{config.ndcg_k}": ndcg_at(rank_Q, k=config.ndcg_k)}
        for name, rank_Q in ranks.items()
    }
    headline = f"recall@{config.headline_k}"
    columns = [(name, metric) for name, of in metrics.items() for metric in of]
    values_QM = np.stack([metrics[name][metric] for name, metric in columns], axis=1)
    user_codes = np.unique(user_Q, return_inverse=True)[1]
    # A stream of its own for each slice: its interval does not move when other slices come or go.
    rng = np.random.default_rng([config.seed, zlib.crc32("/".join(where).encode())])
    weight_Q = query_weights(factor_Q, match_Q)
    resampled_BM = bootstrap_means(
        values_QM,
        weight_Q=weight_Q,
        user_Q=user_codes,
        num_resamples=config.num_resamples,
        rng=rng,
    )
    means_M = weighted_means(values_QM, weight_Q=weight_Q)
    unweighted_M = values_QM.mean(axis=0)

    def estimate(value: float, samples_B: np.ndarray, unweighted: float) -> Estimate:
        low, high = interval(samples_B[:, None], level=config.level)[:, 0]
        return Estimate(value=value, low=low, high=high, unweighted=unweighted)

    estimates = {
        column: estimate(means_M[i], resampled_BM[:, i], unweighted_M[i])
        for i, column in enumerate(columns)
    }
    figures = [
        Figures(
            scorer=name,
            task=task,
            dimension=dimension,
            group=group,
            num_queries=len(user_Q),
            num_users=int(user_codes.max()) + 1,
            maturity=maturity(factor_Q),
            effective_queries=effective_queries(weight_Q),
            too_small=len(user_Q) < config.min_slice_queries,
            metrics={metric: estimates[name, metric] for metric in of},
            share_of_ceiling={
                metric: estimates[name, metric].value / ceiling.value
                for metric in of
                if (ceiling := estimates.get((config.oracle, metric))) and ceiling.value > 0
            },
        )
        for name, of in metrics.items()
    ]
    differences = []
    if (config.model, headline) in columns:
        model = columns.index((config.model, headline))
        for name in ranks:
            if name == config.model:
                continue
            other = columns.index((name, headline))
            differences.append(
                Difference(
                    task=task,
                    dimension=dimension,
                    group=group,
                    against=name,
                    metric=headline,
                    estimate=estimate(
                        means_M[model] - means_M[other],
                        resampled_BM[:, model] - resampled_BM[:, other],
                        unweighted_M[model] - unweighted_M[other],
                    ),
                )
            )
    return figures, differences
