"""The answer so far: one reducer over events, for storing, collecting, resetting and settling."""

from __future__ import annotations

from ragstream.events.event import (
    Citation,
    EventError,
    EventType,
    MessageStart,
    Source,
    StreamEvent,
    ToolCall,
    ToolResult,
    Usage,
)
from ragstream.events.grammar import Phase, advance

__all__ = ["Answer"]


class Answer:
    """What has been said of one answer, applied event by event.

    An event that the grammar does not allow raises and changes nothing.
    """

    __slots__ = (
        "_pieces",
        "_reasoning",
        "citations",
        "ending",
        "phase",
        "refused",
        "seq",
        "sources",
        "start",
        "tool_calls",
        "tool_results",
    )

    def __init__(self) -> None:
        self.phase = Phase.NEW
        self.seq = 0  # how many events were applied
        self.start: MessageStart | None = None
        self.sources: tuple[Source, ...] = ()
        self.citations: list[Citation] = []
        self.tool_calls: list[ToolCall] = []
        self.tool_results: list[ToolResult] = []
        self.refused = False  # the text is the model's refusal
        self.ending: StreamEvent | None = None
        self._pieces: list[str] = []
        self._reasoning: list[str] = []

    def apply(self, event: StreamEvent) -> None:
        """Take one event in.

        Raises:
            IllegalEvent: the event cannot follow what was said; nothing is changed.
        """
        self.take(event, advance(self.phase, event.type))

    def take(self, event: StreamEvent, phase: Phase) -> None:
        """Take in an event that the grammar allows and that leads to ``phase``, as ``advance`` said."""
        self.phase = phase
        self.seq += 1
        if (delta := event.text_delta) is not None:  # what nearly every event is
            self._pieces.append(delta.content)
            self.refused = delta.refusal or self.refused
            return
        match event.type:
            case EventType.REASONING_DELTA if event.reasoning_delta:
                self._reasoning.append(event.reasoning_delta.content)
            case EventType.CITATION if event.citation:
                self.citations.append(event.citation)
            case EventType.TOOL_CALL if event.tool_call:
                self.tool_calls.append(event.tool_call)
            case EventType.TOOL_RESULT if event.tool_result:
                self.tool_results.append(event.tool_result)
            case EventType.SOURCES:
                self.sources = event.sources or ()
            case EventType.MESSAGE_START:
                self.start = event.message_start
            case EventType.RESET if event.reset:
                self._pieces, self._reasoning, self.refused = [event.reset.text], [], False
                self.tool_calls, self.tool_results = [], []
                self.sources, self.citations = event.reset.sources, list(event.reset.citations)
            case _ if event.terminal:
                self.ending = event

    @property
    def text(self) -> str:
        """The text so far; joining is remembered, so that asking often is cheap."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self._reasoning)

    @property
    def open_calls(self) -> list[ToolCall]:
        """The tool calls without a result: those that are left to whoever asked."""
        known = {result.id for result in self.tool_results}
        return [call for call in self.tool_calls if call.id not in known]

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, once the answer is complete."""
        return self.ending.finish_reason if self.ending else None

    @property
    def usage(self) -> Usage | None:
        """The tokens used, once the answer has ended."""
        return self.ending.usage if self.ending else None

    @property
    def error(self) -> EventError | None:
        """Why the answer failed, if it did."""
        return self.ending.error if self.ending else None
