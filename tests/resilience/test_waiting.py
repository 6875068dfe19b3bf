"""What a server keeps of those who wait for an answer, and of those who have left."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from ragstream.bootstrap.connection import Connection
from ragstream.llm import OpenAIProvider, ScriptedProvider

PATIENCE = 20.0

Serve = Callable[..., AbstractAsyncContextManager[Any]]


def held(kind: type[Any]) -> list[Any]:
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, kind)]


async def begun(server: Any) -> Any:
    """Ask, and read until the first words are there."""
    line = await server.ask()
    async for block in line.events():
        if b"text_delta" in block:
            break
    return line


async def test_who_waits_keeps_little(serve: Serve, upstream: Any) -> None:
    upstream.answers = [[upstream.HEAD, upstream.chunk("Hel"), upstream.STALL]] * 6
    provider = OpenAIProvider("tiny", base_url=upstream.url, api_key="none")
    async with serve(provider) as server, asyncio.timeout(PATIENCE):
        lines = [await begun(server)]
        stacks, tasks = len(held(AsyncExitStack)), len(asyncio.all_tasks())
        lines += [await begun(server) for _ in range(5)]
        assert len(held(AsyncExitStack)) == stacks, "the layers on the way to the route have returned"
        assert len(asyncio.all_tasks()) - tasks <= 5 * 4, "the request, its frames, the answer; the upstream"
        for line in lines:
            await server.cancel(line.headers["x-stream-id"])
            await line.aclose()
    await provider.aclose()


async def test_a_line_that_was_cut_is_let_go_of(serve: Serve) -> None:
    async with serve(ScriptedProvider("Hello.")) as server, asyncio.timeout(PATIENCE):
        line = await server.ask()
        async for _ in line.events():
            pass
        (connection,) = held(Connection)
        line.cut("RST")
        while connection in connection.connections:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
        assert connection.timeout_keep_alive_task is None, "its timer would keep it until it rings"
