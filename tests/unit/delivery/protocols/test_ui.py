"""The AI SDK's UI message stream, byte by byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.delivery.protocols.sayings import (
    CALL,
    CANCELLED,
    INTERRUPTED,
    PIECES,
    RESULT,
    SOURCES,
    START,
    STEP,
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

from ragstream.delivery.protocols.ui import UIDialect
from ragstream.events import EventType, StreamEvent, ToolCall, ToolResult

UI = UIDialect()
# What version 5.0 knows; any other type ends its stream.
KNOWN = {
    "start", "start-step", "text-start", "text-delta", "text-end", "reasoning-start", "reasoning-delta",
    "reasoning-end", "tool-input-start", "tool-input-available", "tool-input-error", "tool-output-available",
    "tool-output-error", "source-url", "source-document", "data-citation", "data-step", "message-metadata",
    "finish-step", "finish", "abort", "error",
}  # fmt: skip


def chunks(*events: StreamEvent) -> list[dict[str, Any]]:
    stream = told(UI, records(*events)).decode()
    assert stream.endswith("data: [DONE]\n\n")
    blocks = stream.removesuffix("data: [DONE]\n\n").split("\n\n")[:-1]
    said = [json.loads(block.removeprefix("data: ")) for block in blocks]
    assert {chunk["type"] for chunk in said} <= KNOWN
    return said


def test_golden_bytes() -> None:
    log = records(
        START, reasoning("Hm"), text("Hel"), text("lo [1]"), cited("s1", 6, 9), complete(usage=None)
    )
    start = f'"streamId":"{"0" * 32}","sessionId":"{"2" * 32}","model":"m","createdAt":1795242213'
    expected = [
        f'{{"type":"start","messageId":"{"1" * 32}","messageMetadata":{{{start}}}}}',
        '{"type":"start-step"}',
        '{"type":"reasoning-start","id":"reasoning-1"}',
        '{"type":"reasoning-delta","id":"reasoning-1","delta":"Hm"}',
        '{"type":"reasoning-end","id":"reasoning-1"}',
        '{"type":"text-start","id":"text-2"}',
        '{"type":"text-delta","id":"text-2","delta":"Hel"}',
        '{"type":"text-delta","id":"text-2","delta":"lo [1]"}',
        '{"type":"data-citation","id":"citation-1","data":{"sourceId":"s1","start":6,"end":9}}',
        '{"type":"text-end","id":"text-2"}',
        '{"type":"finish-step"}',
        '{"type":"finish","finishReason":"stop","messageMetadata":{"finishReason":"stop","model":"m-1"}}',
        "[DONE]",
    ]
    assert told(UI, log).decode() == "".join(f"data: {line}\n\n" for line in expected)


def test_sources_are_parts() -> None:
    link, document = (chunk for chunk in chunks(START, SOURCES, complete()) if "sourceId" in chunk)
    assert (link["type"], link["url"], link["title"]) == (
        "source-url",
        "https://a.example/fjords",
        "Fjords",
    )
    assert (document["type"], document["mediaType"], document["filename"]) == (
        "source-document",
        "application/pdf",
        "cliffs.pdf",
    )
    assert document["providerMetadata"]["ragstream"]["page"] == 3
    assert len(chunks(START, SOURCES, SOURCES, complete())) == len(chunks(START, SOURCES, complete()))


def test_tools() -> None:
    broken = StreamEvent(
        type=EventType.TOOL_CALL, tool_call=ToolCall(id="c2", name="look", arguments='{"at":')
    )
    unknown = StreamEvent(
        type=EventType.TOOL_RESULT, tool_result=ToolResult(id="c9", name="look", result="?")
    )
    said = [
        chunk
        for chunk in chunks(START, CALL, RESULT, broken, unknown, complete("tool_calls"))
        if "toolCallId" in chunk
    ]
    assert [(chunk["type"], chunk["toolCallId"]) for chunk in said] == [
        ("tool-input-start", "c1"),
        ("tool-input-available", "c1"),
        ("tool-output-available", "c1"),
        ("tool-input-start", "c2"),
        ("tool-input-error", "c2"),
    ]
    assert said[1]["input"] == {"at": 1}


def test_a_call_is_shown_as_it_is_written() -> None:
    def of_call(*said: StreamEvent) -> list[str]:
        stream = told(UI, records(START, *said)).decode().replace("data: ", "")
        return [block.replace('"toolCallId":"c1",', "") for block in stream.split("\n\n") if "c1" in block]

    written = [
        '{"type":"tool-input-start","toolName":"look","dynamic":true}',
        '{"type":"tool-input-delta","inputTextDelta":"{\\"at\\""}',
        '{"type":"tool-input-delta","inputTextDelta":":1}"}',
    ]
    available, came = of_call(CALL, RESULT, complete())[1:]
    assert '"input":{"at":1},"providerExecuted":true' in available
    assert of_call(*PIECES, CALL, RESULT, complete()) == [*written, available, came]
    (left,) = of_call(*PIECES, failed())[3:]
    assert left.startswith('{"type":"tool-input-error"')
    assert left.endswith('"providerExecuted":true}'), "else a page that goes on by itself would ask again"


def test_a_call_is_the_clients_to_execute_only_where_nobody_else_does() -> None:
    """``onToolCall`` runs whatever has an input and is not marked as executed."""

    def handed_over(*events: StreamEvent) -> list[str]:
        return [
            chunk["toolCallId"]
            for chunk in chunks(START, *events)
            if chunk["type"] == "tool-input-available" and not chunk.get("providerExecuted")
        ]

    own = StreamEvent(type=EventType.TOOL_CALL, tool_call=ToolCall(id="c2", name="show", arguments="{}"))
    assert handed_over(CALL, RESULT, complete()) == []
    assert handed_over(CALL, CANCELLED) == handed_over(CALL, failed()) == []
    assert handed_over(CALL, RESULT, own, complete("tool_calls")) == ["c2"]


def test_steps_are_told_and_not_kept() -> None:
    step = chunks(START, STEP, complete())[2]
    assert (step["type"], step["transient"], step["data"]["label"]) == ("data-step", True, "n")


@pytest.mark.parametrize(
    ("ending", "kind", "code"),
    [
        (failed(), "error", "upstream_timeout"),
        (CANCELLED, "abort", "cancelled"),
        (INTERRUPTED, "error", "interrupted"),
    ],
)
def test_unhappy_endings(ending: StreamEvent, kind: str, code: str) -> None:
    *_, closed, metadata, last = chunks(START, text("Hel"), ending)
    assert closed["type"] == "text-end"
    assert metadata["messageMetadata"]["error"]["code"] == code
    assert last["type"] == kind


def test_a_replaced_answer_ends_with_an_error() -> None:
    *_, metadata, last = chunks(START, text("Hel"), reset("Well"), text("!"), complete())
    assert metadata["messageMetadata"]["error"]["code"] == "answer_replaced"
    assert last["type"] == "error"


def test_the_whole() -> None:
    message = whole(
        UI, START, SOURCES, reasoning("Hm"), CALL, RESULT, text("Hi [1]"), cited("s1", 3, 6), complete()
    )
    kinds = [part["type"] for part in message["parts"]]
    assert kinds == ["source-url", "source-document", "reasoning", "dynamic-tool", "text", "data-citation"]
    assert message["metadata"]["finishReason"] == "stop"
