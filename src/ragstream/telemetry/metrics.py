"""Metrics for Prometheus, in a registry of our own.

Where ``PROMETHEUS_MULTIPROC_DIR`` is set, each process keeps its figures in files there, and the exposition
of any of them is that of all.

What happens at every token or step has no label to look up: it is an attribute here, or is handed out once
by a method. The llm room adds its own figures, attempts by provider and code, to ``registry``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

from ragstream.telemetry.histogram import Histogram as QuickHistogram

__all__ = ["Metrics", "TokenUsage", "share_metrics"]

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where processes share their figures, as prometheus-client has it
_WAITS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds a person waits for a beginning
_GAPS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)  # seconds between two tokens
_STEPS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)  # seconds of one step
_MODELS = 50  # names that get labels of their own: some come from requests, and series cost memory


class TokenUsage(Protocol):
    """What an answer used."""

    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...
    @property
    def cost(self) -> float | None: ...


def share_metrics(folder: Path) -> None:
    """Keep the figures of this process, and of those that it starts, in files of this folder."""
    os.environ[_FOLDER] = str(folder)
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]


class Metrics:
    """Everything that is measured."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._shared = _FOLDER in os.environ
        if not self._shared:
            ProcessCollector(registry=self.registry)
        self.producers = self._gauge("producers", "Answers under way now")
        self.readers = self._gauge("readers", "Readers of answers now")
        self.streams = self._counter(
            "streams", "Answers read, as events or whole, by protocol", "protocol", "form"
        )
        self.resumes = self._counter("resumes", "Readers who came back to an answer that had begun")
        self.gaps = self._counter(
            "gaps", "Readers whose cursor could not be honoured, by what they were told", "told"
        )
        self.refusals = self._counter("refusals", "Requests refused by a limit, by its code", "code")
        self.evictions = self._counter("evictions", "Readers who took nothing for the write deadline")
        self.departures = self._counter(
            "departures", "Readers sent away, with word when to come back, by why", "reason"
        )
        self._cancels = self._counter(
            "cancels", "Answers stopped: by somebody's word, or because their readers left", "cause"
        )
        self.settled = self._counter("settled_answers", "Answers ended after their process had died")
        self.events = self._counter("events_logged", "Events acknowledged by the stream log")
        self.unread_tokens = self._counter(
            "unread_tokens", "Deltas generated while nobody was reading in the same process"
        )
        self.first_byte = self._histogram(
            "first_byte_seconds", "From a question to its first event on the wire", _WAITS
        )
        gaps = self._quick("token_gap_seconds", "Between two deltas of one answer, as it is generated", _GAPS)
        self.token_gap = gaps if isinstance(gaps, Histogram) else gaps.labels()
        self._answers = self._counter("answers", "Answers by how they ended", "status")
        self._attempts = self._counter("answer_attempts", "Calls of a provider that answers needed")
        self._tokens = self._counter("tokens", "Tokens used by answers", "model", "kind")
        self._cost = self._counter(
            "cost", "Cost of answers, in the currency of the configured prices", "model"
        )
        self._steps = self._quick("step_seconds", "Duration of a step", _STEPS, "step")
        self._failures = self._counter("step_failures", "Steps that failed or were stopped", "step", "code")
        self._models: set[str] = set()

    def answered(self, *, model: str, status: str, usage: TokenUsage | None, attempts: int) -> None:
        """Count an answer that has ended, and what it used."""
        self._answers.labels(status).inc()
        self._attempts.inc(attempts)
        if usage is None:
            return
        model = self._model(model)
        for kind in ("prompt", "completion", "cached", "reasoning"):
            self._tokens.labels(model, kind).inc(getattr(usage, f"{kind}_tokens"))
        if usage.cost is not None:
            self._cost.labels(model).inc(usage.cost)

    def cancelled(self, *, by: str) -> None:
        """Count an answer that was stopped; who did it has no label, for there may be many."""
        self._cancels.labels("disconnect" if by == "disconnect" else "request").inc()

    def step(self, step_id: str) -> tuple[Callable[[float], None], Callable[[str], None]]:
        """Return what takes the step's durations, in seconds, and what takes the codes of its failures."""
        return self._steps.labels(step_id).observe, lambda code: self._failures.labels(step_id, code).inc()

    def exposition(self) -> tuple[bytes, str]:
        """Return everything in Prometheus's text format, and its media type."""
        registry = self.registry
        if self._shared:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST

    def _model(self, name: str) -> str:
        if len(self._models) < _MODELS:
            self._models.add(name)
        return name if name in self._models else "other"

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"ragstream_{name}", words, labels, registry=self.registry)

    def _gauge(self, name: str, words: str) -> Gauge:
        return Gauge(f"ragstream_{name}", words, registry=self.registry, multiprocess_mode="livesum")

    def _quick(
        self, name: str, words: str, buckets: tuple[float, ...], *labels: str
    ) -> QuickHistogram | Histogram:
        """Return a histogram that costs little, where the figures need not be shared."""
        if self._shared:
            return self._histogram(name, words, buckets, *labels)
        return QuickHistogram(f"ragstream_{name}", words, buckets, self.registry, *labels)

    def _histogram(self, name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"ragstream_{name}", words, labels, buckets=buckets, registry=self.registry)
