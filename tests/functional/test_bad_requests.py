"""Bad input at the HTTP boundary: a problem that says what to change, and nothing lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest

from ragstream import Ragstream
from ragstream.delivery.settings import DeliverySettings

CHAT = "/api/v1/chatbot/chat"
ASK = {"messages": [{"role": "user", "content": "Hello?"}]}
ERRORS = {400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 413, 415, 421, 422, 429}


async def echo(request: Any) -> AsyncGenerator[str, None]:
    yield request.messages[-1].text


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    ragstream = Ragstream(echo, delivery=DeliverySettings(max_body=50_000, body_deadline=0.3))
    transport = httpx.ASGITransport(ragstream.app)
    async with ragstream, httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


def check_problem(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    problem: dict[str, Any] = reply.json()
    assert (reply.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["request_id"] == reply.headers["x-request-id"]
    assert problem["title"]
    assert "\n" not in problem["detail"]
    assert "Traceback" not in reply.text
    return problem


def deep(levels: int) -> bytes:
    return b'{"messages":' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"", 400, "bad_json", "line 1"),
        (b'{"messages": [', 400, "bad_json", "line 1, column"),
        (b'{\n  "messages": nope}', 400, "bad_json", "line 2, column 15"),
        (b'{"messages": [], "messages": []}', 400, "bad_json", "twice"),
        (deep(10_000), 400, "bad_json", "nested too deeply"),
        (b'{"x": NaN}', 400, "bad_json", "NaN"),
        (b'{"x": Infinity}', 400, "bad_json", "Infinity"),
        (b'{"x": 1e999}', 400, "bad_json", "1e999"),
        (b"\xef\xbb\xbf{}", 400, "bad_json", "byte order mark"),
        (json.dumps(ASK).encode("utf-16"), 400, "bad_json", "UTF-8"),
        (b'{"messages": "\xff"}', 400, "bad_json", "UTF-8"),
        (b'{"messages":[{"role":"user","content":"a\\u0000b"}]}', 422, "invalid_field", "NUL"),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', 422, "invalid_field", "surrogate"),
        (b"[]", 422, "invalid_field", "body"),
        (b"{}", 422, "invalid_field", "messages"),
        (b'{"messages":[]}', 422, "invalid_field", "messages"),
        (b"x" * 50_001, 413, "body_too_large", "50000"),
    ],
)
async def test_bodies(client: httpx.AsyncClient, body: bytes, status: int, code: str, says: str) -> None:
    reply = await client.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert says in check_problem(reply, status, code)["detail"]


def question(content: Any = "Hello?", role: str = "user", **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content}]} | fields


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        (question(""), "messages.0.content"),
        (question(" \n\t"), "messages.0.content"),
        (question(["text"]), "messages.0.content"),
        (question([]), "messages.0.content"),
        (question([{"type": "audio"}]), "messages.0.content"),
        (question([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]), "messages.0.content"),
        (question(role="system"), "messages.0.role"),
        (question(role="assistant"), "messages"),
        ({"messages": [{"role": "user", "content": "x"}] * 501}, "messages"),
        (question(surprise=1), "surprise"),
        (question(session_id=""), "session_id"),
        (question(session_id=7), "session_id"),
        (question(model=""), "model"),
        (question(options={"temperature": 3}), "options.temperature"),
        (question(options={"max_tokens": 0}), "options.max_tokens"),
        (question(options={"stop": ["a", "b", "c", "d", "e"]}), "options.stop"),
        (question(options={"top_k": 1}), "options.top_k"),
        (question(metadata=[1]), "metadata"),
        (question(metadata={"x": "y" * 20_000}), "metadata"),
        (question(include_steps="perhaps"), "include_steps"),
    ],
)
async def test_fields(client: httpx.AsyncClient, asked: dict[str, Any], path: str) -> None:
    problem = check_problem(await client.post(CHAT, json=asked), 422, "invalid_field")
    assert problem["path"].startswith(path)


async def test_a_long_message_names_the_limit(client: httpx.AsyncClient) -> None:
    ragstream = Ragstream(echo, delivery=DeliverySettings(max_body=1 << 21))
    transport = httpx.ASGITransport(ragstream.app)
    async with ragstream, httpx.AsyncClient(transport=transport, base_url="http://localhost") as large:
        problem = check_problem(await large.post(CHAT, json=question("x" * 1_000_000)), 422, "invalid_field")
    assert "100000" in problem["detail"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content-type": "text/plain"}, 415, "unsupported_media_type"),
        ({"content-type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
        ({"content-type": ""}, 415, "unsupported_media_type"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415, "unsupported_media_type"),
    ],
)
async def test_types(client: httpx.AsyncClient, headers: dict[str, str], status: int, code: str) -> None:
    check_problem(await client.post(CHAT, content=json.dumps(ASK), headers=headers), status, code)


async def test_accept_must_admit_the_stream(client: httpx.AsyncClient) -> None:
    headers = {"accept": "application/json"}
    problem = check_problem(
        await client.post(CHAT + "/stream", json=ASK, headers=headers), 406, "not_acceptable"
    )
    assert "/chat" in problem["detail"]


async def test_a_session_that_is_not_there(client: httpx.AsyncClient) -> None:
    check_problem(await client.post(CHAT, json=question(session_id="0" * 32)), 404, "not_found")


@pytest.mark.parametrize("cursor", ["abc", "-1", "1e9", "1.5", " 1", "9" * 16, "x" * 8000, "%00", "²"])
async def test_cursors(client: httpx.AsyncClient, cursor: str) -> None:
    stream_id = (await client.post(CHAT, json=ASK)).json()["stream_id"]
    for reply in (
        await client.get(f"/api/v1/streams/{stream_id}", params={"after": cursor}),
        await client.get(
            f"/api/v1/streams/{stream_id}", headers=[(b"last-event-id", cursor.encode("latin-1"))]
        ),
    ):
        if cursor == " 1" and reply.status_code == 200:
            continue  # a header's surrounding spaces are not part of it
        check_problem(reply, 400, "bad_cursor")


async def test_cursor_of_the_header_wins_and_an_empty_one_is_the_start(client: httpx.AsyncClient) -> None:
    stream_id = (await client.post(CHAT, json=ASK)).json()["stream_id"]
    path = f"/api/v1/streams/{stream_id}"
    whole = (await client.get(path, headers={"last-event-id": ""})).text
    assert whole.startswith("id: 1\n")
    later = await client.get(path, params={"after": "abc"}, headers={"last-event-id": "1"})
    assert later.text.startswith("id: 2\n")


async def test_a_cursor_beyond_the_end(client: httpx.AsyncClient) -> None:
    stream_id = (await client.post(CHAT, json=ASK)).json()["stream_id"]
    reply = await client.get(f"/api/v1/streams/{stream_id}", params={"after": "999"})
    check_problem(reply, 409, "cursor_ahead")


async def test_a_reader_who_has_all_gets_204(client: httpx.AsyncClient) -> None:
    stream_id = (await client.post(CHAT, json=ASK)).json()["stream_id"]
    path = f"/api/v1/streams/{stream_id}"
    count = (await client.get(path)).text.count("id: ")
    assert (await client.get(path, params={"after": str(count)})).status_code == 204


@pytest.mark.parametrize("stream_id", ["0" * 32, "..%2f..%2fetc", "x" * 4000, "%00", "A" * 32])
async def test_streams_that_are_not_there(client: httpx.AsyncClient, stream_id: str) -> None:
    check_problem(await client.get(f"/api/v1/streams/{stream_id}"), 404, "not_found")
    check_problem(await client.post(f"/api/v1/streams/{stream_id}/cancel"), 404, "not_found")


async def test_another_callers_stream_and_session_are_as_absent_as_missing_ones() -> None:
    ragstream = Ragstream(echo, api_keys=[("ann", "ann-key"), ("bob", "bob-key")])
    transport = httpx.ASGITransport(ragstream.app)
    ann, bob = ({"authorization": f"Bearer {name}-key"} for name in ("ann", "bob"))
    async with ragstream, httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        mine = (await client.post(CHAT, json=ASK, headers=ann)).json()
        for path in (
            f"/api/v1/streams/{mine['stream_id']}",
            f"/api/v1/chatbot/messages?session_id={mine['session_id']}",
        ):
            foreign, missing = (await client.get(path, headers=bob)).json(), path
            nothing = (
                await client.get(
                    missing.replace(mine["stream_id"], "0" * 32).replace(mine["session_id"], "0" * 32),
                    headers=bob,
                )
            ).json()
            assert foreign | {"request_id": ""} == nothing | {"request_id": ""}
            assert foreign["code"] == "not_found"
        check_problem(await client.get(f"/api/v1/streams/{mine['stream_id']}"), 401, "unauthorized")
        refused = await client.post(CHAT, json=ASK)
        assert refused.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE"])
async def test_methods(client: httpx.AsyncClient, method: str) -> None:
    reply = await client.request(method, CHAT)
    check_problem(reply, 405, "method_not_allowed")


async def test_a_body_that_does_not_come(client: httpx.AsyncClient) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"messages":'
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        reply = await client.post(CHAT, content=slowly(), headers={"content-type": "application/json"})
    check_problem(reply, 408, "request_timeout")


async def test_health_can_be_asked_for_its_head(client: httpx.AsyncClient) -> None:
    assert [(await client.head(path)).status_code for path in ("/healthz", "/readyz")] == [200, 200]


async def test_a_request_id_is_taken_in_and_given_back(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz", headers={"x-request-id": "abc-1"})).headers[
        "x-request-id"
    ] == "abc-1"
    forged = (await client.get("/healthz", headers={"x-request-id": "a b\x7f"})).headers["x-request-id"]
    assert forged != "a b\x7f"


async def test_an_early_failure_has_an_honest_status() -> None:
    async def fails(request: Any) -> AsyncGenerator[str, None]:
        if request.messages:
            raise RuntimeError("secret-canary")
        yield ""

    ragstream = Ragstream(fails)
    transport = httpx.ASGITransport(ragstream.app)
    async with ragstream, httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for path in (CHAT, CHAT + "/stream"):
            reply = await client.post(path, json=ASK)
            problem = check_problem(reply, 502, "upstream_error")
            assert "secret-canary" not in reply.text
            assert len(problem["stream_id"]) == 32
