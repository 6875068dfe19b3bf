"""What a trace and its metrics say of an attempt, and that they keep the prompt to themselves."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ragstream.errors import ErrorCode, ProviderError
from ragstream.events import Options
from ragstream.llm import LLMClient, RetryPolicy, ScriptedProvider
from ragstream.llm.otel import GenAIObserver

SECRET = "a patient"
BUSY = ProviderError(f"up answered 503: not {SECRET}", code=ErrorCode.UPSTREAM_UNAVAILABLE, retryable=True)


@pytest.mark.parametrize("content", [False, True])
async def test_spans_and_metrics(content: bool) -> None:
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracing, metering = TracerProvider(), MeterProvider([reader])
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    observer = GenAIObserver(content=content, tracer=tracing.get_tracer("test"), meter_provider=metering)
    client = LLMClient(
        providers=[ScriptedProvider([BUSY], ["Hel", "lo"])],
        observers=[observer],
        policy=RetryPolicy(base_delay=0),
    )
    asked = [{"role": "user", "content": SECRET}]
    async for _ in client.chat_completion(asked, options=Options(temperature=0.5)):
        pass
    failed, completed = spans.get_finished_spans()
    assert failed.name == completed.name == "chat scripted-1"
    assert dict(failed.attributes or {})["error.type"] == "upstream_unavailable"
    facts: dict[str, Any] = dict(completed.attributes or {})
    assert facts["gen_ai.request.temperature"] == 0.5
    assert facts["gen_ai.usage.output_tokens"] == 2
    assert facts["gen_ai.response.finish_reasons"] == ("stop",)
    assert (SECRET in repr(facts)) is content
    assert (SECRET in str(failed.status.description)) is content
    assert metric_names(reader) == {
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
    }
    metering.shutdown()
    tracing.shutdown()


def metric_names(reader: InMemoryMetricReader) -> set[str]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
