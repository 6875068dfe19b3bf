"""The reducer: whatever is said, an answer is the fold of its legal events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstream.errors import IllegalEvent
from ragstream.events import (
    GRAMMAR,
    Answer,
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
)

WORDS = st.text(max_size=8)
SOURCES = st.lists(
    st.builds(Source, id=WORDS, title=WORDS, uri=WORDS, quote=WORDS, score=st.floats(0, 1)), max_size=2
).map(tuple)
CITATIONS = st.builds(Citation, source_id=WORDS, start=st.integers(0, 9), end=st.integers(0, 9))
START = st.builds(
    MessageStart, stream_id=WORDS, message_id=WORDS, session_id=WORDS, model=WORDS, created=st.integers(0, 9)
)


def _events(type_: EventType, **attributes: st.SearchStrategy[Any]) -> st.SearchStrategy[StreamEvent]:
    return st.builds(StreamEvent, type=st.just(type_), **attributes)


BY_TYPE: dict[EventType, dict[str, st.SearchStrategy[Any]]] = {
    EventType.MESSAGE_START: {"message_start": START},
    EventType.STEP: {
        "step": st.builds(StepInfo, node=WORDS, label=WORDS, number=st.just(1), duration_ms=st.just(0.5))
    },
    EventType.SOURCES: {"sources": SOURCES},
    EventType.REASONING_DELTA: {"reasoning_delta": st.builds(ReasoningDelta, content=WORDS)},
    EventType.TEXT_DELTA: {"text_delta": st.builds(TextDelta, content=WORDS)},
    EventType.CITATION: {"citation": CITATIONS},
    EventType.TOOL_CALL: {"tool_call": st.builds(ToolCall, id=WORDS, name=WORDS, arguments=WORDS)},
    EventType.TOOL_CALL_DELTA: {"tool_call_delta": st.builds(ToolCallDelta, index=st.just(0))},
    EventType.TOOL_RESULT: {"tool_result": st.builds(ToolResult, id=WORDS, name=WORDS, result=WORDS)},
    EventType.RESET: {
        "reset": st.builds(
            Reset, text=WORDS, sources=SOURCES, citations=st.lists(CITATIONS, max_size=2).map(tuple)
        )
    },
    EventType.MESSAGE_COMPLETE: {"finish_reason": st.just("stop"), "usage": st.builds(Usage)},
    EventType.ERROR: {"error": st.builds(EventError, code=WORDS, message=WORDS)},
    EventType.CANCELLED: {"cancelled": st.builds(Cancelled, by=WORDS)},
    EventType.INTERRUPTED: {"interrupted": st.builds(Interrupted, seq=st.integers(0, 9))},
}
ANY = st.one_of([_events(kind, **attributes) for kind, attributes in BY_TYPE.items()])


@st.composite
def legal(draw: st.DrawFn) -> list[StreamEvent]:
    """Draw a walk through the table, from its beginning to anywhere."""
    phase, said = Phase.NEW, []
    for _ in range(draw(st.integers(0, 30))):
        if not GRAMMAR[phase]:
            break
        kind = draw(st.sampled_from(list(GRAMMAR[phase])))
        said.append(draw(_events(kind, **BY_TYPE[kind])))
        phase = GRAMMAR[phase][kind]
    return said


def _reduced(said: list[StreamEvent]) -> Answer:
    answer = Answer()
    for event in said:
        answer.apply(event)
    return answer


def _all_of(answer: Answer) -> tuple[Any, ...]:
    return (
        answer.phase,
        answer.seq,
        answer.start,
        answer.text,
        answer.reasoning,
        answer.sources,
        list(answer.citations),
        list(answer.tool_calls),
        answer.ending,
    )


def test_every_event_type_is_drawn() -> None:
    assert set(BY_TYPE) == set(EventType)


@given(legal(), ANY)
def test_an_event_is_taken_as_the_table_says_or_changes_nothing(
    said: list[StreamEvent], event: StreamEvent
) -> None:
    answer = _reduced(said)
    before = _all_of(answer)
    if event.type in GRAMMAR[answer.phase]:
        answer.apply(event)
        assert answer.seq == len(said) + 1
    else:
        with pytest.raises(IllegalEvent):
            answer.apply(event)
        assert _all_of(answer) == before


@given(legal())
def test_text_and_reasoning_are_what_was_said_since_the_last_reset(said: list[StreamEvent]) -> None:
    text, reasoning = "", ""
    for event in said:
        if event.reset:
            text, reasoning = event.reset.text, ""
        text += event.text_delta.content if event.text_delta else ""
        reasoning += event.reasoning_delta.content if event.reasoning_delta else ""
    answer = _reduced(said)
    assert (answer.text, answer.reasoning) == (text, reasoning)


@given(legal())
def test_the_ending_is_the_last_event_if_that_is_terminal(said: list[StreamEvent]) -> None:
    answer = _reduced(said)
    expected = said[-1] if said and said[-1].terminal else None
    assert answer.ending is expected
    assert (answer.phase is Phase.ENDED) == (expected is not None)


@given(legal(), st.data())
def test_where_a_delta_is_cut_makes_no_difference(said: list[StreamEvent], data: st.DataObject) -> None:
    pieces: list[StreamEvent] = []
    for event in said:
        if event.text_delta is None:
            pieces.append(event)
            continue
        content = event.text_delta.content
        cut = data.draw(st.integers(0, len(content)))
        pieces += [
            StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=part))
            for part in (content[:cut], content[cut:])
        ]
    whole, cut_up = _all_of(_reduced(said)), _all_of(_reduced(pieces))
    assert (whole[0], *whole[2:]) == (cut_up[0], *cut_up[2:])


@given(legal())
def test_looking_at_the_text_does_not_change_it(said: list[StreamEvent]) -> None:
    watched = Answer()
    for event in said:
        watched.apply(event)
        assert watched.text == watched.text
    assert _all_of(watched) == _all_of(_reduced(said))


@given(legal())
def test_sources_and_citations_are_the_newest_said(said: list[StreamEvent]) -> None:
    sources: tuple[Source, ...] = ()
    citations: list[Citation] = []
    for event in said:
        if event.reset:
            sources, citations = event.reset.sources, list(event.reset.citations)
        sources = event.sources if event.sources is not None else sources
        citations += [event.citation] if event.citation else []
    answer = _reduced(said)
    assert (answer.sources, answer.citations) == (sources, citations)


def test_an_ending_tells_its_reason() -> None:
    start = StreamEvent(
        type=EventType.MESSAGE_START,
        message_start=MessageStart(stream_id="s", message_id="m", session_id="c", model="x", created=1),
    )
    usage = Usage(prompt_tokens=9, completion_tokens=2, total_tokens=11)
    complete = _reduced(
        [start, StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop", usage=usage)]
    )
    assert (complete.finish_reason, complete.usage, complete.error) == ("stop", usage, None)
    error = EventError(code="over_budget", message="Too dear.")
    failed = _reduced([start, StreamEvent(type=EventType.ERROR, error=error)])
    assert (failed.finish_reason, failed.usage, failed.error) == (None, None, error)
    assert (Answer().finish_reason, Answer().usage, Answer().error) == (None, None, None)
