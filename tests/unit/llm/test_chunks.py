"""What a streamed answer says, in the accents of the servers that speak the protocol, cut at every byte."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstream.errors import ProviderError
from ragstream.events import EventType, StreamEvent, Usage, decode, encode
from ragstream.llm.chunks import ChatStream
from ragstream.llm.failures import retry_after
from ragstream.llm.sse import EventData, LineTooLong


def said(*values: Any, end: str = "data: [DONE]\n\n", newline: str = "\n") -> bytes:
    text = "".join(value if isinstance(value, str) else f"data: {json.dumps(value)}\n\n" for value in values)
    return (text + end).replace("\n", newline).encode()


def delta(finish: str | None = None, /, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def read(body: bytes, size: int | None = None) -> list[StreamEvent]:
    stream, events = ChatStream("p"), list[StreamEvent]()
    for at in range(0, len(body), size or len(body)):
        events += stream.feed(body[at : at + (size or len(body))])
    return [*events, *stream.end(), *stream.ending()]


def told(events: list[StreamEvent]) -> dict[str, Any]:
    """Return what the events say, in short."""
    last = events[-1]
    assert [event.type for event in events].count(EventType.MESSAGE_COMPLETE) == 1
    assert last.type is EventType.MESSAGE_COMPLETE
    summary: dict[str, Any] = {
        "text": "".join(e.text_delta.content for e in events if e.text_delta and not e.text_delta.refusal),
        "refusal": "".join(e.text_delta.content for e in events if e.text_delta and e.text_delta.refusal),
        "reasoning": "".join(e.reasoning_delta.content for e in events if e.reasoning_delta),
        "calls": [(e.tool_call.id, e.tool_call.name, e.tool_call.arguments) for e in events if e.tool_call],
        "finish": last.finish_reason,
        "usage": last.usage,
        "model": last.model,
    }
    return {name: value for name, value in summary.items() if value}


USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
USED = Usage(prompt_tokens=9, completion_tokens=2, total_tokens=11)
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}

SHAPES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "OpenAI": (
        said(
            {
                **delta(role="assistant", content="", refusal=None),
                "id": "x",
                "model": "gpt",
                "obfuscation": "q",
            },
            {**delta(content="Hel"), "usage": None},
            delta(content="lo"),
            delta("stop"),
            {
                "choices": [],
                "usage": {
                    **USAGE,
                    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 1},
                },
            },
        ),
        {
            "text": "Hello",
            "finish": "stop",
            "model": "gpt",
            "usage": Usage(
                prompt_tokens=9, completion_tokens=2, total_tokens=11, cached_tokens=4, reasoning_tokens=1
            ),
        },
    ),
    "OpenAI refuses": (
        said(delta(role="assistant", content=None, refusal=""), delta(refusal="No."), delta("stop")),
        {"refusal": "No.", "finish": "stop"},
    ),
    "OpenAI calls": (
        said(
            delta(tool_calls=[{"index": 0, **CALL, "function": {"name": "add", "arguments": ""}}]),
            delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a'}}]),
            delta(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "sub", "arguments": "{}"}}]),
            delta(tool_calls=[{"index": 0, "function": {"arguments": '":1}'}}]),
            delta("tool_calls"),
        ),
        {"calls": [("c1", "add", '{"a":1}'), ("c2", "sub", "{}")], "finish": "tool_calls"},
    ),
    "OpenRouter": (
        said(
            ": OPENROUTER PROCESSING\n\n",
            {**delta(role="assistant", content="", reasoning="Hm"), "provider": "Together"},
            delta(content="Hi", reasoning_details=[{"type": "reasoning.text"}]),
            {**delta("stop", content=""), "native_finish_reason": "end"},
            {"choices": [], "usage": {**USAGE, "cost": 0.1}},
        ),
        {"text": "Hi", "reasoning": "Hm", "finish": "stop", "usage": USED},
    ),
    "vLLM": (
        said(
            {**delta(role="assistant", content=""), "usage": {"prompt_tokens": 9}},
            delta(reasoning_content="Hm", content=None),
            {**delta(content="Hi", tool_calls=[]), "usage": USAGE},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": None}]},
            {"choices": [], "usage": USAGE},
        ),
        {"text": "Hi", "reasoning": "Hm", "finish": "stop", "usage": USED},
    ),
    "Ollama": (
        said(
            delta(role="assistant", content="Hi"),
            delta(tool_calls=[{"id": "c1", "index": 0, **CALL}]),
            {**delta("stop", role="assistant", content=""), "system_fingerprint": "fp_ollama"},
        ),
        {"text": "Hi", "calls": [("c1", "add", '{"a":1}')], "finish": "tool_calls"},
    ),
    "Mistral": (
        said(
            delta(
                role="assistant", content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]
            ),
            delta(content=[{"type": "text", "text": "Hi"}]),
            {**delta("model_length", content="!", tool_calls=None), "usage": USAGE},
        ),
        {"text": "Hi!", "reasoning": "Hm", "finish": "length", "usage": USED},
    ),
    "Groq": (
        said(
            {**delta(role="assistant", content=""), "x_groq": {"id": "req"}},
            delta(content="Hi"),
            {**delta("stop"), "x_groq": {"id": "req", "usage": {**USAGE, "queue_time": 0.01}}},
        ),
        {"text": "Hi", "finish": "stop", "usage": USED},
    ),
    "Azure": (
        said(
            {"choices": [], "model": "", "prompt_filter_results": [{"prompt_index": 0}]},
            {"choices": [{"index": 0, "delta": {"content": "Hi"}, "content_filter_results": {"hate": {}}}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter", "logprobs": None}]},
        ),
        {"text": "Hi", "finish": "content_filter"},
    ),
    "Gemini": (
        said(
            {**delta(role="assistant", content="Hi"), "model": "gemini"},
            delta("stop", tool_calls=[{"id": "", "function": {"name": "add", "arguments": '{"a":1}'}}]),
            end="",
        ),
        {"text": "Hi", "calls": [("call_0", "add", '{"a":1}')], "finish": "tool_calls", "model": "gemini"},
    ),
    "calls without index": (
        said(
            delta(tool_calls=[{"id": "a", "function": {"name": "add", "arguments": "{"}}]),
            delta(tool_calls=[{"id": "a", "function": {"arguments": "}"}}]),
            delta(tool_calls=[{"id": "b", "function": {"name": "sub", "arguments": {"a": 1}}}]),
            delta("tool_calls"),
        ),
        {"calls": [("a", "add", "{}"), ("b", "sub", '{"a":1}')], "finish": "tool_calls"},
    ),
    "CRLF": (
        said(delta(content="Grüße 🙂"), delta("stop"), newline="\r\n"),
        {"text": "Grüße 🙂", "finish": "stop"},
    ),
    "CR": (said(delta(content="Hi"), delta("stop"), newline="\r"), {"text": "Hi", "finish": "stop"}),
    "no [DONE]": (said(delta(content="Hi"), delta("stop"), end=""), {"text": "Hi", "finish": "stop"}),
    "nothing after the last brace": (
        said(delta(content="Hi"), end="") + b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}',
        {"text": "Hi", "finish": "stop"},
    ),
    "foreign chunks": (
        said({"type": "ping"}, "event: ping\n\n", "data:\n\n", delta(content="Hi"), delta("stop")),
        {"text": "Hi", "finish": "stop"},
    ),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("size", [None, 1, 3, 7], ids=["whole", "1", "3", "7"])
def test_shapes(name: str, size: int | None) -> None:
    body, expected = SHAPES[name]
    assert told(read(body, size)) == expected


@pytest.mark.parametrize("name", SHAPES)
def test_a_cut_anywhere_changes_nothing(name: str) -> None:
    body, _ = SHAPES[name]
    whole = told(read(body))
    for cut in range(len(body)):
        stream = ChatStream("p")
        events = [*stream.feed(body[:cut]), *stream.feed(body[cut:]), *stream.end(), *stream.ending()]
        assert told(events) == whole


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": {"prompt_tokens": 9.0, "completion_tokens": "2"}},
        {"usage": {"prompt_tokens": 9, "prompt_tokens_details": 0}},
        {"usage": [], "model": 3, "object": 1, "x_groq": "x"},
        {"usage": {"prompt_tokens": -5, "completion_tokens": 10**30}},
    ],
)
def test_what_is_odd_beside_the_answer_does_not_spoil_it(odd: dict[str, Any]) -> None:
    summary = told(read(said({**delta(content="Hi"), **odd}, {**delta("stop"), **odd})))
    assert (summary["text"], summary["finish"]) == ("Hi", "stop")
    usage = summary.get("usage", Usage())
    assert decode(encode(StreamEvent(type=EventType.MESSAGE_COMPLETE, usage=usage))).usage == usage
    assert min(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) >= 0


@pytest.mark.parametrize("end", [" end", "\ud83d", "\ud83d\ude42"])
def test_an_emoji_cut_in_two_by_a_server_is_one_again(end: str) -> None:
    body = said(delta(content="a \ud83d"), delta(content="\ude42" + end), delta("stop"))
    assert told(read(body))["text"] == "a 🙂" + ("🙂" if len(end) == 2 else end.strip("\ud83d"))


def test_half_an_emoji_that_stays_alone_is_no_character() -> None:
    body = said(delta(content="a \ude42 b", reasoning="\ud83d"), delta("stop"))
    assert told(read(body))["text"] == "a \ufffd b"


WHOLE = {
    "object": "chat.completion",
    "model": "gpt",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hi",
                "reasoning_content": "Hm",
                "tool_calls": [CALL],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": USAGE,
}


@pytest.mark.parametrize("indent", [None, 2], ids=["one line", "many lines"])
@pytest.mark.parametrize("size", [None, 1])
def test_an_answer_in_one_piece(indent: int | None, size: int | None) -> None:
    assert told(read(json.dumps(WHOLE, indent=indent).encode(), size)) == {
        "text": "Hi",
        "reasoning": "Hm",
        "calls": [("c1", "add", '{"a":1}')],
        "finish": "tool_calls",
        "model": "gpt",
        "usage": USED,
    }


def test_an_answer_in_one_piece_that_was_cut_is_no_success() -> None:
    body = json.dumps(WHOLE).encode()
    for cut in range(1, len(body)):
        with pytest.raises(ProviderError) as failure:
            read(body[:cut])
        assert failure.value.code == "upstream_truncated", cut


def test_an_answer_in_one_piece_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragstream.llm.chunks._WHOLE_CAP", 100)
    with pytest.raises(ProviderError) as failure:
        read(json.dumps(WHOLE).encode(), 50)
    assert failure.value.code == "upstream_protocol"


def test_deltas_of_a_call_can_be_joined() -> None:
    events = read(SHAPES["OpenAI calls"][0])
    pieces = [event.tool_call_delta for event in events if event.tool_call_delta]
    assert [(piece.index, piece.id, piece.name) for piece in pieces if piece.id] == [
        (0, "c1", "add"),
        (1, "c2", "sub"),
    ]
    assert "".join(piece.arguments for piece in pieces if piece.index == 0) == '{"a":1}'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (said(delta(content="Hi"), end=""), "upstream_truncated"),
        (said(delta(content="Hi")), "upstream_truncated"),
        (said({"error": {"message": "busy", "code": 503}}), "upstream_error"),
        (said({"object": "error", "message": "busy", "code": 400}), "upstream_error"),
        (said({"x_groq": {"error": "busy"}}), "upstream_error"),
        (said({"choices": [{"index": 0}, {"index": 1}]}), "upstream_protocol"),
        (b"<html>\n", "upstream_protocol"),
        (
            said(delta(tool_calls=[{"index": n, "function": {"name": "f"}} for n in range(200)])),
            "upstream_protocol",
        ),
    ],
)
def test_failures(body: bytes, code: str) -> None:
    with pytest.raises(ProviderError) as failure:
        read(body)
    assert failure.value.code == code


@pytest.mark.parametrize(
    ("kind", "retryable"), [(429, True), (502, True), ("server_error", True), (400, False)]
)
def test_an_error_says_whether_waiting_helps(kind: object, retryable: bool) -> None:
    with pytest.raises(ProviderError) as failure:
        read(said({"error": {"message": "no", "code": kind}}))
    assert failure.value.retryable is retryable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-7"}, 0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e400"}, 1e6),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after-ms": "inf"}, 1e6),
    ],
)
def test_how_long_a_provider_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@given(
    lines=st.lists(st.text(alphabet="ab:\u2028\x85\x0b\x1c🙂", max_size=5), max_size=6),
    newline=st.sampled_from(["\n", "\r", "\r\n"]),
    cuts=st.lists(st.integers(0, 80), max_size=5),
)
def test_lines_end_at_cr_lf_and_crlf_only(lines: list[str], newline: str, cuts: list[int]) -> None:
    body = "".join(f"data:x{line}{newline}{newline}" for line in lines).encode()
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    reader = EventData()
    found = [data for a, b in itertools.pairwise(edges) for data in reader.feed(body[a:b])]
    assert found == [f"x{line}".encode() for line in lines]


@pytest.mark.parametrize(
    ("piece", "data"),
    [
        (b"data: x\n\n", b" x"),
        (b"data:\n\n", b""),
        (b"", b""),
        (b"d", b""),
        (b"data:", b""),
        (b"data: x\n", b""),
        (b"data: x\n\r", b""),
        (b"data: x\r\n\r\n", b""),
        (b"data: x\ry\n\n", b""),
        (b"data: x\ndata: y\n\n", b""),
        (b"data: x\n\ndata: y\n\n", b""),
        (b"event: x\n\n", b""),
        (b": data: x\n\n", b""),
        (b"\n\n", b""),
        (b"data: " + b"x" * 60 + b"\n\n", b""),
    ],
)
def test_only_one_event_of_one_line_is_taken_whole(piece: bytes, data: bytes) -> None:
    assert EventData(cap=60).alone(piece) == data
    begun = EventData()
    assert list(begun.feed(b"data: half")) == []
    assert begun.alone(piece) == b""


@pytest.mark.parametrize("flood", [b"data: " + b"x" * 99, b"data: x\n" * 40, b"x" * 99, b": " + b"x" * 99])
def test_the_cap_holds_for_lines_and_for_events(flood: bytes) -> None:
    reader = EventData(cap=60)

    def feed_all() -> None:
        for at in range(0, len(flood), 10):
            list(reader.feed(flood[at : at + 10]))

    with pytest.raises(LineTooLong):
        feed_all()
