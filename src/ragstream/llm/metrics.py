"""Attempts as Prometheus metrics."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram

from ragstream.llm.base import ChatRequest, Provider
from ragstream.llm.observing import Observation, Outcome

__all__ = ["PrometheusObserver"]

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class PrometheusObserver:
    """Count attempts by outcome and measure the time to the first token."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.attempts = Counter(
            "ragstream_llm_attempts",
            "Attempts at an answer, by how they went",
            ["provider", "outcome"],
            registry=registry,
        )
        self.first_token = Histogram(
            "ragstream_llm_first_token_seconds",
            "Seconds from an attempt's beginning to its first event",
            ["provider"],
            registry=registry,
            buckets=_SECONDS,
        )

    def began(self, provider: Provider, request: ChatRequest) -> Observation:  # noqa: ARG002 - Observer's
        """Watch one attempt."""
        return _Counting(self, provider.name)


class _Counting:
    def __init__(self, metrics: PrometheusObserver, provider: str) -> None:
        self._metrics, self._provider = metrics, provider
        self._began = metrics.clock()

    def spoke(self) -> None:
        self._metrics.first_token.labels(self._provider).observe(self._metrics.clock() - self._began)

    def ended(self, outcome: Outcome) -> None:
        self._metrics.attempts.labels(self._provider, outcome.word).inc()
