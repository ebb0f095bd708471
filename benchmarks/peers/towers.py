"""convcg's own towers, trained by the package from the tables themselves."""

import time
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.peers.exchange import Candidates, Data, Fitted, Rows, run
from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.evaluation.scorers import model_scorer
from convcg_model.training import fit as fit_towers


def fit(data: Data, settings: dict[str, Any]) -> Fitted:
    """`model` and `training`: fields that differ from the defaults."""
    torch.set_num_threads(1)
    queries = pq.read_table(data.folder / "raw_queries.parquet")
    snapshots = [
        pq.read_table(data.folder / f"raw_pins_{number}.parquet")
        for number in range(data.sizes["snapshots"])
    ]
    steps: list[float] = []
    first_day = data.sizes["first_day"]
    model = fit_towers(
        pq.read_table(data.folder / "raw_train.parquet"),
        pa.concat_tables(snapshots),
        config=ModelConfig.model_validate(settings.get("model", {})),
        training=TrainingConfig.model_validate(settings.get("training", {})),
        first_day=date.fromisoformat(first_day) if first_day else None,
        progress=False,
        on_step=lambda *_: steps.append(time.process_time()),
    )
    assert model.training.batch_size != "auto"
    score_tables = model_scorer(model, catalogue=snapshots[-1])

    def score(asked: Rows, candidates: Candidates) -> np.ndarray:
        return score_tables(queries.take(asked.number), snapshots[int(candidates.number)])

    return Fitted(
        score,
        examples=(len(steps) - 1) * model.training.batch_size,
        cpu_s=steps[-1] - steps[0],
    )


if __name__ == "__main__":
    run(fit)
