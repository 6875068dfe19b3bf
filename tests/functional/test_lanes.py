"""The request lane over a real socket: which steps a request takes, what they log, and what is read."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

from ragstream import ChatRequest, Ragstream
from ragstream.delivery.settings import DeliverySettings
from ragstream.errors import ErrorCode, ProviderError
from ragstream.telemetry import LogLine, recorded_log

CHAT = "/api/v1/chatbot/chat"
STREAM = "/api/v1/chatbot/chat/stream"
ASK = {"messages": [{"role": "user", "content": "Hello?"}]}
DONE = b"event: done\ndata: {}\n\n"
ADMITTED = [2, 1, 3, 104]
PAGE = "https://page.example"

Listening = Callable[[Any], AbstractAsyncContextManager[httpx.AsyncClient]]


async def hello(_: ChatRequest) -> AsyncGenerator[str, None]:
    for word in ("Hel", "lo ", "Ann."):
        yield word


def steps_of(lines: list[LogLine], request_id: str) -> list[int]:
    """Return the numbers of the request lane's steps that a request took, in their order."""
    return [
        line.attributes["step"]
        for line in lines
        if line.attributes["request_id"] == request_id
        and line.attributes["processing_stage"] == "completed"
        and line.attributes["step"] in {*ADMITTED, 5, 30, 101, 105, 106, 107, 108, 109, 110, 112, 115, 116}
    ]


def blocks_of(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(data) for data in re.findall(rb"^data: (.*)$", body, re.MULTILINE)]


async def test_a_streamed_question_takes_every_step(listening: Listening) -> None:
    with recorded_log("ragstream.steps") as lines:
        async with listening(Ragstream(hello).app) as client:
            reply = await client.post(STREAM, json=ASK, headers={"x-request-id": "r1"})
    assert steps_of(lines, "r1") == [*ADMITTED, 105, 106, 107, 116, 108, 109, 110, 112]
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.content.endswith(DONE)
    events = blocks_of(reply.content)
    assert [event["type"] for event in events[:-1]] == [
        "message_start",
        "text_delta",
        "text_delta",
        "text_delta",
        "message_complete",
    ]
    assert events[0]["message_start"]["stream_id"] == reply.headers["x-stream-id"]


async def test_a_whole_answer_and_one_that_has_begun_take_their_own_ways(listening: Listening) -> None:
    with recorded_log("ragstream.steps") as lines:
        async with listening(Ragstream(hello).app) as client:
            whole = (await client.post(CHAT, json=ASK, headers={"x-request-id": "r1"})).json()
            path = f"/api/v1/streams/{whole['stream_id']}"
            await client.get(path, headers={"x-request-id": "r2"})
            again = await client.get(path, headers={"x-request-id": "r3", "accept": "application/json"})
    assert steps_of(lines, "r1") == [*ADMITTED, 106, 107, 116, 101, 30, 112]
    assert steps_of(lines, "r2") == [*ADMITTED, 115, 116, 108, 109, 110, 112]
    assert steps_of(lines, "r3") == [*ADMITTED, 115, 116, 101, 30, 112]
    assert again.json() == whole


async def test_the_lines_of_set_up_and_generator_to_the_letter(listening: Listening) -> None:
    with recorded_log("ragstream.steps") as lines:
        async with listening(Ragstream(hello).app) as client:
            await client.post(STREAM, json=ASK, headers={"x-request-id": "r1"})
    said = {line.attributes["step"]: line for line in lines if line.level == "info"}
    assert said[105].text == (
        "RAG STEP 105 (RAG.streaming.chatbotcontroller.chat.stream.setup.sse): "
        "ChatbotController.chat_stream Setup SSE | attrs="
        '{"step":105,"request_id":"r1","streaming_requested":true,"streaming_setup":true,'
        '"headers_configured":true,"stream_context_prepared":true,"next_step":106,'
        '"processing_stage":"completed"}'
    )
    assert said[106].text == (
        "RAG STEP 106 (RAG.platform.create.async.generator): Create async generator | attrs="
        '{"step":106,"request_id":"r1","generator_created":true,"generator_configured":true,'
        '"next_step":107,"processing_stage":"completed"}'
    )
    begun = next(line for line in lines if line.attributes["step"] == 106 and line.level == "debug")
    assert begun.text == (
        "RAG STEP 106 (RAG.platform.create.async.generator): Create async generator | attrs="
        '{"step":106,"request_id":"r1","processing_stage":"started"}'
    )


