"""The ceiling as a scorer of evaluation: ranks each query's Pins by the simulator's own truth."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pyarrow as pa

from convcg_simulation.ceiling import oracle_scores
from convcg_simulation.config import WorldConfig
from convcg_simulation.world import World


def ceiling_scorer(
    config: WorldConfig, *, as_of: date
) -> Callable[[pa.Table, pa.Table], np.ndarray]:
    """A scorer `(queries, pins) -> scores [num_queries, num_pins]` for labels known before `as_of`.

    Queries of one call are of one example day and one task, as evaluation asks them.
    """
    world = World(config)

    def score(queries: pa.Table, pins: pa.Table) -> np.ndarray:
        scores = np.empty((queries.num_rows, pins.num_rows), dtype=np.float32)
        keys = zip(queries["example_day"].to_pylist(), queries["task"].to_pylist(), strict=True)
        of_key = np.array([f"{day} {task}" for day, task in keys])
        for key in sorted(set(of_key.tolist())):
            rows = np.flatnonzero(of_key == key)
            day, task = key.split()
            part = queries.take(rows)
            scores[rows] = oracle_scores(
                world,
                day=config.day_of(date.fromisoformat(day)),
                user_ids=part["user_id"].to_pylist(),
                surfaces=part["surface"].to_pylist(),
                subject_pin_ids=part["subject_pin_id"].to_pylist(),
                queries=part["query"].to_pylist(),
                pin_ids=pins["pin_id"].to_pylist(),
                task=task,
                age_days=(as_of - date.fromisoformat(day)).days - 1,
            )
        return scores

    return score
