"""The registered model as code: `mlflow models serve` and `mlflow.pyfunc.load_model` run this file.

It is kept with every registered version and loaded from there, so it imports the model's package
alone. The bundle lies beside it, without a pickle. The server of `convcg serve` does not need it.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from convcg_model.index import IndexBundle, load_bundle
from convcg_model.user_table import user_table


class CandidateModel(PythonModel):
    """Users in, Pins out: the user tower and the index of one day."""

    bundle: IndexBundle

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle that the version carries."""
        self.bundle = load_bundle(Path(context.artifacts["bundle"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Per row the best `k` Pins (a parameter, default 100), best first, with their scores.

        The columns are those of the user side of training examples; any of them may be left out.
        """
        rows = [
            {name: value for name, value in row.items() if not _is_missing(value)}
            for row in model_input.to_dict("records")
        ]
        users = user_table(rows, self.bundle.model.spec)
        pin_ids, scores = self.bundle.retrieve(users, int((params or {}).get("k", 100)))
        return pd.DataFrame(
            {
                "pin_ids": pin_ids.tolist(),
                "scores": scores.tolist(),
                "model_version": self.bundle.model_version,
            }
        )


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and pd.isna(value))


set_model(CandidateModel())
