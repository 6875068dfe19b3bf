"""OpenAI's own client against the real app, heartbeats as dense as they get: Chat Completions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import openai
import pytest
from starlette.types import ASGIApp

from ragstream import ChatRequest, Ragstream, StreamEvent
from ragstream.delivery.settings import DeliverySettings
from ragstream.errors import ErrorCode, ProviderError
from ragstream.events import Citation, EventType, Source

Listening = Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]]

PATH = "/v1/chat/completions"
ASK: list[Any] = [{"role": "user", "content": "Hello?"}]
SOURCE = Source(id="s1", title="Greetings", uri="https://a.example/hello", quote="Hello", score=0.9)


async def answer(request: ChatRequest) -> AsyncGenerator[str | StreamEvent, None]:
    yield StreamEvent(type=EventType.SOURCES, sources=(SOURCE,))
    yield "Well, "
    await asyncio.sleep(0.3)  # long enough for heartbeats; nothing waits for it
    if "fail" in request.messages[-1].text:
        raise ProviderError("The provider is silent.", code=ErrorCode.UPSTREAM_TIMEOUT)
    yield "hello [1]."
    yield StreamEvent(type=EventType.CITATION, citation=Citation(source_id="s1", start=12, end=15))


async def refuse(request: ChatRequest) -> AsyncGenerator[str, None]:
    if request.messages:
        raise ProviderError("The key is wrong.", code=ErrorCode.UPSTREAM_AUTH)
    yield ""


@pytest.fixture
async def http(listening: Listening) -> AsyncIterator[httpx.AsyncClient]:
    ragstream = Ragstream(answer, delivery=DeliverySettings(heartbeat=0.05, head_hold=0.01))
    async with asyncio.timeout(60), listening(ragstream.app) as client:
        yield client


@pytest.fixture
async def client(http: httpx.AsyncClient) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(http) as client:
        yield client


def sdk(http: httpx.AsyncClient) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{http.base_url}/v1", api_key="unused")


async def test_a_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="ragstream", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "Well, hello [1]."
    assert choices[-1].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    told = [choice.delta.model_extra or {} for choice in choices]
    assert [source["id"] for extra in told for source in extra.get("sources", ())] == ["s1"]
    (annotation,) = (one for extra in told for one in extra.get("annotations", ()))
    assert annotation["url_citation"]["url"] == SOURCE.uri
    assert stream.response.headers["x-stream-id"] == chunks[0].id.removeprefix("chatcmpl-")


async def test_the_whole_and_the_same_again(http: httpx.AsyncClient, client: openai.AsyncOpenAI) -> None:
    key = {"Idempotency-Key": "one"}
    whole = await client.chat.completions.create(model="ragstream", messages=ASK, extra_headers=key)
    message = whole.choices[0].message
    assert message.content == "Well, hello [1]."
    assert message.annotations
    assert message.annotations[0].url_citation.title == "Greetings"
    again = await client.chat.completions.create(model="ragstream", messages=ASK, extra_headers=key)
    assert again == whole
    stream_id = whole.id.removeprefix("chatcmpl-")
    url = f"/api/v1/streams/{stream_id}?protocol=chat"
    assert (await http.get(url, headers={"accept": "application/json"})).json()["id"] == whole.id


async def test_any_cursor_gives_the_rest(http: httpx.AsyncClient) -> None:
    first = await http.post(PATH, json={"messages": ASK, "stream": True, "surprise": 1})
    assert "\nid:" not in first.text
    assert "retry:" not in first.text
    assert ": ping\ndata:" in first.text
    blocks = first.text.replace(": ping\n", "").split("\n\n")[:-1]
    *events, done = blocks
    assert done == "data: [DONE]"
    url = f"/api/v1/streams/{first.headers['x-stream-id']}?protocol=chat&after="
    for after in range(len(events)):
        assert (await http.get(f"{url}{after}")).text.split("\n\n")[:-1] == blocks[after:]
    assert (await http.get(f"{url}{len(events)}")).status_code == 204
    ahead = await http.get(f"{url}{len(events) + 1}")
    assert (ahead.status_code, ahead.json()["code"]) == (409, "cursor_ahead")
    native = await http.get(f"/api/v1/streams/{first.headers['x-stream-id']}")
    assert "event: message_complete" in native.text
    unknown = await http.get(f"/api/v1/streams/{first.headers['x-stream-id']}?protocol=morse")
    assert (unknown.status_code, unknown.json()["path"]) == (422, "protocol")


async def test_a_failure_in_the_middle_is_raised(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="ragstream", messages=[{"role": "user", "content": "fail"}], stream=True
    )
    with pytest.raises(openai.APIError, match="silent") as raised:
        async for _ in stream:
            pass
    assert raised.value.code == "upstream_timeout"


async def test_a_stopped_answer_is_an_error(http: httpx.AsyncClient, client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="ragstream", messages=ASK, stream=True)
    await http.post(f"/api/v1/streams/{stream.response.headers['x-stream-id']}/cancel")
    with pytest.raises(openai.APIError) as raised:
        async for _ in stream:
            pass
    assert raised.value.code == "cancelled"


async def test_an_early_failure_keeps_its_status(listening: Listening) -> None:
    ragstream = Ragstream(refuse, delivery=DeliverySettings(head_hold=5))  # no load makes it late
    async with listening(ragstream.app) as http, sdk(http) as patient:
        client = patient.with_options(max_retries=0)
        for stream in (True, False):
            with pytest.raises(openai.InternalServerError) as raised:
                await client.chat.completions.create(model="ragstream", messages=ASK, stream=stream)
            assert (raised.value.status_code, raised.value.code) == (502, "upstream_auth")
            assert raised.value.response.headers["x-stream-id"]
            assert raised.value.response.headers["x-should-retry"] == "false"


async def test_models(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["ragstream", "answer"]
    assert (await client.models.retrieve("ragstream")).id == "ragstream"
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.models.retrieve("who/else")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="ragstream, answer") as refused:
        await client.chat.completions.create(model="gpt-9", messages=ASK)
    assert refused.value.code == "model_not_found"


async def test_what_is_said_before_reaches_the_model(listening: Listening) -> None:
    seen: list[ChatRequest] = []

    async def note(request: ChatRequest) -> AsyncGenerator[str, None]:
        seen.append(request)
        yield "Noted."

    messages: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "One?"}]},
        {"role": "assistant", "content": None, "tool_calls": [_CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "assistant", "content": "One.", "refusal": None},
        {"role": "user", "content": "Two?"},
    ]
    async with listening(Ragstream(note).app) as http, sdk(http) as client:
        await client.chat.completions.create(
            model="ragstream", messages=messages, max_completion_tokens=7, stop=["x"], seed=3
        )
    (request,) = seen
    assert [message.role for message in request.messages] == [one["role"] for one in messages]
    assert request.messages[2].tool_calls[0].name == "look"
    assert (request.options.max_tokens, request.options.stop, request.options.seed) == (7, ("x",), 3)


async def test_a_session_goes_on(listening: Listening) -> None:
    seen: list[list[str]] = []

    async def note(request: ChatRequest) -> AsyncGenerator[str, None]:
        seen.append([message.text for message in request.messages])
        yield "Noted."

    system = {"role": "system", "content": "Be brief."}
    async with listening(Ragstream(note).app) as http:
        first = await http.post(PATH, json={"messages": [system, *ASK]})
        asked = {"messages": [system, *ASK, {"role": "user", "content": "And now?"}]}
        await http.post(PATH, json=asked | {"session_id": first.headers["x-session-id"]})
        assert (await http.post(PATH, json=asked | {"session_id": "0" * 32})).status_code == 404
    assert seen == [["Be brief.", "Hello?"], ["Be brief.", "Hello?", "Noted.", "And now?"]]


async def test_a_page_may_use_the_client(listening: Listening) -> None:
    page = "https://app.example"
    asks = "authorization,content-type,x-stainless-lang,x-stainless-retry-count,idempotency-key"
    headers = {"origin": page, "access-control-request-method": "POST"}
    async with listening(Ragstream(refuse, origins=[page]).app) as http:
        for path in (PATH, "/v1/responses", "/api/v1/ui/chat", "/api/v1/ui/agent"):
            told = await http.options(path, headers=headers | {"access-control-request-headers": asks})
            assert told.status_code == 200, told.text
            reply = await http.post(path, json={}, headers={"origin": page})
            assert reply.headers["access-control-allow-origin"] == page
            exposed = reply.headers["access-control-expose-headers"].lower().split(", ")
            assert {"x-stream-id", "x-should-retry"} <= set(exposed)


_CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"temperature": 3}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content"),
        ({"metadata": {"x": "y" * 20_000}}, "metadata"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(
    http: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    reply = await http.post(PATH, json={"messages": ASK} | fields)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["type"]) == (
        422,
        "invalid_field",
        "invalid_request_error",
    )
    assert error["param"].startswith(param), error
    assert error["message"]


async def test_every_refusal_has_the_form_that_the_client_reads(http: httpx.AsyncClient) -> None:
    for reply, status, code in (
        (await http.post(PATH, content=b"{", headers={"content-type": "application/json"}), 400, "bad_json"),
        (await http.post(PATH, content=b"{}"), 415, "unsupported_media_type"),
        (await http.get("/v1/nothing"), 404, "not_found"),
        (await http.get(PATH), 405, "method_not_allowed"),
    ):
        assert reply.status_code == status
        error = json.loads(reply.text)["error"]
        assert error["code"] == code
        assert error["request_id"] == reply.headers["x-request-id"]
