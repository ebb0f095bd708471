"""What Prometheus reads of the tables: rows, bytes, age, what is stale, how long builds took.

What is counted belongs to `builds/measures.py`; what the server counts of its answers to
`convcg_serving/metrics.py`.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from threading import Lock

import dagster as dg
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from convcg_assets.builds.measures import Measure, measure
from convcg_assets.builds.status import read_status
from convcg_assets.defs.build_times import BuildTime, last_build_times
from convcg_assets.defs.runs import InstanceRuns
from convcg_assets.deployment import Deployment

DAY_S = 86_400
FRESH_S = 15
"""Who asks again within so long is answered from the look before."""

_FIGURES: dict[str, tuple[str, Callable[[Measure], float | None]]] = {
    "rows": ("Rows of all days, by the lake's own log", lambda m: m.rows),
    "size_bytes": ("Bytes of the files that hold them", lambda m: m.bytes),
    "partitions": ("Days that are built, empty ones too", lambda m: m.days),
    "newest_day_timestamp_seconds": (
        "Beginning (UTC) of the newest day that is built",
        lambda m: None if m.newest_day is None else _timestamp(m.newest_day),
    ),
    "behind_seconds": (
        "What it lacks at its end, in whole days: logs against yesterday, tables against the logs",
        lambda m: None if m.behind_days is None else m.behind_days * DAY_S,
    ),
    "stale_partitions": ("Days that differ from what they would be now", lambda m: m.stale_days),
    "running_partitions": ("Days that a run is building", lambda m: m.running_days),
    "waiting_partitions": ("Stale days that wait for another day", lambda m: m.waiting_days),
    "given_up_partitions": ("Stale days given up after failed attempts", lambda m: m.given_up_days),
    "refused_partitions": (
        "Days that broke a check that stops downstream",
        lambda m: m.refused_days,
    ),
    "last_build_timestamp_seconds": (
        "When a day of it was last built",
        lambda m: None if m.built_at is None else m.built_at.timestamp(),
    ),
}


class TableMetrics(Collector):
    """Looks at the deployment when it is asked, at most once in `FRESH_S` seconds."""

    def __init__(self, deployment: Deployment, instance: dg.DagsterInstance) -> None:
        self._deployment = deployment
        self._instance = instance
        self._lock = Lock()
        self._families: list[GaugeMetricFamily] = []
        self._looked_at = 0.0

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All families; raises what a look raises, so that nothing old is taken for new."""
        with self._lock:
            if not self._families or time.monotonic() - self._looked_at > FRESH_S:
                self._families = self._look()
                self._looked_at = time.monotonic()
            families = self._families
        yield from families

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: to be registered is no reason to look."""
        return []

    def _look(self) -> list[GaugeMetricFamily]:
        begun = time.perf_counter()
        runs = InstanceRuns(self._instance, home=self._deployment.home)
        found = read_status(self._deployment, runs=runs)
        measures = measure(found)
        times = last_build_times(self._instance, [m.table for m in measures])
        not_ready = len(found.staleness.not_ready)
        return [
            *_families(measures, times),
            GaugeMetricFamily(
                "convcg_logs_incomplete_partitions", "Days of logs that are not complete", not_ready
            ),
            GaugeMetricFamily(
                "convcg_look_timestamp_seconds", "When all this was looked at", time.time()
            ),
            GaugeMetricFamily(
                "convcg_look_duration_seconds", "Time of the look", time.perf_counter() - begun
            ),
        ]


def make_registry(deployment: Deployment, instance: dg.DagsterInstance) -> CollectorRegistry:
    """A registry of these metrics alone."""
    registry = CollectorRegistry()
    registry.register(TableMetrics(deployment, instance))
    return registry


def _families(measures: list[Measure], times: dict[str, BuildTime]) -> Iterator[GaugeMetricFamily]:
    for name, (told, value_of) in _FIGURES.items():
        values = {m.table: value_of(m) for m in measures}
        yield _family(name, told, {t: value for t, value in values.items() if value is not None})
    yield _family(
        "last_build_duration_seconds",
        "Time of the step that last wrote it",
        {table: built.seconds for table, built in times.items()},
    )
    yield _family(
        "last_build_partitions",
        "Days that this step wrote",
        {table: built.days for table, built in times.items()},
    )


def _family(name: str, told: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"convcg_table_{name}", told, labels=["table"])
    for table, value in values.items():
        family.add_metric([table], value)
    return family


def _timestamp(day: dt.date) -> float:
    return dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()
