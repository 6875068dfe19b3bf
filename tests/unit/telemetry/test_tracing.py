"""Tracing is off until it is started, and says in one line what it lacks."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ragstream.errors import ConfigError
from ragstream.telemetry import start_tracing, stop_tracing, tracer


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    yield
    stop_tracing()


def test_tracing_is_off_until_it_is_started() -> None:
    assert tracer() is None
    start_tracing(TracerProvider())
    assert tracer() is not None
    stop_tracing()
    assert tracer() is None


def test_spans_go_to_the_provider_that_was_given() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    start_tracing(provider)
    spans = tracer()
    assert spans is not None
    spans.start_span("something").end()
    assert [span.name for span in exporter.get_finished_spans()] == ["something"]


def test_without_the_sdk_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"pip install 'ragstream\[otel\]'"):
        start_tracing()
    assert tracer() is None
