"""What Prometheus reads of the server."""

import datetime as dt

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from convcg_serving.requests import CandidateAnswer
from convcg_serving.watcher import Watcher

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
DAY_SECONDS = 86_400


class Metrics:
    """Counters of answers, and gauges of what serves; each server has its own."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._registry = made = CollectorRegistry()
        self.seconds = Histogram(
            "convcg_answer_seconds", "Time to an answer", buckets=SECONDS, registry=made
        )
        self._candidates = Counter("convcg_candidates_total", "Pins returned", registry=made)
        self._answers = Counter(
            "convcg_answers_total", "Answers by HTTP status", ["status"], registry=made
        )
        self._fallbacks = Counter(
            "convcg_fallbacks_total", "Answers that fell back, by reason", ["reason"], registry=made
        )
        self._faults = Gauge(
            "convcg_watcher_faults", "Looks that failed since the start", registry=made
        )
        self._model = Gauge(
            "convcg_model_info", "What serves", ["version", "model_version", "day"], registry=made
        )
        self._age = Gauge("convcg_model_age_days", "Days since day T of the model", registry=made)
        self._features_age = Gauge(
            "convcg_features_age_days", "Days since day T of the users' features", registry=made
        )
        self._pins = Gauge("convcg_pins", "Pins that can be found", registry=made)
        self._freshest = Gauge(
            "convcg_freshest_pins_age_seconds",
            "Since the Pins were last brought up to date",
            registry=made,
        )

    def count(self, status: int, answer: CandidateAnswer | None = None) -> None:
        """Count an answer."""
        self._answers.labels(str(status)).inc()
        if answer is not None:
            self._candidates.inc(len(answer.pins))
            for reason in answer.fallbacks:
                self._fallbacks.labels(reason).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        release, now = self._watcher.release, dt.datetime.now(dt.UTC)
        self._faults.set(self._watcher.num_faults)
        self._model.clear()
        if release is not None:
            champion = release.champion
            self._model.labels(champion.version, champion.model_version, str(champion.day)).set(1)
            self._age.set((now.date() - champion.day).days)
            if release.features is not None:
                self._features_age.set((now.date() - release.features.day).days)
            self._pins.set(release.index.num_pins)
            self._freshest.set((now - release.pins_as_of).total_seconds())
        return generate_latest(self._registry)
