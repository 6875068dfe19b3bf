"""Figures for Prometheus, read back with its own parser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from ragstream.telemetry import Metrics
from ragstream.telemetry.metrics import share_metrics


@dataclass(frozen=True)
class Usage:
    prompt_tokens: int = 9
    completion_tokens: int = 2
    cached_tokens: int = 3
    reasoning_tokens: int = 0
    cost: float | None = None


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def _values(metrics: Metrics) -> dict[tuple[str, ...], float]:
    body, _ = metrics.exposition()
    families = text_string_to_metric_families(body.decode())
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_exposition_says_its_media_type(metrics: Metrics) -> None:
    _, media_type = metrics.exposition()
    assert media_type.startswith("text/plain; version=")


def test_names_follow_prometheus_conventions(metrics: Metrics) -> None:
    body, _ = metrics.exposition()
    for family in text_string_to_metric_families(body.decode()):
        assert re.fullmatch(r"(ragstream|process)_[a-z_]+", family.name)
        assert family.documentation
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


def test_what_happens_at_every_token_needs_no_label(metrics: Metrics) -> None:
    metrics.producers.inc()
    metrics.readers.inc(2)
    metrics.readers.dec()
    metrics.events.inc(25)
    metrics.unread_tokens.inc()
    for counter in (metrics.resumes, metrics.evictions, metrics.settled):
        counter.inc()
    metrics.first_byte.observe(0.2)
    metrics.token_gap.observe(0.02)
    values = _values(metrics)
    assert values["ragstream_producers",] == 1
    assert values["ragstream_readers",] == 1
    assert values["ragstream_events_logged_total",] == 25
    assert values["ragstream_unread_tokens_total",] == 1
    for name in ("resumes", "evictions", "settled_answers"):
        assert values[f"ragstream_{name}_total",] == 1
    assert values["ragstream_first_byte_seconds_sum",] == 0.2
    assert values["ragstream_token_gap_seconds_count",] == 1


def test_an_answer_is_counted_with_what_it_used(metrics: Metrics) -> None:
    metrics.answered(model="m", status="complete", usage=Usage(cost=0.25), attempts=2)
    metrics.answered(model="m", status="failed", usage=None, attempts=3)
    values = _values(metrics)
    assert values["ragstream_answers_total", "complete"] == 1
    assert values["ragstream_answers_total", "failed"] == 1
    assert values["ragstream_answer_attempts_total",] == 5
    tokens = {name[1]: value for name, value in values.items() if name[0] == "ragstream_tokens_total"}
    assert tokens == {"prompt": 9, "completion": 2, "cached": 3, "reasoning": 0}
    assert values["ragstream_cost_total", "m"] == 0.25


def test_who_stops_answers_has_no_series_of_their_own(metrics: Metrics) -> None:
    for by in ("ann", "bob", "disconnect"):
        metrics.cancelled(by=by)
    values = _values(metrics)
    assert values["ragstream_cancels_total", "request"] == 2
    assert values["ragstream_cancels_total", "disconnect"] == 1


def test_models_named_by_requests_do_not_fill_the_memory(metrics: Metrics) -> None:
    for number in range(1000):
        metrics.answered(model=f"made up {number}", status="complete", usage=Usage(), attempts=1)
    models = {name[2] for name in _values(metrics) if name[0] == "ragstream_tokens_total"}
    assert len(models) == 51
    assert "other" in models


def test_steps_are_timed_and_their_failures_counted(metrics: Metrics) -> None:
    observe, failed = metrics.step("RAG.llm.call.the.provider")
    observe(0.02)
    failed("upstream_timeout")
    values = _values(metrics)
    assert values["ragstream_step_seconds_count", "RAG.llm.call.the.provider"] == 1
    assert values["ragstream_step_failures_total", "upstream_timeout", "RAG.llm.call.the.provider"] == 1


def test_two_of_them_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.resumes.inc()
    assert _values(second)["ragstream_resumes_total",] == 0


def test_processes_that_share_their_figures_count_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")  # so that it is unset again
    share_metrics(tmp_path)
    metrics = Metrics()
    metrics.token_gap.observe(0.02)
    observe, _ = metrics.step("RAG.somewhere")
    observe(0.3)
    counted = _values(metrics)
    assert counted["ragstream_token_gap_seconds_sum",] == pytest.approx(0.02)
    assert counted["ragstream_step_seconds_sum", "RAG.somewhere"] == pytest.approx(0.3)
