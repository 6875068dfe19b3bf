"""An answer's log, told by hand or drawn from the grammar, and what a projection makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from ragstream.delivery.protocols.base import Dialect
from ragstream.events import (
    GRAMMAR,
    Cancelled,
    Citation,
    EventError,
    EventType,
    Interrupted,
    MessageStart,
    Phase,
    ReasoningDelta,
    Reset,
    Source,
    StepInfo,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
    encode,
)
from ragstream.streamlog.base import Record

START = StreamEvent(
    type=EventType.MESSAGE_START,
    message_start=MessageStart(
        stream_id="0" * 32, message_id="1" * 32, session_id="2" * 32, model="m", created=1795242213
    ),
)
LINK = Source(id="s1", title="Fjords", uri="https://a.example/fjords", quote="A fjord", score=0.9)
PAPER = Source(
    id="s2", title="Cliffs", uri="docs/cliffs.pdf", page=3, quote="A cliff", score=0.5, document_id="d2"
)
SOURCES = StreamEvent(type=EventType.SOURCES, sources=(LINK, PAPER))
CALL = StreamEvent(type=EventType.TOOL_CALL, tool_call=ToolCall(id="c1", name="look", arguments='{"at":1}'))
RESULT = StreamEvent(type=EventType.TOOL_RESULT, tool_result=ToolResult(id="c1", name="look", result="seen"))
PIECES = tuple(
    StreamEvent(type=EventType.TOOL_CALL_DELTA, tool_call_delta=piece)
    for piece in (
        ToolCallDelta(index=0, id="c1", name="look", arguments='{"at"'),
        ToolCallDelta(index=0),
        ToolCallDelta(index=0, arguments=":1}"),
        ToolCallDelta(index=7, arguments="of no call"),
    )
)
STEP = StreamEvent(type=EventType.STEP, step=StepInfo(node="N", label="n", number=1, duration_ms=1.0))
USAGE = Usage(prompt_tokens=9, completion_tokens=2, total_tokens=11, cached_tokens=4, reasoning_tokens=1)


def text(content: str, *, refusal: bool = False) -> StreamEvent:
    return StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=content, refusal=refusal))


def reasoning(content: str) -> StreamEvent:
    return StreamEvent(type=EventType.REASONING_DELTA, reasoning_delta=ReasoningDelta(content=content))


def cited(source_id: str, start: int, end: int) -> StreamEvent:
    return StreamEvent(type=EventType.CITATION, citation=Citation(source_id=source_id, start=start, end=end))


def complete(reason: str = "stop", usage: Usage | None = USAGE) -> StreamEvent:
    return StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason=reason, usage=usage, model="m-1")


def failed(code: str = "upstream_timeout", message: str = "Silence.") -> StreamEvent:
    return StreamEvent(type=EventType.ERROR, error=EventError(code=code, message=message))


def reset(words: str) -> StreamEvent:
    return StreamEvent(
        type=EventType.RESET,
        reset=Reset(text=words, sources=(LINK,), citations=(Citation(source_id="s1", start=0, end=1),)),
    )


CANCELLED = StreamEvent(type=EventType.CANCELLED, cancelled=Cancelled(by="me"))
INTERRUPTED = StreamEvent(type=EventType.INTERRUPTED, interrupted=Interrupted(seq=3))


def records(*events: StreamEvent, stored: bool = False) -> list[Record]:
    """Return the log of the events; ``stored``: as they are told from the stored turn, outside of any log."""
    return [Record(0 if stored else seq, event.type, encode(event)) for seq, event in enumerate(events, 1)]


def told(dialect: Dialect, log: Iterable[Record], *, after: int = 0) -> bytes:
    """Return the whole stream."""
    projection = dialect.projection(after=after)
    return b"".join([*(projection.frame(record) for record in log), projection.done()])


def whole(dialect: Dialect, *events: StreamEvent) -> Any:
    """Return the answer as one document."""
    collected = dialect.whole()
    for event in events:
        collected.apply(event)
    return collected.body()


@st.composite
def answers(draw: st.DrawFn) -> list[StreamEvent]:
    """Draw any answer that the grammar allows, to its end."""
    words = st.text(max_size=3)
    phase, said, calls = Phase.NEW, list[StreamEvent](), 0
    while phase is not Phase.ENDED:
        ending = len(said) > 12
        kinds = sorted(kind for kind, then in GRAMMAR[phase].items() if not ending or then is Phase.ENDED)
        kind = draw(st.sampled_from(kinds or sorted(GRAMMAR[phase])))
        calls += kind is EventType.TOOL_CALL
        said.append(_event(kind, draw(words), calls, draw(st.booleans())))
        phase = GRAMMAR[phase][kind]
    return said


def _event(kind: EventType, words: str, call: int, flag: bool) -> StreamEvent:
    return {
        EventType.MESSAGE_START: START,
        EventType.SOURCES: SOURCES if flag else StreamEvent(type=EventType.SOURCES, sources=(LINK,)),
        EventType.TEXT_DELTA: text(words, refusal=flag),
        EventType.REASONING_DELTA: reasoning(words),
        EventType.CITATION: cited("s1" if flag else "s9", 0, 1),
        EventType.TOOL_CALL: _call(f"c{call}", "{}" if flag else words),
        EventType.TOOL_CALL_DELTA: StreamEvent(
            type=EventType.TOOL_CALL_DELTA,
            tool_call_delta=ToolCallDelta(
                index=0, id=f"c{call + 1}" if flag else None, name="f" if flag else None, arguments=words
            ),
        ),
        EventType.TOOL_RESULT: StreamEvent(
            type=EventType.TOOL_RESULT,
            tool_result=ToolResult(id=f"c{call}", name="f", result=words, is_error=flag),
        ),
        EventType.STEP: STEP,
        EventType.RESET: reset(words),
        EventType.MESSAGE_COMPLETE: complete("tool_calls" if flag else "stop", USAGE if words else None),
        EventType.ERROR: failed(),
        EventType.CANCELLED: CANCELLED,
        EventType.INTERRUPTED: INTERRUPTED,
    }[kind]


def _call(name: str, arguments: str) -> StreamEvent:
    return StreamEvent(type=EventType.TOOL_CALL, tool_call=ToolCall(id=name, name="f", arguments=arguments))
