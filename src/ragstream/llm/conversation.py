"""One call of the client while it goes on: what is asked now, what was said, what it has used."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ragstream.errors import RagstreamError
from ragstream.events import (
    EventError,
    EventType,
    Message,
    Reset,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from ragstream.llm.base import ChatRequest
from ragstream.llm.continuation import Joint, continued
from ragstream.llm.prices import add_usage

__all__ = ["Conversation", "tool_messages"]


class Conversation:
    """What one ``chat_completion`` has come to; a round is one answer, between two runs of tools."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.rounds = 0  # of tools run
        self.calls: list[ToolCall] = []  # of this round
        self.completion: StreamEvent | None = None  # of this round
        self._usages: list[Usage] = []
        self._before = ""  # text of earlier rounds
        self._pieces: list[str] = []  # text of this round
        self._joint = Joint("")

    @property
    def text(self) -> str:
        """All text so far."""
        return self._before + "".join(self._pieces)

    @property
    def usage(self) -> Usage | None:
        """The tokens of all answers so far; a failed attempt seldom tells its own."""
        return add_usage(self._usages)

    def attempt(self, *, going_on: bool) -> ChatRequest:
        """Return what the next attempt shall be asked; ``going_on``: to continue this round's text."""
        said = "".join(self._pieces)
        self._joint = Joint(said if going_on else "")
        return continued(self.request, said) if going_on and said else self.request

    def take(self, event: StreamEvent) -> StreamEvent | None:
        """Note an event; return what of it the reader shall see now."""
        if event.text_delta is not None:
            if self._joint.open:
                return self._said(self._joint.write(event.text_delta.content))
            self._pieces.append(event.text_delta.content)
        elif event.tool_call is not None:
            self.calls.append(event.tool_call)
        elif event.type is EventType.MESSAGE_COMPLETE:
            self.completion = event
            if event.usage:
                self._usages.append(event.usage)
            return self._said(self._joint.close())
        return event

    def forget(self) -> StreamEvent:
        """Drop what this round said; return the RESET that makes readers drop it."""
        self._pieces.clear()
        self.calls.clear()
        return StreamEvent(type=EventType.RESET, reset=Reset(text=self._before))

    def answer(self, results: list[ToolResult]) -> None:
        """Begin a new round: the model is given what its calls came to."""
        said = "".join(self._pieces)
        messages = (*self.request.messages, *tool_messages(said, self.calls, results))
        self.request = msgspec.structs.replace(self.request, messages=messages)
        self.rounds += 1
        self._before += said
        self._pieces.clear()
        self.calls.clear()

    def complete(self, *, content: str | None = None) -> StreamEvent:
        """Return the MESSAGE_COMPLETE of the whole call."""
        last = self.completion
        return StreamEvent(
            type=EventType.MESSAGE_COMPLETE,
            finish_reason=last.finish_reason if last else None,
            model=last.model if last else None,
            content=content,
            usage=self.usage,
        )

    def failed(self, error: RagstreamError) -> StreamEvent:
        """Return the ERROR of the whole call."""
        told = EventError(
            code=error.code, message=str(error), retryable=error.retryable, retry_after=error.retry_after
        )
        return StreamEvent(type=EventType.ERROR, error=told, usage=self.usage)

    def _said(self, text: str) -> StreamEvent | None:
        if not text:
            return None
        self._pieces.append(text)
        return StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=text))


def tool_messages(said: str, calls: Sequence[ToolCall], results: Sequence[ToolResult]) -> tuple[Message, ...]:
    """Return a round of tools as the model is told of it: what it said and called, and what came of it."""
    called = Message(role="assistant", content=said or None, tool_calls=tuple(calls))
    told = (Message(role="tool", tool_call_id=result.id, content=result.result) for result in results)
    return (called, *told)
