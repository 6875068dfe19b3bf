"""OpenAI's Chat Completions: chunks of one choice, then ``[DONE]``.

What the protocol has no field for stands beside what it has: reasoning as ``reasoning_content``, sources and
annotations in the delta. Whoever does not know them loses nothing else. What comes in a list has its
``index``: by it OpenAI's client for Python puts the deltas together, and raises where it is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
from starlette.responses import Response

from ragstream.delivery.fault import Fault, failure_status
from ragstream.delivery.problem import openai_error, openai_type
from ragstream.delivery.protocols.base import Projection
from ragstream.delivery.protocols.counted import Collected, Counted, PendingCalls, unhappy
from ragstream.events import (
    Citation,
    EventError,
    EventType,
    MessageStart,
    ReasoningDelta,
    Source,
    StreamEvent,
    TextDelta,
    ToolCall,
    Usage,
)

__all__ = ["ChatCompletions", "ChatDialect"]

Said = dict[str, Any]


class ChatCompletions(Counted):
    """Writes chunks; with ``include_usage`` the tokens come in one more, if they are known."""

    name: ClassVar[str] = "chat"

    def __init__(self, *, after: int = 0, include_usage: bool = False) -> None:
        super().__init__(after=after)
        self._include_usage = include_usage
        self._head: Said = {}
        self._sources: dict[str, Source] = {}
        self._citations = 0
        self._calls = PendingCalls()

    def _say(self, event: StreamEvent) -> Iterator[Said]:
        match event:
            case StreamEvent(text_delta=TextDelta() as delta):
                yield self._chunk({"refusal" if delta.refusal else "content": delta.content})
            case StreamEvent(citation=Citation() as citation):
                place = {"index": self._citations}
                self._citations += 1
                yield self._chunk({"annotations": [place | _annotation(citation, self._sources)]})
            case StreamEvent(reasoning_delta=ReasoningDelta() as reasoning):
                yield self._chunk({"reasoning_content": reasoning.content})
            case StreamEvent(message_start=MessageStart() as start):
                self._head = _head(start, "chat.completion.chunk")
                yield self._chunk({"role": "assistant", "content": ""})
            case StreamEvent(type=EventType.SOURCES):
                if fresh := self._new_sources(event):
                    told = [_indexed(source, index) for index, source in enumerate(fresh, len(self._sources))]
                    self._sources |= {source.id: source for source in fresh}
                    yield self._chunk({"sources": told})
            case _ if event.terminal:
                yield from self._end(event)
            case _:
                self._calls.take(event)

    def _end(self, ending: StreamEvent) -> Iterator[Said]:
        if error := unhappy(ending):
            yield {"error": _error(error)}
            return
        calls = [call for call in self._calls.handed_over if ending.finish_reason == "tool_calls"]
        for index, call in enumerate(calls):
            yield self._chunk({"tool_calls": [{"index": index, **_called(call)}]})
        yield self._chunk({}, finish_reason=ending.finish_reason or "stop")
        if self._include_usage and ending.usage:
            yield self._head | {"choices": [], "usage": _usage(ending.usage)}

    def _chunk(self, delta: Said, *, finish_reason: str | None = None) -> Said:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = self._head | {"choices": [choice]}
        return chunk | {"usage": None} if self._include_usage else chunk


class ChatWhole(Collected):
    """The answer as one ``chat.completion``."""

    def body(self) -> Said:
        """Return the completion."""
        answer = self.answer
        head = _head(answer.start, "chat.completion") if answer.start else {}
        choice = {
            "index": 0,
            "message": self._message(),
            "logprobs": None,
            "finish_reason": answer.finish_reason or "stop",
        }
        usage = {"usage": _usage(answer.usage)} if answer.usage else {}
        return head | {"choices": [choice]} | usage

    def _message(self) -> Said:
        answer = self.answer
        sources = {source.id: source for source in answer.sources}
        message: Said = {
            "role": "assistant",
            "content": None if answer.refused else answer.text,
            "refusal": answer.text if answer.refused else None,
            "annotations": [_annotation(citation, sources) for citation in answer.citations],
            "sources": answer.sources,
        }
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.finish_reason == "tool_calls":
            message["tool_calls"] = [_called(call) for call in answer.open_calls]
        return message


class ChatDialect(msgspec.Struct, frozen=True, tag="chat"):
    """Chat Completions."""

    name: ClassVar[str] = ChatCompletions.name
    headers: ClassVar[tuple[tuple[str, str], ...]] = ()
    counts: ClassVar[bool] = True
    tells_endings: ClassVar[bool] = False
    include_usage: bool = False

    def projection(self, *, after: int = 0, retry: int | None = None) -> Projection:  # noqa: ARG002
        """Return what writes the chunks; they never ask for a reconnect, so ``retry`` is not said."""
        return ChatCompletions(after=after, include_usage=self.include_usage)

    def whole(self) -> ChatWhole:
        """Return what collects the completion."""
        return ChatWhole()

    def problem(self, fault: Fault, *, request_id: str) -> Response:
        """Return OpenAI's error object."""
        return openai_error(fault, request_id=request_id)


def _head(start: MessageStart, kind: str) -> Said:
    name = f"chatcmpl-{start.stream_id}"
    return {"id": name, "object": kind, "created": start.created, "model": start.model}


def _indexed(source: Source, index: int) -> Said:
    return {"index": index, **msgspec.to_builtins(source)}


def _annotation(citation: Citation, sources: dict[str, Source]) -> Said:
    source = sources.get(citation.source_id)
    cited = {
        "url": source.uri if source else "",
        "title": source.title if source else "",
        "start_index": citation.start,
        "end_index": citation.end,
    }
    return {"type": "url_citation", "url_citation": cited, "source_id": citation.source_id}


def _called(call: ToolCall) -> Said:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _error(error: EventError) -> Said:
    kind = openai_type(409 if error.code == "cancelled" else failure_status(error.code))
    return {"message": error.message, "type": kind, "code": error.code, "param": None}


def _usage(usage: Usage) -> Said:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