async def test_a_refused_request_ends_at_the_problem(listening: Listening) -> None:
    with recorded_log("ragstream.steps") as lines:
        async with listening(Ragstream(hello).app) as client:
            reply = await client.post(STREAM, json={}, headers={"x-request-id": "r1"})
    assert steps_of(lines, "r1") == [2, 1, 3, 5, 112]
    assert (reply.status_code, reply.json()["request_id"]) == (422, "r1")


async def test_requirements_are_validated_before_anything_is_set_up(listening: Listening) -> None:
    with recorded_log("ragstream.steps") as lines:
        async with listening(Ragstream(hello).app) as client:
            headers = {"x-request-id": "r1", "accept": "application/json"}
            reply = await client.post(STREAM, json=ASK, headers=headers)
    assert steps_of(lines, "r1") == [2, 1, 3, 5, 112]
    assert (reply.status_code, reply.json()["code"]) == (406, "not_acceptable")


async def fails_at_once(_: ChatRequest) -> AsyncGenerator[str, None]:
    for word in list[str]():
        yield word
    raise ProviderError("The key is not taken", code=ErrorCode.UPSTREAM_AUTH, provider="p")


async def fails_in_the_middle(_: ChatRequest) -> AsyncGenerator[str, None]:
    yield "Hel"
    raise ProviderError("It broke", code=ErrorCode.UPSTREAM_ERROR, provider="p")


async def test_a_failure_before_the_first_word_has_a_status(listening: Listening) -> None:
    patient = DeliverySettings(head_hold=30.0)
    with recorded_log("ragstream.steps") as lines:
        async with listening(Ragstream(fails_at_once, delivery=patient).app) as client:
            reply = await client.post(STREAM, json=ASK, headers={"x-request-id": "r1"})
    assert steps_of(lines, "r1") == [*ADMITTED, 105, 106, 107, 116, 108, 109, 110, 112]
    assert (reply.status_code, reply.json()["code"]) == (502, "upstream_auth")
    assert DONE not in reply.content


async def test_a_failure_in_the_middle_is_an_event(listening: Listening) -> None:
    with recorded_log("ragstream.steps") as lines:
        async with listening(Ragstream(fails_in_the_middle).app) as client:
            reply = await client.post(STREAM, json=ASK, headers={"x-request-id": "r1"})
            whole = await client.post(CHAT, json=ASK)
    sent = next(line for line in lines if line.attributes["step"] == 109 and line.level == "info")
    assert sent.attributes["ending"] == "failed"
    assert reply.status_code == 200
    assert reply.content.endswith(DONE)
    failed = blocks_of(reply.content)[-2]
    assert failed["error"] == {"code": "upstream_error", "message": "It broke"}
    problem = whole.json()
    assert (whole.status_code, problem["code"], problem["text"]) == (502, "upstream_error", "Hel")


async def test_a_question_while_shutting_down_fails_at_the_claim(listening: Listening) -> None:
    ragstream = Ragstream(hello)
    with recorded_log("ragstream.steps") as lines:
        async with listening(ragstream.app) as client:
            await client.get("/readyz")
            await ragstream.service.drain(0)
            reply = await client.post(STREAM, json=ASK, headers={"x-request-id": "r1"})
            ready = await client.get("/readyz")
    assert steps_of(lines, "r1") == [*ADMITTED, 105, 106]
    failed = next(line for line in lines if line.attributes["processing_stage"] == "failed")
    assert (failed.attributes["step"], failed.attributes["code"]) == (107, "unavailable")
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
    assert ready.status_code == 503


