"""The AI SDK's UI message stream: the chunks of version 5, which every later version knows.

A chunk of a type that the client does not know ends its stream, so only those of version 5 are said. Sources
are its own parts; a citation is a ``data-citation`` part; why an answer failed is in the message's metadata,
since an ``error`` has nothing but a text.

The client executes any call whose input is available, unless the chunk says that it was executed. So a call
is shown as it is written, and its input is available once it is known whose it is: with the result, or with
the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
from starlette.responses import Response

from ragstream.delivery.fault import Fault
from ragstream.delivery.problem import plain_words
from ragstream.delivery.protocols.base import Projection
from ragstream.delivery.protocols.counted import (
    CallsBeingWritten,
    Collected,
    Counted,
    PendingCalls,
    is_link,
    unhappy,
)
from ragstream.events import (
    Citation,
    EventType,
    MessageStart,
    ReasoningDelta,
    Source,
    StepInfo,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
)

__all__ = ["UIDialect", "UIMessages"]

Said = dict[str, Any]

_REASONS = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
}
# Not the machine's own table of types: the bytes shall be the same everywhere.
_MEDIA_TYPES = {"pdf": "application/pdf", "md": "text/markdown", "html": "text/html", "htm": "text/html"}


class UIMessages(Counted):
    """Writes the chunks of one message with one step."""

    name: ClassVar[str] = "ui"

    def __init__(self, *, after: int = 0) -> None:
        super().__init__(after=after)
        self._open: dict[str, str] = {}  # the kind of a part that is being written, and its id
        self._parts = 0
        self._citations = 0
        self._calls = PendingCalls()
        self._writing = CallsBeingWritten()

    def _say(self, event: StreamEvent) -> Iterator[Said]:
        match event:
            case StreamEvent(text_delta=TextDelta() as delta):
                yield from self._write("text", delta.content)
            case StreamEvent(reasoning_delta=ReasoningDelta() as reasoning):
                yield from self._write("reasoning", reasoning.content)
            case StreamEvent(citation=Citation() as citation):
                self._citations += 1
                yield {
                    "type": "data-citation",
                    "id": f"citation-{self._citations}",
                    "data": _cited(citation),
                }
            case StreamEvent(type=EventType.SOURCES):
                yield from (_source(source) for source in self._new_sources(event))
            case StreamEvent(message_start=MessageStart() as start):
                yield {"type": "start", "messageId": start.message_id, "messageMetadata": _metadata(start)}
                yield {"type": "start-step"}
            case StreamEvent(step=StepInfo() as info):
                yield {"type": "data-step", "data": info, "transient": True}
            case StreamEvent(type=EventType.TOOL_CALL_DELTA | EventType.TOOL_CALL | EventType.TOOL_RESULT):
                yield from self._use(event)
            case _ if event.terminal:
                yield from self._end(event)

    def _write(self, kind: str, content: str) -> Iterator[Said]:
        if kind not in self._open:
            yield from self._close()
            self._parts += 1
            self._open[kind] = f"{kind}-{self._parts}"
            yield {"type": f"{kind}-start", "id": self._open[kind]}
        yield {"type": f"{kind}-delta", "id": self._open[kind], "delta": content}

    def _close(self) -> Iterator[Said]:
        while self._open:
            kind, name = self._open.popitem()
            yield {"type": f"{kind}-end", "id": name}

    def _write_call(self, piece: ToolCallDelta) -> Iterator[Said]:
        if (known := self._writing.take(piece)) is None:
            return
        name, begins = known
        if begins:
            yield from self._close()
            yield {"type": "tool-input-start", "toolCallId": name, "toolName": piece.name, "dynamic": True}
        if piece.arguments:
            yield {"type": "tool-input-delta", "toolCallId": name, "inputTextDelta": piece.arguments}

    def _use(self, event: StreamEvent) -> Iterator[Said]:
        if event.tool_call_delta is not None:
            yield from self._write_call(event.tool_call_delta)
        executed = self._calls.take(event)
        if event.tool_call is not None and self._writing.whole(event.tool_call) is None:
            yield from self._close()
            yield {"type": "tool-input-start", **_named(event.tool_call)}
        if executed is not None and event.tool_result is not None:
            yield _called(executed) | {"providerExecuted": True}
            yield _came(event.tool_result)

    def _end(self, ending: StreamEvent) -> Iterator[Said]:
        yield from self._close()
        yield from (_left(name, tool) for name, tool in self._writing.unfinished().items())
        told = _ending(ending)
        error = unhappy(ending)
        if error is None:
            if ending.finish_reason == "tool_calls":
                yield from (_called(call) for call in self._calls.handed_over)
            yield {"type": "finish-step"}
            reason = _REASONS.get(ending.finish_reason or "stop", "other")
            yield {"type": "finish", "finishReason": reason, "messageMetadata": told}
            return
        yield {"type": "message-metadata", "messageMetadata": told}
        if ending.cancelled is not None:
            yield {"type": "abort", "reason": error.message}
        else:
            yield {"type": "error", "errorText": error.message}


class UIWhole(Collected):
    """The answer as one ``UIMessage``."""

    def body(self) -> Said:
        """Return the message."""
        answer = self.answer
        results = {result.id: result for result in answer.tool_results}
        parts: list[Said] = [_source(source) for source in answer.sources]
        if answer.reasoning:
            parts.append({"type": "reasoning", "text": answer.reasoning, "state": "done"})
        parts += [_tool_part(call, results.get(call.id)) for call in answer.tool_calls]
        if answer.text:
            parts.append({"type": "text", "text": answer.text, "state": "done"})
        parts += [{"type": "data-citation", "data": _cited(citation)} for citation in answer.citations]
        start, ending = answer.start, answer.ending
        return {
            "id": start.message_id if start else "",
            "role": "assistant",
            "metadata": (_metadata(start) if start else {}) | (_ending(ending) if ending else {}),
            "parts": parts,
        }


class UIDialect(msgspec.Struct, frozen=True, tag="ui"):
    """The AI SDK's UI message stream."""

    name: ClassVar[str] = UIMessages.name
    headers: ClassVar[tuple[tuple[str, str], ...]] = (("x-vercel-ai-ui-message-stream", "v1"),)
    counts: ClassVar[bool] = True
    tells_endings: ClassVar[bool] = False

    def projection(self, *, after: int = 0, retry: int | None = None) -> Projection:  # noqa: ARG002
        """Return what writes the chunks; they never ask for a reconnect, so ``retry`` is not said."""
        return UIMessages(after=after)

    def whole(self) -> UIWhole:
        """Return what collects the message."""
        return UIWhole()

    def problem(self, fault: Fault, *, request_id: str) -> Response:
        """Return words: the client shows the body to people."""
        return plain_words(fault, request_id=request_id)


