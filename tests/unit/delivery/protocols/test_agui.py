"""AG-UI, byte by byte, and held against the order that its client demands."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from tests.unit.delivery.protocols.sayings import (
    CALL,
    CANCELLED,
    INTERRUPTED,
    PIECES,
    RESULT,
    SOURCES,
    START,
    STEP,
    answers,
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

from ragstream.delivery.protocols.agui import RUN, AGUIDialect
from ragstream.events import StreamEvent

AGUI = AGUIDialect()
MESSAGE = "1" * 32


def events(*said: StreamEvent) -> list[dict[str, Any]]:
    blocks = told(AGUI, records(*said)).decode().split("\n\n")[:-1]
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def test_golden_bytes() -> None:
    log = records(
        START, reasoning("Hm"), text("Hel"), text("lo [1]"), cited("s1", 6, 9), complete(usage=None)
    )
    ids = f'"threadId":"{"2" * 32}","runId":"{"0" * 32}"'
    thought, message = f'"messageId":"{MESSAGE}-reasoning-1"', f'"messageId":"{MESSAGE}"'
    expected = [
        f'{{"type":"RUN_STARTED",{ids}}}',
        f'{{"type":"REASONING_START",{thought}}}',
        f'{{"type":"REASONING_MESSAGE_START",{thought},"role":"reasoning"}}',
        f'{{"type":"REASONING_MESSAGE_CONTENT",{thought},"delta":"Hm"}}',
        f'{{"type":"REASONING_MESSAGE_END",{thought}}}',
        f'{{"type":"REASONING_END",{thought}}}',
        f'{{"type":"TEXT_MESSAGE_START",{message},"role":"assistant"}}',
        f'{{"type":"TEXT_MESSAGE_CONTENT",{message},"delta":"Hel"}}',
        f'{{"type":"TEXT_MESSAGE_CONTENT",{message},"delta":"lo [1]"}}',
        f'{{"type":"CUSTOM","name":"citation","value":{{{message},"sourceId":"s1","start":6,"end":9}}}}',
        f'{{"type":"TEXT_MESSAGE_END",{message}}}',
        f'{{"type":"RUN_FINISHED",{ids},"result":{{"finishReason":"stop"}}}}',
    ]
    assert told(AGUI, log).decode() == "".join(f"data: {line}\n\n" for line in expected)


def test_the_ids_of_the_run_are_those_that_the_client_chose() -> None:
    assert START.message_start is not None
    metadata = {RUN: {"runId": "run-7", "parentRunId": "run-6"}}
    start = msgspec.structs.replace(
        START, message_start=msgspec.structs.replace(START.message_start, metadata=metadata)
    )
    first, last = events(start, complete())
    assert (first["runId"], first["parentRunId"], last["runId"]) == ("run-7", "run-6", "run-7")


def test_tools_and_sources() -> None:
    said = events(START, SOURCES, CALL, RESULT, text("Seen."), complete())
    assert said[1]["name"] == "sources"
    assert [source["id"] for source in said[1]["value"]] == ["s1", "s2"]
    kinds = [event["type"] for event in said if event.get("toolCallId") == "c1"]
    assert kinds == ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT"]


def test_a_call_is_shown_as_it_is_written() -> None:
    def of_call(*said: StreamEvent) -> list[tuple[str, str]]:
        about = (event for event in events(START, *said) if event.get("toolCallId") == "c1")
        return [(event["type"].removeprefix("TOOL_CALL_"), event.get("delta", "")) for event in about]

    start, pieces = ("START", ""), [("ARGS", '{"at"'), ("ARGS", ":1}")]
    end, result = ("END", ""), ("RESULT", "")
    assert of_call(*PIECES, CALL, RESULT, complete()) == [start, *pieces, end, result]
    assert of_call(PIECES[0], CALL, RESULT, complete()) == [start, *pieces, end, result]
    assert of_call(CALL, RESULT, complete()) == [start, ("ARGS", '{"at":1}'), end, result]
    assert of_call(*PIECES, failed()) == [start, *pieces, end]


def test_steps() -> None:
    kinds = [(event["type"], event.get("stepName")) for event in events(START, STEP, complete())]
    assert kinds[1:-1] == [("STEP_STARTED", "n"), ("STEP_FINISHED", "n")]


@pytest.mark.parametrize(
    ("ending", "code"),
    [(failed(), "upstream_timeout"), (CANCELLED, "cancelled"), (INTERRUPTED, "interrupted")],
)
def test_unhappy_endings(ending: StreamEvent, code: str) -> None:
    last = events(START, text("Hel"), ending)[-1]
    assert (last["type"], last["code"]) == ("RUN_ERROR", code)


def test_a_replaced_answer_ends_with_an_error() -> None:
    last = events(START, text("Hel"), reset("Well"), complete())[-1]
    assert (last["type"], last["code"]) == ("RUN_ERROR", "answer_replaced")


@given(said=answers())
def test_the_client_accepts_any_answer(said: list[StreamEvent]) -> None:
    """As its ``verifyEvents`` checks: what is opened is closed, and once; no piece is empty."""
    stream = events(*said)
    assert stream[0]["type"] == "RUN_STARTED"
    open_: set[tuple[str, str]] = set()
    for event in stream[1:-1]:
        kind, name = event["type"], event.get("toolCallId") or event.get("messageId", "")
        family = kind.rpartition("_")[0]
        assert not kind.startswith("RUN_")
        assert event.get("delta") != ""
        if kind.endswith("_START"):
            assert (family, name) not in open_
            open_.add((family, name))
        elif kind.endswith("_END"):
            open_.remove((family, name))
        elif kind.endswith(("_CONTENT", "_ARGS")):
            assert (family, name) in open_
    assert stream[-1]["type"] in ("RUN_FINISHED", "RUN_ERROR")
    assert not open_


def test_the_whole() -> None:
    run = whole(AGUI, START, SOURCES, text("Hi [1]"), cited("s1", 3, 6), complete())
    assert run["messages"][0]["content"] == "Hi [1]"
    assert run["citations"] == [{"messageId": MESSAGE, "sourceId": "s1", "start": 3, "end": 6}]
