"""One MLflow run per materialised day: parameters, metrics, artifacts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from convcg_assets.defs.tracking_store import open_client, open_experiment


class Run:
    """An open MLflow run."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self.run_id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Parameters; nested ones as `a.b`."""
        for key, value in _flatten(params):
            self._client.log_param(self.run_id, key, str(value)[:500])

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Metrics of one step."""
        for key, value in metrics.items():
            self._client.log_metric(self.run_id, allowed_name(key), value, step=step)

    def log_history(self, history: list[tuple[int, dict[str, float]]]) -> None:
        """Metrics of many steps, in a few calls."""
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(allowed_name(key), value, now, step)
            for step, values in history
            for key, value in values.items()
        ]
        for start in range(0, len(metrics), 1000):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + 1000])

    def log_artifacts(self, folder: str, *, to: str) -> None:
        """A folder of files."""
        self._client.log_artifacts(self.run_id, folder, to)


@contextmanager
def track_run(
    name: str, *, tracking_uri: str, artifacts: str, tags: Mapping[str, str]
) -> Iterator[Run]:
    """A run named `name`; marked failed where the body raises."""
    client = open_client(tracking_uri)
    experiment_id = open_experiment(client, tracking_uri=tracking_uri, artifacts=artifacts)
    created = client.create_run(experiment_id, run_name=name, tags=dict(tags))
    run_id = created.info.run_id
    try:
        yield Run(client, run_id)
    except BaseException:
        client.set_terminated(run_id, status="FAILED")
        raise
    client.set_terminated(run_id)


def _flatten(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def allowed_name(name: str) -> str:
    """A name as MLflow allows them: letters, digits, spaces and `_-./`."""
    allowed = name.replace("@", "_at_")
    return "".join(c if c.isalnum() or c in " _-./" else "_" for c in allowed)