def _metadata(start: MessageStart) -> Said:
    return {
        "streamId": start.stream_id,
        "sessionId": start.session_id,
        "model": start.model,
        "createdAt": start.created,
    }


def _ending(ending: StreamEvent) -> Said:
    told: Said = {"usage": ending.usage} if ending.usage else {}
    if error := unhappy(ending):
        return told | {"error": {"code": error.code, "retryable": error.retryable}}
    return told | {"finishReason": ending.finish_reason or "stop", "model": ending.model}


def _source(source: Source) -> Said:
    more = {"providerMetadata": {"ragstream": msgspec.to_builtins(source)}}
    if is_link(source.uri):
        return {
            "type": "source-url",
            "sourceId": source.id,
            "url": source.uri,
            "title": source.title,
            **more,
        }
    media_type = _MEDIA_TYPES.get(source.uri.rpartition(".")[2].lower(), "text/plain")
    name = source.uri.rpartition("/")[2]
    return {
        "type": "source-document",
        "sourceId": source.id,
        "mediaType": media_type,
        "title": source.title,
        "filename": name,
        **more,
    }


def _cited(citation: Citation) -> Said:
    return {"sourceId": citation.source_id, "start": citation.start, "end": citation.end}


def _arguments(call: ToolCall) -> Any:
    """Return the call's arguments, or None where the model wrote no JSON."""
    try:
        return json.loads(call.arguments or "{}")
    except ValueError:
        return None


def _named(call: ToolCall) -> Said:
    return {"toolCallId": call.id, "toolName": call.name, "dynamic": True}


def _called(call: ToolCall) -> Said:
    arguments, told = _arguments(call), _named(call)
    if arguments is None:
        wrong = {"input": call.arguments, "errorText": "The model wrote arguments that are not JSON."}
        return {"type": "tool-input-error", **told, **wrong}
    return {"type": "tool-input-available", **told, "input": arguments}


def _left(name: str, tool: str) -> Said:
    """End a call that the model never finished; it is no client's to go on with."""
    wrong = {"input": None, "errorText": "The model did not finish this call."}
    return (
        {"type": "tool-input-error", "toolCallId": name, "toolName": tool, "dynamic": True}
        | wrong
        | {"providerExecuted": True}
    )


def _came(result: ToolResult) -> Said:
    told = {"toolCallId": result.id, "providerExecuted": True, "dynamic": True}
    if result.is_error:
        return {"type": "tool-output-error", **told, "errorText": result.result}
    return {"type": "tool-output-available", **told, "output": result.result}


def _tool_part(call: ToolCall, result: ToolResult | None) -> Said:
    told = {"type": "dynamic-tool", "toolName": call.name, "toolCallId": call.id, "input": _arguments(call)}
    if result is None:
        return told | {"state": "input-available"}
    told["providerExecuted"] = True
    if result.is_error:
        return told | {"state": "output-error", "errorText": result.result}
    return told | {"state": "output-available", "output": result.result}
