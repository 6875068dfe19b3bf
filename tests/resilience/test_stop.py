"""An answer is stopped from another connection: what was said stays, and the provider's line is closed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from ragstream.llm import OpenAIProvider

PATIENCE = 20.0

Serve = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def provider(upstream: Any) -> OpenAIProvider:
    return OpenAIProvider("tiny", base_url=upstream.url, api_key="none")


def data_of(block: bytes) -> dict[str, Any]:
    (data,) = (line for line in block.split(b"\n") if line.startswith(b"data: "))
    event: dict[str, Any] = json.loads(data[6:])
    return event


async def begin(server: Any) -> tuple[Any, str, Any]:
    """Ask, and read until the first words are there."""
    line = await server.ask()
    events = line.events()
    async for block in events:
        if b"text_delta" in block:
            break
    return line, line.headers["x-stream-id"], events


async def test_a_stop_ends_everything(serve: Serve, upstream: Any, provider: OpenAIProvider) -> None:
    upstream.answers = [[upstream.HEAD, upstream.chunk("Hel"), upstream.STALL]]
    async with serve(provider) as server, asyncio.timeout(PATIENCE):
        line, stream_id, events = await begin(server)
        assert upstream.live == 1
        assert await server.cancel(stream_id) == {"stream_id": stream_id, "state": "cancelling"}
        await upstream.all_left()  # within a second
        rest = [block async for block in events]
        assert line.ended, "the response has its last chunk"
        assert rest[-1] == b"event: done\ndata: {}\n\n"
        ending = data_of(rest[-2])
        assert (ending["type"], ending["cancelled"]) == ("cancelled", {"by": "local"})
        assert [b for b in await server.whole(stream_id) if b"event: cancelled" in b] == [rest[-2]]
        stored = await server.service.turns.get(stream_id)
        assert (stored.status, stored.text, stored.ending.type) == ("cancelled", "Hel", "cancelled")
        assert stored.usage == stored.ending.usage
        await line.aclose()
    await provider.aclose()


async def test_a_second_stop_and_one_after_the_end_change_nothing(
    serve: Serve, upstream: Any, provider: OpenAIProvider
) -> None:
    upstream.answers = [[upstream.HEAD, upstream.chunk("Hel"), upstream.STALL]]
    async with serve(provider) as server, asyncio.timeout(PATIENCE):
        line, stream_id, events = await begin(server)
        replies = await asyncio.gather(*(server.cancel(stream_id) for _ in range(10)))
        assert {reply["stream_id"] for reply in replies} == {stream_id}
        assert sum(b"event: cancelled" in block for block in [block async for block in events]) == 1
        before = await server.whole(stream_id)
        assert (await server.cancel(stream_id))["state"] == "ended"
        assert await server.whole(stream_id) == before
        await line.aclose()
    await provider.aclose()


async def test_a_stop_reaches_an_answer_that_nobody_reads(
    serve: Serve, upstream: Any, provider: OpenAIProvider
) -> None:
    upstream.answers = [[upstream.HEAD, upstream.chunk("Hel"), upstream.STALL]]
    async with serve(provider) as server, asyncio.timeout(PATIENCE):
        line, stream_id, _ = await begin(server)
        line.cut("RST")
        assert upstream.live == 1, "leaving is not stopping"
        await server.cancel(stream_id)
        await upstream.all_left()
        assert b"event: cancelled" in (await server.whole(stream_id))[-2]
    await provider.aclose()


async def test_leaving_lets_the_answer_go_on(serve: Serve, upstream: Any, provider: OpenAIProvider) -> None:
    upstream.say("Hel", "lo")
    async with serve(provider) as server, asyncio.timeout(PATIENCE):
        line = await server.ask()
        line.cut("RST")
        whole = await server.whole(line.headers["x-stream-id"])
        assert data_of(whole[-2])["type"] == "message_complete"
    await provider.aclose()


async def test_a_stop_while_the_provider_says_nothing_yet(
    serve: Serve, upstream: Any, provider: OpenAIProvider
) -> None:
    upstream.answers = [[upstream.STALL]]
    async with serve(provider) as server, asyncio.timeout(PATIENCE):
        line = await server.ask()  # its head came after the hold, with no words
        await server.cancel(line.headers["x-stream-id"])
        await upstream.all_left()
        assert b"event: cancelled" in [block async for block in line.events()][-2]
        await line.aclose()
    await provider.aclose()
