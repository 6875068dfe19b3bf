"""Events as JSON: the struct is the wire format."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstream.events import (
    TERMINAL,
    EventError,
    EventType,
    MessageStart,
    StreamEvent,
    TextDelta,
    Usage,
    decode,
    encode,
)

SURROGATE = re.compile(r"[\ud800-\udfff]")
EVERY_CHAR = st.text(st.characters(codec=None))


def _text(content: str) -> StreamEvent:
    return StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=content))


def test_unset_attributes_are_absent() -> None:
    assert encode(_text("Hel")) == b'{"type":"text_delta","text_delta":{"content":"Hel"}}'


def test_a_completion_reads_as_the_design_shows_it() -> None:
    usage = Usage(prompt_tokens=9, completion_tokens=2, total_tokens=11)
    event = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop", usage=usage)
    assert encode(event) == (
        b'{"type":"message_complete","finish_reason":"stop",'
        b'"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}'
    )


def test_an_error_reads_as_its_message() -> None:
    error = EventError(code="internal", message="It broke.", retryable=True)
    assert str(error) == "It broke."
    assert (error.code, error.retryable) == ("internal", True)


def test_the_error_event_is_called_failed_on_the_wire() -> None:
    names = {event.value for event in EventType}
    assert EventType.ERROR.value == "failed"
    assert not names & {"error", "open", "message"}  # EventSource's own


@pytest.mark.parametrize("event", EventType)
def test_terminal_events_say_so(event: EventType) -> None:
    assert StreamEvent(type=event).terminal == (event in TERMINAL)
    assert re.fullmatch(r"[a-z][a-z0-9_.-]{0,63}", event.value)


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        _text("a").type = EventType.ERROR  # type: ignore[misc]


@given(st.text())
def test_what_is_encoded_is_one_line_and_decodes_to_the_same(content: str) -> None:
    data = encode(_text(content))
    assert not {*b"\r\n"} & {*data}
    assert decode(data) == _text(content)
    assert json.loads(data)["text_delta"]["content"] == content


@given(EVERY_CHAR)
def test_a_lone_surrogate_becomes_the_replacement_character(content: str) -> None:
    paired = content.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    said = decode(encode(_text(content))).text_delta
    assert said == TextDelta(content=SURROGATE.sub("\ufffd", paired))


def test_surrogates_are_replaced_wherever_they_stand() -> None:
    start = MessageStart(
        stream_id="s", message_id="m", session_id="c", model="x", created=1, metadata={"a\ud800": ["\udc00"]}
    )
    said = decode(encode(StreamEvent(type=EventType.MESSAGE_START, message_start=start))).message_start
    assert said is not None
    assert said.metadata == {"a\ufffd": ["\ufffd"]}


@pytest.mark.parametrize("data", [b"", b"{}", b'{"type":"unheard_of"}', b"[]", b'{"type":"step","step":1}'])
def test_what_is_not_an_event_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)
