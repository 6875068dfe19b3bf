"""AG-UI: the events of one run, each ``data:`` and LF, with no mark after the last one.

The client checks the order: the run starts first, whatever was opened is closed before the run ends, and
after an error nothing follows. It has no event for sources or citations; they are CUSTOM.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
from starlette.responses import Response

from ragstream.delivery.fault import Fault
from ragstream.delivery.problem import problem
from ragstream.delivery.protocols.base import Projection
from ragstream.delivery.protocols.counted import CallsBeingWritten, Collected, Counted, unhappy
from ragstream.events import (
    Citation,
    EventType,
    MessageStart,
    ReasoningDelta,
    StepInfo,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
)

__all__ = ["RUN", "AGUIDialect", "AgentRun"]

Said = dict[str, Any]

RUN = "_run"  # in the question's metadata: the ids that the client chose for this run


class AgentRun(Counted):
    """Writes the events of one run."""

    name: ClassVar[str] = "agui"

    def __init__(self, *, after: int = 0) -> None:
        super().__init__(after=after)
        self._ids: Said = {}
        self._message = ""  # the answer's id
        self._writing = False
        self._thinking = ""  # the id of the reasoning that is being written
        self._thoughts = 0
        self._calls: set[str] = set()
        self._calling = CallsBeingWritten()

    def done(self) -> bytes:
        """Return nothing: the client would parse a mark as JSON."""
        return b""

    def _say(self, event: StreamEvent) -> Iterator[Said]:
        match event:
            case StreamEvent(text_delta=TextDelta() as delta):
                yield from self._write(delta.content)
            case StreamEvent(reasoning_delta=ReasoningDelta() as reasoning):
                yield from self._think(reasoning.content)
            case StreamEvent(citation=Citation() as citation):
                yield _custom("citation", _cited(citation, self._message))
            case StreamEvent(type=EventType.SOURCES):
                if fresh := self._new_sources(event):
                    yield _custom("sources", fresh)
            case StreamEvent(message_start=MessageStart() as start):
                yield from self._begin(start)
            case StreamEvent(step=StepInfo() as info):
                yield {"type": "STEP_STARTED", "stepName": info.label}
                yield {"type": "STEP_FINISHED", "stepName": info.label}
            case StreamEvent(type=EventType.TOOL_CALL_DELTA | EventType.TOOL_CALL | EventType.TOOL_RESULT):
                yield from self._use(event)
            case _ if event.terminal:
                yield from self._end(event)

    def _begin(self, start: MessageStart) -> Iterator[Said]:
        self._ids, self._message = _run(start), start.message_id
        yield {"type": "RUN_STARTED", **self._ids}

    def _write(self, content: str) -> Iterator[Said]:
        if not content:  # the client refuses an empty piece
            return
        yield from self._stop_thinking()
        if not self._writing:
            self._writing = True
            yield {"type": "TEXT_MESSAGE_START", "messageId": self._message, "role": "assistant"}
        yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": self._message, "delta": content}

    def _think(self, content: str) -> Iterator[Said]:
        if not content:
            return
        if not self._thinking:
            self._thoughts += 1
            self._thinking = f"{self._message}-reasoning-{self._thoughts}"
            yield {"type": "REASONING_START", "messageId": self._thinking}
            yield {"type": "REASONING_MESSAGE_START", "messageId": self._thinking, "role": "reasoning"}
        yield {"type": "REASONING_MESSAGE_CONTENT", "messageId": self._thinking, "delta": content}

    def _stop_thinking(self) -> Iterator[Said]:
        if self._thinking:
            name, self._thinking = self._thinking, ""
            yield {"type": "REASONING_MESSAGE_END", "messageId": name}
            yield {"type": "REASONING_END", "messageId": name}

    def _use(self, event: StreamEvent) -> Iterator[Said]:
        if event.tool_call_delta is not None:
            yield from self._write_call(event.tool_call_delta)
        elif event.tool_call is not None:
            yield from self._call(event.tool_call)
        elif event.tool_result is not None and event.tool_result.id in self._calls:
            yield self._came(event.tool_result)

    def _write_call(self, piece: ToolCallDelta) -> Iterator[Said]:
        if (known := self._calling.take(piece)) is None:
            return
        name, begins = known
        if begins:
            yield from self._begin_call(name, piece.name or "")
        yield from _arguments(name, piece.arguments)

    def _call(self, call: ToolCall) -> Iterator[Said]:
        rest = self._calling.whole(call)
        if rest is None:
            yield from self._begin_call(call.id, call.name)
        yield from _arguments(call.id, call.arguments if rest is None else rest)
        self._calls.add(call.id)
        yield {"type": "TOOL_CALL_END", "toolCallId": call.id}

    def _begin_call(self, name: str, tool: str) -> Iterator[Said]:
        yield from self._stop_thinking()
        yield {
            "type": "TOOL_CALL_START",
            "toolCallId": name,
            "toolCallName": tool,
            "parentMessageId": self._message,
        }

    def _came(self, result: ToolResult) -> Said:
        return {
            "type": "TOOL_CALL_RESULT",
            "messageId": f"{self._message}-{result.id}",
            "toolCallId": result.id,
            "content": result.result,
            "role": "tool",
        }

    def _end(self, ending: StreamEvent) -> Iterator[Said]:
        yield from self._stop_thinking()
        yield from ({"type": "TOOL_CALL_END", "toolCallId": name} for name in self._calling.unfinished())
        if self._writing:
            yield {"type": "TEXT_MESSAGE_END", "messageId": self._message}
        if error := unhappy(ending):
            yield {"type": "RUN_ERROR", "message": error.message, "code": error.code}
        else:
            yield {"type": "RUN_FINISHED", **_finished(self._ids, ending)}


class AGUIWhole(Collected):
    """The answer as what a run came to."""

    def body(self) -> Said:
        """Return the run with its message."""
        answer, start = self.answer, self.answer.start
        name = start.message_id if start else ""
        return {
            **(_run(start) if start else {}),
            "messages": [{"id": name, "role": "assistant", "content": answer.text}],
            "sources": answer.sources,
            "citations": [_cited(citation, name) for citation in answer.citations],
            "result": _result(answer.finish_reason, answer.usage),
        }


class AGUIDialect(msgspec.Struct, frozen=True, tag="agui"):
    """AG-UI."""

    name: ClassVar[str] = AgentRun.name
    headers: ClassVar[tuple[tuple[str, str], ...]] = ()
    counts: ClassVar[bool] = True
    tells_endings: ClassVar[bool] = False

    def projection(self, *, after: int = 0, retry: int | None = None) -> Projection:  # noqa: ARG002
        """Return what writes the events; they never ask for a reconnect, so ``retry`` is not said."""
        return AgentRun(after=after)

    def whole(self) -> AGUIWhole:
        """Return what collects the run."""
        return AGUIWhole()

    def problem(self, fault: Fault, *, request_id: str) -> Response:
        """Return problem details."""
        return problem(fault, request_id=request_id)


def _run(start: MessageStart) -> Said:
    """Return the run's ids: the client's, or our own where another protocol asked."""
    chosen = start.metadata.get(RUN)
    chosen = chosen if isinstance(chosen, dict) else {}
    ids = {"threadId": start.session_id, "runId": chosen.get("runId", start.stream_id)}
    parent = chosen.get("parentRunId")
    return ids | ({"parentRunId": parent} if parent else {})


def _finished(ids: Said, ending: StreamEvent) -> Said:
    own = {name: ids[name] for name in ("threadId", "runId") if name in ids}
    return own | {"result": _result(ending.finish_reason, ending.usage)}


def _result(finish_reason: str | None, usage: Usage | None) -> Said:
    return {"finishReason": finish_reason or "stop"} | ({"usage": usage} if usage else {})


def _cited(citation: Citation, message: str) -> Said:
    place = {"start": citation.start, "end": citation.end}
    return {"messageId": message, "sourceId": citation.source_id, **place}


def _arguments(name: str, piece: str) -> Iterator[Said]:
    if piece:  # the client refuses an empty one
        yield {"type": "TOOL_CALL_ARGS", "toolCallId": name, "delta": piece}


def _custom(name: str, value: Any) -> Said:
    return {"type": "CUSTOM", "name": name, "value": value}
