"""One attempt of a provider, made into what readers shall see of it."""

from __future__ import annotations

from ragstream.answer.citations import LARGEST, text_events
from ragstream.answer.turn import GAP, Turn
from ragstream.errors import ErrorCode, ProviderError
from ragstream.events import EventType, StreamEvent, TextDelta, ToolCall
from ragstream.llm.continuation import Joint

__all__ = ["Speaker"]


class Speaker:
    """Takes a provider's events, and puts on ``turn.unsaid`` what may be said: a stop finds it there.

    Rule 1: text goes on from what stands without repeating it, and its markers are rewritten.
    Rule 2: text that is held back is said before anything that is said after it.
    Rule 3: calls that the lane executes are said last, so that nothing stands between them and their results.
    """

    __slots__ = ("_calls", "_gap", "_joint", "_provider", "_turn")

    def __init__(self, turn: Turn, provider: str) -> None:
        going_on = turn.tries and turn.policy.after_delta == "continue"
        earlier = turn.before.text
        fresh = len(turn.answer.text) == len(earlier)
        self._turn, self._provider = turn, provider
        self._joint = Joint(turn.written if going_on else "")
        self._gap = GAP if fresh and earlier and not earlier[-1].isspace() else ""
        self._calls: list[StreamEvent] = []

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """What the lane shall execute."""
        return tuple(event.tool_call for event in self._calls if event.tool_call)

    def passes(self, event: StreamEvent) -> bool:
        """Take text that can be said as it came, at once, as nearly all can; else take nothing."""
        delta = event.text_delta
        turn = self._turn
        if delta is None or self._gap or self._joint.open or turn.unsaid:
            return False
        text, citations = delta.content, turn.citations
        return len(text) <= LARGEST and (citations is None or citations.passes(text))

    def take(self, event: StreamEvent) -> None:
        """Take the provider's next event.

        Raises:
            ProviderError: the event is not a provider's to say.
        """
        turn = self._turn
        if event.text_delta is not None:
            text = self._joint.write(event.text_delta.content)
            self._write(text, event.text_delta)
        elif event.type is EventType.MESSAGE_COMPLETE:
            self._settle()
            turn.unsaid += self._calls
            turn.completion = event
            if event.usage:
                turn.usages.append(event.usage)
        elif event.terminal:
            raise ProviderError(
                f"{self._provider} said {event.type.value}, which is not its to say",
                code=ErrorCode.UPSTREAM_PROTOCOL,
                provider=self._provider,
            )
        elif event.tool_call is not None and turn.toolbox is not None:
            self._calls.append(event)
        else:
            if event.type in (EventType.TOOL_CALL, EventType.TOOL_CALL_DELTA):
                self._settle()
            turn.unsaid.append(event)

    def _settle(self) -> None:
        """Say what is held back."""
        if self._joint.open:
            self._write(self._joint.close())
        if self._turn.citations is not None:
            self._turn.unsaid += text_events(*self._turn.citations.finish())

    def _write(self, text: str, delta: TextDelta | None = None) -> None:
        turn = self._turn
        if text and self._gap:
            text, self._gap = self._gap + text, ""
        said, citations = turn.citations.write(text) if turn.citations is not None else (text, ())
        turn.unsaid += text_events(said, citations, refusal=delta is not None and delta.refusal)
