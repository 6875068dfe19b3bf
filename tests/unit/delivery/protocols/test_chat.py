"""Chat Completions, byte by byte."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.delivery.protocols.sayings import (
    CALL,
    CANCELLED,
    INTERRUPTED,
    LINK,
    PAPER,
    RESULT,
    SOURCES,
    START,
    cited,
    complete,
    failed,
    reasoning,
    records,
    reset,
    text,
    told,
    whole,
)

from ragstream.delivery.protocols.chat import ChatDialect
from ragstream.events import EventType, StreamEvent

CHAT = ChatDialect()
HEAD = '{"id":"chatcmpl-%s","object":"chat.completion.chunk","created":1795242213,"model":"m",' % ("0" * 32)


def block(delta: str, finish: str = "null") -> str:
    choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'
    return f'data: {HEAD}"choices":[{choice}]}}\n\n'


def chunks(stream: bytes) -> list[dict[str, Any]]:
    blocks = stream.decode().removesuffix("data: [DONE]\n\n").split("\n\n")[:-1]
    return [json.loads(one.removeprefix("data: ")) for one in blocks]


def deltas(stream: bytes) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(stream)]


def test_golden_bytes() -> None:
    log = records(START, SOURCES, reasoning("Hm"), text("Hel"), text("lo [1]"), cited("s1", 6, 9), complete())
    first = (
        '{"index":0,"id":"s1","title":"Fjords","uri":"https://a.example/fjords","quote":"A fjord",'
        '"score":0.9}'
    )
    second = (
        '{"index":1,"id":"s2","title":"Cliffs","uri":"docs/cliffs.pdf","page":3,"quote":"A cliff",'
        '"score":0.5,"document_id":"d2"}'
    )
    annotation = (
        '{"index":0,"type":"url_citation","url_citation":{"url":"https://a.example/fjords","title":"Fjords",'
        '"start_index":6,"end_index":9},"source_id":"s1"}'
    )
    expected = [
        block('{"role":"assistant","content":""}'),
        block(f'{{"sources":[{first},{second}]}}'),
        block('{"reasoning_content":"Hm"}'),
        block('{"content":"Hel"}'),
        block('{"content":"lo [1]"}'),
        block(f'{{"annotations":[{annotation}]}}'),
        block("{}", '"stop"'),
        "data: [DONE]\n\n",
    ]
    assert told(CHAT, log).decode() == "".join(expected)


def test_what_comes_in_a_list_is_numbered_through_the_whole_stream() -> None:
    """OpenAI's client for Python puts lists together by ``index``, and raises where there is none."""
    one, two = (StreamEvent(type=EventType.SOURCES, sources=found) for found in ((LINK,), (LINK, PAPER)))
    log = records(START, one, two, text("a [1][2]"), cited("s1", 2, 5), cited("s2", 5, 8), complete())
    said = deltas(told(CHAT, log))
    for name in ("sources", "annotations"):
        assert [one["index"] for delta in said for one in delta.get(name, ())] == [0, 1]


def test_usage_comes_last_where_it_is_asked_for() -> None:
    *others, last = chunks(told(ChatDialect(include_usage=True), records(START, text("a"), complete())))
    assert [chunk["usage"] for chunk in others] == [None] * 3
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    unknown = told(ChatDialect(include_usage=True), records(START, text("a"), complete(usage=None)))
    assert all(chunk["choices"] for chunk in chunks(unknown))


def test_a_call_that_was_executed_here_is_not_handed_over() -> None:
    executed = deltas(told(CHAT, records(START, CALL, RESULT, text("Seen."), complete())))
    assert not any("tool_calls" in delta for delta in executed)
    handed = deltas(told(CHAT, records(START, CALL, complete("tool_calls"))))
    function = {"name": "look", "arguments": '{"at":1}'}
    assert handed[1] == {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}


def test_a_refusal_is_one() -> None:
    said = (START, text("No.", refusal=True), complete("content_filter"))
    assert {"refusal": "No."} in deltas(told(CHAT, records(*said)))
    message = whole(CHAT, *said)["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "No.")


def test_no_other_ending_looks_like_success() -> None:
    for ending, code in (
        (failed(), "upstream_timeout"),
        (CANCELLED, "cancelled"),
        (INTERRUPTED, "interrupted"),
    ):
        *_, last = chunks(told(CHAT, records(START, text("a"), ending)))
        assert last["error"]["code"] == code
        assert set(last["error"]) == {"message", "type", "code", "param"}
        assert b'"finish_reason":"stop"' not in told(CHAT, records(START, text("a"), ending))


def test_an_answer_that_is_told_from_its_stored_turn_is_ordinary() -> None:
    said = deltas(told(CHAT, records(START, reset("Hello"), complete(), stored=True)))
    assert [next(iter(delta), "") for delta in said] == ["role", "sources", "content", "annotations", ""]


def test_a_replaced_answer_ends_with_an_error() -> None:
    for stream in (
        told(CHAT, records(START, text("Hel"), reset("Well"), text("!"), complete())),
        told(CHAT, records(START, reset("Hello"), complete(), stored=True), after=3),
    ):
        *_, last = chunks(stream)
        assert last["error"]["code"] == "answer_replaced"


def test_the_whole() -> None:
    message = whole(CHAT, START, SOURCES, reasoning("Hm"), text("Hi [1]"), cited("s1", 3, 6), complete())
    assert message["id"] == "chatcmpl-" + "0" * 32
    said = message["choices"][0]["message"]
    assert (said["content"], said["reasoning_content"]) == ("Hi [1]", "Hm")
    assert said["annotations"][0]["url_citation"]["start_index"] == 3
    assert message["usage"]["total_tokens"] == 11
