"""Peers of `implicit`: ALS and BPR over who took what, and nothing else."""

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from benchmarks.peers.exchange import Candidates, Data, Fitted, Rows, over_popularity, run


def fit(data: Data, settings: dict[str, Any]) -> Fitted:
    """`kind`: als or bpr; the other settings are those of the class in `implicit`."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    settings = dict(settings)
    kind = settings.pop("kind", "als")
    iterations = settings.setdefault("iterations", 15 if kind == "als" else 100)
    named = data.train.user >= 0
    user, item = data.train.user[named], data.labels.item[named]
    shape = (data.num_users, len(data.items.pin))
    weights = csr_matrix((data.labels.weight[named].astype(np.float32), (user, item)), shape=shape)
    model_type = AlternatingLeastSquares if kind == "als" else BayesianPersonalizedRanking
    with threadpool_limits(1):
        model = model_type(**settings, random_state=0, num_threads=1)
        model.fit(weights, show_progress=False)
    users, items = np.asarray(model.user_factors), np.asarray(model.item_factors)
    has_user, has_item = np.zeros(shape[0], dtype=bool), np.zeros(shape[1], dtype=bool)
    has_user[user], has_item[item] = True, True

    def score(queries: Rows, candidates: Candidates) -> np.ndarray:
        return over_popularity(
            users[queries.user] @ items[candidates.item].T,
            queries,
            candidates,
            known_Q=(queries.user >= 0) & has_user[queries.user],
            known_N=has_item[candidates.item],
        )

    return Fitted(score, examples=iterations * len(user))


if __name__ == "__main__":
    run(fit)