async def test_streamed_and_collected_answers_are_the_same(listening: Listening) -> None:
    async with listening(Ragstream(hello).app) as client:
        whole = (await client.post(CHAT, json=ASK)).json()
        streamed = blocks_of((await client.post(STREAM, json=ASK)).content)
    deltas = [event["text_delta"]["content"] for event in streamed if event.get("type") == "text_delta"]
    assert whole["message"] == {"role": "assistant", "content": "".join(deltas)}
    ending = streamed[-2]
    assert (whole["finish_reason"], whole["usage"]) == (ending["finish_reason"], ending.get("usage"))
    assert (whole["sources"], whole["citations"]) == ([], [])


async def test_options_metadata_and_context_arrive_and_are_kept(listening: Listening) -> None:
    asked: list[ChatRequest] = []

    async def notes(request: ChatRequest) -> AsyncGenerator[str, None]:
        asked.append(request)
        yield f"Answer {len(asked)}."

    options = {"temperature": 0.5, "max_tokens": 7, "seed": 3, "stop": "END"}
    async with listening(Ragstream(notes).app) as client:
        question = ASK | {"options": options, "metadata": {"page": {"no": 3}}, "model": "big"}
        first = await client.post(STREAM, json=question)
        session = first.headers["x-session-id"]
        second = await client.post(STREAM, json=ASK | {"session_id": session})
    start = blocks_of(first.content)[0]["message_start"]
    assert (start["metadata"], start["model"], start["session_id"]) == ({"page": {"no": 3}}, "big", session)
    assert second.headers["x-session-id"] == session
    said = asked[0].options
    assert (said.temperature, said.max_tokens, said.seed, said.stop) == (0.5, 7, 3, ("END",))
    before = [(message.role, message.text) for message in asked[1].messages[-3:]]
    assert before == [("user", "Hello?"), ("assistant", "Answer 1."), ("user", "Hello?")]


async def test_custom_headers_and_retry_hint(listening: Listening) -> None:
    settings = DeliverySettings(headers=(("X-Team", "search"),), retry=1234)
    async with listening(Ragstream(hello, delivery=settings).app) as client:
        reply = await client.post(STREAM, json=ASK)
    assert reply.headers["x-team"] == "search"
    assert reply.content.startswith(b"id: 1\nevent: message_start\nretry: 1234\ndata: ")
    assert reply.content.count(b"retry: ") == 1
    assert "connection" not in reply.headers
    assert reply.headers["cache-control"] == "no-store, no-transform"


async def test_pages_of_named_origins_may_ask(listening: Listening) -> None:
    async with listening(Ragstream(hello, origins=[PAGE]).app) as client:
        preflight = await client.options(
            STREAM,
            headers={
                "origin": PAGE,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,content-type,idempotency-key,last-event-id",
            },
        )
        reply = await client.post(STREAM, json=ASK, headers={"origin": PAGE})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == PAGE
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in ("authorization", "idempotency-key", "last-event-id"))
    assert reply.headers["access-control-allow-origin"] == PAGE
    exposed = {name.strip() for name in reply.headers["access-control-expose-headers"].lower().split(",")}
    assert exposed == {"x-stream-id", "x-session-id", "x-request-id", "retry-after", "x-should-retry"}


async def test_pages_learn_what_was_refused_late(listening: Listening) -> None:
    async with listening(Ragstream(hello, origins=[PAGE]).app) as client:
        reply = await client.get("/api/v1/streams/none", headers={"origin": PAGE, "x-request-id": "r1"})
    assert reply.status_code == 404
    assert reply.json()["code"] == "not_found"
    assert reply.headers["access-control-allow-origin"] == PAGE
    assert reply.headers["x-request-id"] == "r1"


async def test_pages_of_other_origins_learn_nothing(listening: Listening) -> None:
    foreign = {"origin": "https://evil.example"}
    async with listening(Ragstream(hello, origins=[PAGE]).app) as client:
        preflight = await client.options(STREAM, headers=foreign | {"access-control-request-method": "POST"})
        reply = await client.post(STREAM, json=ASK, headers=foreign)
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    assert "access-control-allow-origin" not in reply.headers


