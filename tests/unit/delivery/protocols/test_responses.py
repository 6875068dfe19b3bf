"""Responses, byte by byte."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.unit.delivery.protocols.sayings import (
    CALL,
    CANCELLED,
    INTERRUPTED,
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

from ragstream.delivery.protocols.agui import RUN
from ragstream.delivery.protocols.responses import ECHO, ResponsesDialect
from ragstream.events import StreamEvent

RESPONSES = ResponsesDialect()
ID = "0" * 32


def events(stream: bytes) -> list[dict[str, Any]]:
    blocks = stream.decode().removesuffix("data: [DONE]\n\n").split("\n\n")[:-1]
    parsed = []
    for block in blocks:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        parsed.append(event)
    return parsed


def types(stream: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events(stream)]


def test_golden_bytes() -> None:
    stream = told(RESPONSES, records(START, text("Hi"), complete(usage=None))).decode()
    response = (
        f'{{"id":"resp_{ID}","object":"response","created_at":1795242213,"status":"%s","background":false,'
        f'"conversation":{{"id":"{"2" * 32}"}},"error":null,"incomplete_details":null,"instructions":null,'
        '"metadata":{},"model":"m","output":[%s],"parallel_tool_calls":true,"previous_response_id":null,'
        '"temperature":null,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":null,'
        '"usage":null}'
    )
    item = f'{{"id":"msg_{ID}","type":"message","role":"assistant","content":[%s],"status":"%s"}}'
    part = '{"type":"output_text","text":"%s","annotations":[]}'
    place = f'"item_id":"msg_{ID}","output_index":0,"content_index":0'
    done = item % (part % "Hi", "completed")
    expected = [
        ("created", '"response":' + response % ("in_progress", "")),
        ("in_progress", '"response":' + response % ("in_progress", "")),
        ("output_item.added", '"output_index":0,"item":' + item % ("", "in_progress")),
        ("content_part.added", f'{place},"part":{part % ""}'),
        ("output_text.delta", f'{place},"delta":"Hi","logprobs":[]'),
        ("output_text.done", f'{place},"text":"Hi","logprobs":[]'),
        ("content_part.done", f'{place},"part":{part % "Hi"}'),
        ("output_item.done", f'"output_index":0,"item":{done}'),
        ("completed", '"response":' + response % ("completed", done)),
    ]
    blocks = [
        f'event: response.{name}\ndata: {{"type":"response.{name}","sequence_number":{number},{rest}}}\n\n'
        for number, (name, rest) in enumerate(expected, 1)
    ]
    assert stream == "".join(blocks) + "data: [DONE]\n\n"


def test_everything_that_can_be_said() -> None:
    said = (
        START, SOURCES, reasoning("Hm"), text("See [1]"), cited("s1", 4, 7), text("[2]"), cited("s2", 7, 10),
        CALL, RESULT, text(" No.", refusal=True), complete(),
    )  # fmt: skip
    stream = events(told(RESPONSES, records(*said)))
    response = stream[-1]["response"]
    assert [item["type"] for item in response["output"]] == [
        "file_search_call",
        "reasoning",
        "message",
        "mcp_call",
    ]
    search, thought, message, call = response["output"]
    assert [found["filename"] for found in search["results"]] == ["Fjords", "cliffs.pdf"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "Hm"}]
    assert [part["type"] for part in message["content"]] == ["output_text", "refusal"]
    link, file = message["content"][0]["annotations"]
    assert (link["type"], link["url"], link["start_index"], link["end_index"]) == (
        "url_citation",
        "https://a.example/fjords",
        4,
        7,
    )
    assert (file["type"], file["file_id"], file["filename"], file["index"]) == (
        "file_citation",
        "d2",
        "cliffs.pdf",
        10,
    )
    assert (call["name"], call["output"]) == ("look", "seen")
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == 4
    assert response == whole(RESPONSES, *said)
    names = [event["type"] for event in stream]
    assert names.count("response.output_text.annotation.added") == 2
    states = [name.rpartition(".")[2] for name in names if "file_search_call" in name]
    assert states == ["in_progress", "searching", "completed"]


def test_a_search_says_what_was_searched_for() -> None:
    found = msgspec.structs.replace(SOURCES, queries=("red fjords",))
    stream = events(told(RESPONSES, records(START, found, text("Hi"), complete())))
    items = [event["item"] for event in stream if "item" in event]
    assert [item["queries"] for item in items if item["type"] == "file_search_call"] == [["red fjords"]] * 2
    assert stream[-1]["response"] == whole(RESPONSES, START, found, text("Hi"), complete())
    (search, _) = whole(RESPONSES, START, SOURCES, text("Hi"), complete())["output"]
    assert search["queries"] == []


def test_a_call_that_is_left_to_the_client() -> None:
    stream = events(told(RESPONSES, records(START, CALL, complete("tool_calls"))))
    (call,) = stream[-1]["response"]["output"]
    assert (call["type"], call["call_id"], call["arguments"]) == ("function_call", "c1", '{"at":1}')
    assert "response.function_call_arguments.done" in [event["type"] for event in stream]


@pytest.mark.parametrize(
    ("ending", "kind", "status", "code"),
    [
        (complete(), "completed", "completed", None),
        (complete("length"), "incomplete", "incomplete", None),
        (complete("content_filter"), "incomplete", "incomplete", None),
        (failed(), "failed", "failed", "upstream_timeout"),
        (CANCELLED, "failed", "cancelled", "cancelled"),
        (INTERRUPTED, "failed", "failed", "interrupted"),
    ],
)
def test_endings(ending: StreamEvent, kind: str, status: str, code: str | None) -> None:
    said = (START, text("Hel"), ending)
    last = events(told(RESPONSES, records(*said)))[-1]
    assert last["type"] == f"response.{kind}"
    response = last["response"]
    assert (response["status"], (response["error"] or {}).get("code")) == (status, code)
    assert response["output"][0]["content"][0]["text"] == "Hel"
    assert whole(RESPONSES, *said) == response


def test_a_response_under_way() -> None:
    response = whole(RESPONSES, START, text("Hel"))
    assert response["status"] == "in_progress"
    assert response["output"][0]["status"] == "in_progress"
    assert response["output"][0]["content"][0]["text"] == "Hel"


def test_in_the_background_it_is_queued_first() -> None:
    asked = {ECHO: {"background": True, "previous_response_id": "resp_1"}, RUN: {"runId": "r"}, "team": "a"}
    assert START.message_start is not None
    start = msgspec.structs.replace(
        START, message_start=msgspec.structs.replace(START.message_start, metadata=asked)
    )
    stream = events(told(RESPONSES, records(start, text("a"), complete())))
    assert [event["response"]["status"] for event in stream[:3]] == ["queued", "queued", "in_progress"]
    response = stream[-1]["response"]
    assert response["background"] is True
    assert response["previous_response_id"] == "resp_1"
    assert response["metadata"] == {"team": "a"}


def test_an_answer_that_is_told_from_its_stored_turn() -> None:
    said = (START, reset("Hello"), complete())
    stream = events(told(RESPONSES, records(*said, stored=True)))
    assert [item["type"] for item in stream[-1]["response"]["output"]] == ["file_search_call", "message"]
    assert whole(RESPONSES, *said) == stream[-1]["response"]


def test_a_replaced_answer_ends_with_an_error() -> None:
    said = (START, text("Hel"), reset("Well"), text("!"), complete())
    last = events(told(RESPONSES, records(*said)))[-1]
    assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "answer_replaced")
    assert whole(RESPONSES, *said)["output"][1]["content"][0]["text"] == "Well!"
