"""Limits on answers and readers: what is beyond them is refused with a status, a code and a time to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from ragstream import ChatRequest, Ragstream
from ragstream.delivery.settings import DeliverySettings

STREAM = "/api/v1/chatbot/chat/stream"
CHAT = "/api/v1/chatbot/chat"
ASK = {"messages": [{"role": "user", "content": "Hello?"}]}
PATIENCE = 30.0

Listening = Callable[[Any], AbstractAsyncContextManager[httpx.AsyncClient]]


class Endless:
    """A pipeline that waits for the test after its first word."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.calls = 0

    async def answer(self, _: ChatRequest) -> AsyncGenerator[str, None]:
        self.calls += 1
        yield "Hel"
        await self.gate.wait()
        yield "lo"


@asynccontextmanager
async def asked(client: httpx.AsyncClient, key: str = "") -> AsyncIterator[httpx.Response]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with client.stream("POST", STREAM, json=ASK, headers=headers) as reply:
        assert reply.status_code == 200, await reply.aread()
        yield reply


def refused(reply: httpx.Response, status: int, code: str) -> None:
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert int(reply.headers["retry-after"]) > 0
    assert reply.headers["content-type"] == "application/problem+json"
    assert "1" in reply.json()["detail"], "it names the limit"


async def test_answers_in_the_process(listening: Listening) -> None:
    pipeline = Endless()
    app = Ragstream(pipeline.answer, delivery=DeliverySettings(max_answers=1)).app
    async with asyncio.timeout(PATIENCE), listening(app) as client, asked(client):
        for path in (STREAM, CHAT):
            refused(await client.post(path, json=ASK), 503, "server_answers_limit")
        assert pipeline.calls == 1
        pipeline.gate.set()


async def test_answers_of_one_owner(listening: Listening) -> None:
    pipeline = Endless()
    keys = [("ann", "ann-secret"), ("bob", "bob-secret")]
    delivery = DeliverySettings(max_answers_per_owner=1)
    app = Ragstream(pipeline.answer, api_keys=keys, delivery=delivery).app
    async with asyncio.timeout(PATIENCE), listening(app) as client:
        async with asked(client, "ann-secret") as first, asked(client, "bob-secret"):
            ann = {"authorization": "Bearer ann-secret"}
            refused(await client.post(STREAM, json=ASK, headers=ann), 429, "owner_answers_limit")
            await client.post(f"/api/v1/streams/{first.headers['x-stream-id']}/cancel", headers=ann)
            async for _ in first.aiter_raw():
                pass  # to its end
        pipeline.gate.set()
        async with asked(client, "ann-secret"):
            pass  # there is room again


async def test_readers_in_the_process(listening: Listening) -> None:
    pipeline = Endless()
    app = Ragstream(pipeline.answer, delivery=DeliverySettings(max_readers=1)).app
    async with asyncio.timeout(PATIENCE), listening(app) as client:
        async with asked(client) as first:
            path = f"/api/v1/streams/{first.headers['x-stream-id']}"
            for headers in ({}, {"accept": "application/json"}):
                refused(await client.get(path, headers=headers), 503, "server_readers_limit")
            refused(await client.post(STREAM, json=ASK), 503, "server_readers_limit")
            assert pipeline.calls == 1, "what cannot be read is not begun"
            pipeline.gate.set()
            async for _ in first.aiter_raw():
                pass
        assert (await client.get(path)).status_code == 200


async def test_readers_of_one_stream(listening: Listening) -> None:
    pipeline = Endless()
    app = Ragstream(pipeline.answer, delivery=DeliverySettings(max_readers_per_stream=1)).app
    async with asyncio.timeout(PATIENCE), listening(app) as client, AsyncExitStack() as stack:
        first = await stack.enter_async_context(asked(client))
        await stack.enter_async_context(asked(client))  # another stream has a place of its own
        path = f"/api/v1/streams/{first.headers['x-stream-id']}"
        refused(await client.get(path), 429, "stream_readers_limit")
        pipeline.gate.set()


async def test_a_full_server_says_so_in_every_protocol(listening: Listening) -> None:
    words = "Hello?"
    asked_as: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"model": "ragstream", **ASK},
        "/v1/responses": {"model": "ragstream", "input": words},
        "/api/v1/ui/chat": {
            "id": "a-session",
            "trigger": "submit-message",
            "messages": [{"id": "1", "role": "user", "parts": [{"type": "text", "text": words}]}],
        },
        "/api/v1/ui/agent": {
            "threadId": "a-session",
            "runId": "a-run",
            "messages": [{"id": "1", "role": "user", "content": words}],
            "tools": [],
            "context": [],
            "state": {},
            "forwardedProps": {},
        },
    }
    app = Ragstream(Endless().answer, delivery=DeliverySettings(max_answers=0)).app
    async with asyncio.timeout(PATIENCE), listening(app) as client:
        for path, body in asked_as.items():
            reply = await client.post(path, json=body)
            assert reply.status_code == 503, path
            assert int(reply.headers["retry-after"]) > 0, path
            assert "server_answers_limit" in reply.text, path


async def test_a_burst_at_the_limit_begins_no_more_than_it_may(listening: Listening) -> None:
    pipeline = Endless()
    app = Ragstream(pipeline.answer, delivery=DeliverySettings(max_answers=5)).app
    async with asyncio.timeout(PATIENCE), listening(app) as client:
        posts = [asyncio.create_task(client.post(CHAT, json=ASK)) for _ in range(30)]
        while sum(post.done() for post in posts) < 25 or pipeline.calls < 5:
            await asyncio.wait(posts, timeout=0.05)
        pipeline.gate.set()
        statuses = sorted(reply.status_code for reply in await asyncio.gather(*posts))
        assert statuses == [200] * 5 + [503] * 25
        assert pipeline.calls == 5
