"""Attempts as OpenTelemetry spans and metrics, in the words of its conventions for generative AI.

Off unless a client is given this observer. What was asked is in a span only if ``content`` says so.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from ragstream.llm.base import ChatRequest, Provider
from ragstream.llm.observing import Observation, Outcome
from ragstream.llm.wire import wire_message

__all__ = ["GenAIObserver"]

_Attributes = dict[str, Any]


class GenAIObserver:
    """Make a client span and the client metrics of each attempt, by the global providers if none is given.

    Args:
        content: put the messages, and what errors say, into the span; they may hold what nobody should find
            in a trace.
        tracer: makes the spans.
        meter_provider: takes the metrics.
    """

    def __init__(
        self,
        *,
        content: bool = False,
        tracer: trace.Tracer | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self.content = content
        self.tracer = tracer or trace.get_tracer("ragstream.llm")
        meter = metrics.get_meter("ragstream.llm", meter_provider=meter_provider)
        self.duration = meter.create_histogram("gen_ai.client.operation.duration", unit="s")
        self.first_chunk = meter.create_histogram("gen_ai.client.operation.time_to_first_chunk", unit="s")
        self.tokens = meter.create_histogram("gen_ai.client.token.usage", unit="{token}")

    def began(self, provider: Provider, request: ChatRequest) -> Observation:
        """Start the attempt's span under the current one."""
        return _Span(self, provider, request)


class _Span:
    def __init__(self, observer: GenAIObserver, provider: Provider, request: ChatRequest) -> None:
        self._observer = observer
        model = request.model or provider.model
        self._common: _Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider.name,
            "gen_ai.request.model": model,
        }
        asked = self._common | _asked(request)
        if observer.content:
            said = [wire_message(message) for message in request.messages]
            asked["gen_ai.input.messages"] = msgspec.json.encode(said).decode()
        self._span = observer.tracer.start_span(f"chat {model}", kind=SpanKind.CLIENT, attributes=asked)
        self._began = time.monotonic()

    def spoke(self) -> None:
        self._observer.first_chunk.record(time.monotonic() - self._began, self._common)

    def ended(self, outcome: Outcome) -> None:
        common = self._common
        if outcome.error is not None:
            common = common | {"error.type": outcome.word}
            self._span.set_attribute("error.type", outcome.word)
            # A provider's own words may repeat what it was asked.
            words = str(outcome.error) if self._observer.content else outcome.word
            self._span.set_status(Status(StatusCode.ERROR, words))
        self._observer.duration.record(time.monotonic() - self._began, common)
        if outcome.completion is not None:
            self._completed(outcome)
        self._span.end()

    def _completed(self, outcome: Outcome) -> None:
        completion = outcome.completion
        if completion is None:
            return
        self._span.set_attribute("gen_ai.response.finish_reasons", [completion.finish_reason or ""])
        if completion.model:
            self._span.set_attribute("gen_ai.response.model", completion.model)
        if completion.usage:
            used = {"input": completion.usage.prompt_tokens, "output": completion.usage.completion_tokens}
            for kind, tokens in used.items():
                self._span.set_attribute(f"gen_ai.usage.{kind}_tokens", tokens)
                self._observer.tokens.record(tokens, self._common | {"gen_ai.token.type": kind})


def _asked(request: ChatRequest) -> _Attributes:
    options = request.options
    asked = {
        "gen_ai.request.temperature": options.temperature,
        "gen_ai.request.max_tokens": options.max_tokens,
        "gen_ai.request.seed": options.seed,
        "gen_ai.request.stop_sequences": options.stop or None,
    }
    return {name: value for name, value in asked.items() if value is not None}