async def test_compressed_events_arrive_one_by_one(listening: Listening) -> None:
    more = asyncio.Semaphore(0)

    async def slow(_: ChatRequest) -> AsyncGenerator[str, None]:
        for word in ("one ", "two ", "three "):
            yield word
            await more.acquire()

    settings = DeliverySettings(compression=True)
    text, inflate = b"", zlib.decompressobj(16 + zlib.MAX_WBITS)
    async with listening(Ragstream(slow, delivery=settings).app) as client, asyncio.timeout(20):
        headers = {"accept-encoding": "gzip"}
        async with client.stream("POST", STREAM, json=ASK, headers=headers) as reply:
            assert reply.headers["content-encoding"] == "gzip"
            assert reply.headers["vary"] == "accept-encoding"
            pieces = reply.aiter_raw()
            for word in (b"one ", b"two ", b"three "):
                while word not in text:  # the next word is not even generated before this one was read
                    text += inflate.decompress(await anext(pieces))
                more.release()
            text += inflate.decompress(b"".join([piece async for piece in pieces]))
    assert inflate.eof
    assert text.endswith(DONE)


@pytest.mark.parametrize("accept", ["", "br", "gzip;q=0"])
async def test_who_does_not_accept_gzip_gets_none(listening: Listening, accept: str) -> None:
    settings = DeliverySettings(compression=True)
    async with listening(Ragstream(hello, delivery=settings).app) as client:
        reply = await client.post(STREAM, json=ASK, headers={"accept-encoding": accept})
    assert "content-encoding" not in reply.headers
    assert reply.content.endswith(DONE)


async def test_heartbeats_fill_the_silence(listening: Listening) -> None:
    enough = asyncio.Event()

    async def thinks(_: ChatRequest) -> AsyncGenerator[str, None]:
        await enough.wait()
        yield "Now."

    settings = DeliverySettings(heartbeat=0.02, head_hold=0.0)
    body = b""
    async with (
        asyncio.timeout(20),
        listening(Ragstream(thinks, delivery=settings).app) as client,
        client.stream("POST", STREAM, json=ASK) as reply,
    ):
        async for piece in reply.aiter_raw():
            body += piece
            if body.count(b"\n:\n") >= 3:
                enough.set()
    assert body.endswith(DONE)
    assert b"Now." in body


@pytest.mark.parametrize(
    ("path", "allowed"),
    [(CHAT, "POST"), ("/api/v1/auth/sessions/x", "PATCH, DELETE"), ("/api/v1/documents", "GET, POST")],
)
async def test_a_method_that_is_not_possible_names_those_that_are(
    listening: Listening, path: str, allowed: str
) -> None:
    async with listening(Ragstream(hello).app) as client:
        reply = await client.put(path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allowed)
    assert reply.json()["detail"] == f"PUT is not possible here; possible: {allowed}."


async def test_what_is_measured_of_an_answer(listening: Listening) -> None:
    async with listening(Ragstream(hello).app) as client:
        await client.post(STREAM, json=ASK)
        exposed = (await client.get("/metrics")).text
    for line in (
        "ragstream_events_logged_total 5.0",
        "ragstream_first_byte_seconds_count 1.0",
        "ragstream_token_gap_seconds_count 2.0",
        "ragstream_unread_tokens_total 0.0",
        'ragstream_llm_attempts_total{outcome="complete",provider="hello"} 1.0',
        'ragstream_answers_total{status="complete"} 1.0',
        "ragstream_readers 0.0",
    ):
        assert f"\n{line}\n" in exposed, line


async def test_what_nobody_reads_is_counted(listening: Listening) -> None:
    left, finished = asyncio.Event(), asyncio.Event()

    async def goes_on(_: ChatRequest) -> AsyncGenerator[str, None]:
        yield "read "
        await left.wait()
        yield "not "
        yield "read"
        finished.set()

    ragstream = Ragstream(goes_on)
    async with listening(ragstream.app) as client, asyncio.timeout(20):
        async with client.stream("POST", STREAM, json=ASK) as reply:
            stream_id = reply.headers["x-stream-id"]
        while "\nragstream_readers 0.0\n" not in (await client.get("/metrics")).text:
            pass  # asked again, until the server has noticed
        left.set()
        await finished.wait()
        await client.get(f"/api/v1/streams/{stream_id}")
        exposed = (await client.get("/metrics")).text
    assert "\nragstream_unread_tokens_total 2.0\n" in exposed
    assert "\nragstream_resumes_total 1.0\n" in exposed
