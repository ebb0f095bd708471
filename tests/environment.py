"""What processes that tests start find in their environment: nothing of a deployment at hand."""

import os


def environment_of_others() -> dict[str, str]:
    """The environment without a deployment's variables; compiled SQL is shared by all tests."""
    own = ("CONVCG_", "DAGSTER_", "MLFLOW_TRACKING_URI")  # MLflow sets that for its children.
    return {k: v for k, v in os.environ.items() if not k.startswith(own) or k == "CONVCG_CACHE"}
