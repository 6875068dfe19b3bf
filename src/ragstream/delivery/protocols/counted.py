"""What the protocols of others have in common: events of their own, counted, and no way to take back a word.

Their events are not the log's, so a cursor counts what they have said: the log is projected again from its
start and the first ones are swallowed. What a RESET replaces cannot be called back. If nothing was said yet,
as in an answer that is told from its stored turn, it is said as if it came from the log; else the stream
ends with an error, because what its reader has is no longer the answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from ragstream.delivery.fault import fault_of_ending
from ragstream.errors import ErrorCode
from ragstream.events import (
    Answer,
    EventError,
    EventType,
    Reset,
    Source,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from ragstream.streamlog.base import Record

__all__ = ["CallsBeingWritten", "Collected", "Counted", "PendingCalls", "as_said", "is_link", "unhappy"]

_REPLACED = StreamEvent(
    type=EventType.ERROR,
    error=EventError(
        code=ErrorCode.ANSWER_REPLACED,
        message="The answer was begun again, which this protocol cannot say; read the stream from its start.",
        retryable=True,
    ),
)
_WORDS = (EventType.TEXT_DELTA, EventType.CITATION)
_encoder = msgspec.json.Encoder()


class Counted(ABC):
    """A projection whose cursor counts its own events."""

    name: ClassVar[str]
    # Without a blank line of its own, so that it is no block: openai-python parses every block as JSON.
    heartbeat: ClassVar[bytes] = b": ping\n"
    resumable: ClassVar[bool] = False  # to their clients an end without a mark is a failure

    def __init__(self, *, after: int = 0) -> None:
        self.ended = False
        self.count = 0  # events so far, the swallowed ones included
        self._after = after
        self._spoken = False  # whether the reader has words of the answer
        self._named: set[str] = set()  # the sources that were told

    def frame(self, record: Record) -> bytes:
        """Return the blocks of one record, without those up to the cursor."""
        if self.ended:
            return b""
        if not record.seq and self.count < self._after:  # not the log's: it comes after all that was read
            self.count = self._after
        event = record.event
        if event.reset is None:
            return self._frame(event)
        return b"".join([self._frame(said) for said in self._instead(event.reset, stored=not record.seq)])

    def done(self) -> bytes:
        """Return the end mark of the protocols that have one."""
        return b"data: [DONE]\n\n"

    @abstractmethod
    def _say(self, event: StreamEvent) -> Iterator[dict[str, Any]]:
        """Yield the protocol's events for one of the log's, which is no RESET."""

    def _block(self, said: dict[str, Any]) -> bytes:
        return b"data: %s\n\n" % _encoder.encode(said)

    def _new_sources(self, event: StreamEvent) -> list[Source]:
        """Return the sources that were not told before: a second event names the first ones again."""
        fresh = [source for source in event.sources or () if source.id not in self._named]
        self._named.update(source.id for source in fresh)
        return fresh

    def _frame(self, event: StreamEvent) -> bytes:
        blocks = []
        for said in self._say(event):
            self.count += 1
            if self.count > self._after:
                blocks.append(self._block(said))
        self.ended = event.terminal
        self._spoken = self._spoken or event.type in _WORDS
        return b"".join(blocks)

    def _instead(self, reset: Reset, *, stored: bool) -> Iterator[StreamEvent]:
        """Return what is said of a reset; ``stored``: it is not the log's, but tells what was stored."""
        return iter((_REPLACED,)) if self._spoken or (stored and self._after) else as_said(reset)


class Collected:
    """The answer, collected for a document."""

    def __init__(self) -> None:
        self.answer = Answer()

    def apply(self, event: StreamEvent) -> None:
        """Take the next event."""
        self.answer.apply(event)


class PendingCalls:
    """Tool calls of which it is not known yet who executes them.

    A call with a result was executed here; to hand it over as well would have the client execute it again.
    """

    def __init__(self) -> None:
        self._calls: dict[str, ToolCall] = {}

    def take(self, event: StreamEvent) -> ToolCall | None:
        """Note a call, or its result; return the call that the result belongs to."""
        if event.tool_call is not None:
            self._calls[event.tool_call.id] = event.tool_call
        if event.tool_result is not None:
            return self._calls.pop(event.tool_result.id, None)
        return None

    @property
    def handed_over(self) -> list[ToolCall]:
        """The calls that are the client's, once the answer is complete."""
        return list(self._calls.values())


class CallsBeingWritten:
    """Tool calls whose arguments come in pieces; one without an id belongs to the last call at its index."""

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}
        self._open: dict[str, tuple[str, str]] = {}  # the tool and the arguments so far, by the call's id

    def take(self, piece: ToolCallDelta) -> tuple[str, bool] | None:
        """Return the call's id and whether the piece begins it; None where nobody knows the call."""
        name = piece.id or self._ids.get(piece.index, "")
        begins = name not in self._open
        if begins:
            if not (piece.id and piece.name):
                return None
            self._ids[piece.index], self._open[name] = name, (piece.name, "")
        tool, arguments = self._open[name]
        self._open[name] = tool, arguments + piece.arguments
        return name, begins

    def whole(self, call: ToolCall) -> str | None:
        """Return what no piece has told of a call that is whole now; None where none has begun it."""
        begun = self._open.pop(call.id, None)
        return None if begun is None else call.arguments.removeprefix(begun[1])

    def unfinished(self) -> dict[str, str]:
        """Return the tools of the calls that never became whole, by id: an attempt ended in their middle."""
        return {name: tool for name, (tool, _) in self._open.items()}


def unhappy(ending: StreamEvent) -> EventError | None:
    """Return what an ending other than complete says, as an error; None for a complete one."""
    if ending.error is not None or ending.type is EventType.MESSAGE_COMPLETE:
        return ending.error
    fault = fault_of_ending(ending)
    return EventError(code=fault.code, message=fault.detail, retryable=fault.retryable)


def is_link(uri: str) -> bool:
    """Return whether a browser can open it."""
    return uri.startswith(("https://", "http://"))


def as_said(reset: Reset) -> Iterator[StreamEvent]:
    if reset.sources:
        yield StreamEvent(type=EventType.SOURCES, sources=reset.sources)
    if reset.text:
        yield StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=reset.text))
    for citation in reset.citations:
        yield StreamEvent(type=EventType.CITATION, citation=citation)
