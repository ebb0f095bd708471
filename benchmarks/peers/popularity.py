"""Peers that count what is popular: of 30 days, decayed, and at the moment of the query."""

from typing import Any

import numpy as np

from benchmarks.peers.exchange import Candidates, Data, Fitted, Rows, run


def fit(data: Data, settings: dict[str, Any]) -> Fitted:
    """`kind`: plain, decayed or streaming; `half_life_days` of the last two.

    Plain is what the candidates bring: their counters of 30 days. Decayed counts the training
    positives of the query's task. Streaming goes on counting, up to the moment of each query, what
    had arrived by then, held-out days too, as a service would that counts as it goes.
    """
    kind = settings.get("kind", "plain")
    half_life = settings.get("half_life_days", 7.0)

    def plain(queries: Rows, candidates: Candidates) -> np.ndarray:
        return candidates.popularity[queries.task].astype(np.float64)

    if kind == "plain":
        return Fitted(plain)
    if kind == "decayed":
        time, item, task = data.train.time, data.labels.item, data.train.task
        weight = data.labels.weight
    else:
        with np.load(data.folder / "stream.npz") as stream:
            time, item, task, weight = (stream[name] for name in ("time", "item", "task", "weight"))
    order = np.argsort(time, kind="stable")
    time, item, task, weight = time[order], item[order], task[order], weight[order]
    num_items = len(data.items.pin)

    def score(queries: Rows, candidates: Candidates) -> np.ndarray:
        scores = plain(queries, candidates)
        end = data.train.time.max() if len(data.train) else 0.0
        moments = np.full(len(queries), end + 1) if kind == "decayed" else queries.time
        for task_number in np.unique(queries.task):
            of_task = task == task_number
            times, items, weights = time[of_task], item[of_task], weight[of_task]
            rows = np.flatnonzero(queries.task == task_number)
            rows = rows[np.argsort(moments[rows], kind="stable")]
            count, done, now = np.zeros(num_items), 0, None
            for row in rows:
                moment = moments[row]
                if now is not None:
                    count *= 0.5 ** ((moment - now) / half_life)
                until = np.searchsorted(times, moment, side="left")
                fresh = slice(done, until)
                aged = weights[fresh] * 0.5 ** ((moment - times[fresh]) / half_life)
                np.add.at(count, items[fresh], aged)
                done, now = until, moment
                counted = count[candidates.item]
                scores[row] += np.where(counted > 0, 1 + counted, 0)
        return scores

    return Fitted(score)


if __name__ == "__main__":
    run(fit)
