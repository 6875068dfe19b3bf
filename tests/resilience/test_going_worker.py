"""A worker that goes: it answers whatever comes over the connections that it took, and then it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from multiprocessing import Pipe
from typing import Any

import pytest

from ragstream.bootstrap import worker
from ragstream.bootstrap.service import Service
from ragstream.bootstrap.serving import listen
from ragstream.bootstrap.worker import READY, Order
from ragstream.llm import ScriptedProvider
from ragstream.settings import load

PATIENCE = 30.0
GET = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"

Serve = Callable[..., AbstractAsyncContextManager[Any]]


def asked(path: str = "/api/v1/chatbot/chat/stream") -> tuple[bytes, bytes]:
    """Return head and body of a question."""
    body = json.dumps({"messages": [{"role": "user", "content": "Go on."}]}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode(), body


def gated() -> tuple[ScriptedProvider, asyncio.Event]:
    """Return a provider that waits after its first word, and what lets it go on."""
    gate = asyncio.Event()

    async def pause(_: float) -> None:
        await gate.wait()

    return ScriptedProvider(["Well, ", 1.0, "then."], pause=pause), gate


class Call:
    """A connection, over which a test sends bytes when it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def hear(self, words: bytes) -> bytes:
        return await self._reader.readuntil(words)

    async def rest(self) -> bytes:
        """Return what comes until the other side closes, which must do so in good order."""
        said = await self._reader.read()
        self._writer.close()
        return said


class Going:
    """A worker in this loop."""

    def __init__(
        self, service: Service, port: int, tell: Callable[[bytes], None], ended: asyncio.Task[None]
    ) -> None:
        self.service = service
        self._port = port
        self._tell = tell
        self.ended = ended

    async def call(self) -> Call:
        return Call(*await asyncio.open_connection("127.0.0.1", self._port))

    async def roll(self) -> None:
        """Tell it to go, and wait until it does: its readers are sent away."""
        reader = await self.call()
        reader.send(b"".join(asked()))
        await reader.hear(b"Well, ")
        self._tell(Order.ROLL.value)
        assert b"retry: " in await reader.rest()


@pytest.fixture
def going(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Serve:
    monkeypatch.setattr(worker, "_LOOK", 0.0)  # it looks again and again, so a step too early shows

    @asynccontextmanager
    async def start(provider: ScriptedProvider) -> AsyncIterator[Going]:
        ours, theirs = Pipe()
        listener = listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        async with serve(provider) as server, asyncio.timeout(PATIENCE):
            monkeypatch.setattr("ragstream.bootstrap.wiring.worker", lambda _: server.service)
            serving = asyncio.create_task(worker._Worker(load({"drain": PATIENCE}), listener, theirs).serve())
            assert await asyncio.to_thread(ours.recv_bytes) == READY
            try:
                yield Going(server.service, port, ours.send_bytes, serving)
                await serving
            finally:
                serving.cancel()
                ours.close()
                theirs.close()

    return start


async def test_it_answers_what_comes_over_the_connections_that_it_took(going: Serve) -> None:
    provider, gate = gated()
    head, body = asked()
    async with going(provider) as one:
        fresh, half, idle = [await one.call() for _ in range(3)]
        half.send(head + body[:5])
        idle.send(GET)
        assert b"connection: close" not in await idle.hear(b"}")
        await one.roll()
        with pytest.raises(ConnectionRefusedError):
            await one.call()
        fresh.send(head + body)
        half.send(body[5:])
        idle.send(head + body)
        for call in (fresh, half, idle):
            said = await call.rest()
            assert said.startswith(b"HTTP/1.1 200 OK\r\n"), said
            assert b"\r\nconnection: close\r\n" in said, said
            assert b"retry: " in said, "its answer is begun, and read elsewhere"
            assert said.endswith(b"\r\n0\r\n\r\n"), said
        assert not one.ended.done(), "its answers go on"
        gate.set()


async def test_an_answer_in_one_piece_is_waited_for(going: Serve) -> None:
    provider, gate = gated()
    async with going(provider) as one:
        call = await one.call()
        await one.roll()
        call.send(b"".join(asked("/api/v1/chatbot/chat")))
        gate.set()
        assert b"Well, then." in await call.rest()


async def test_requests_that_are_still_on_their_way_are_waited_for(
    going: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_LAST_CALL", 0.0)
    provider, gate = gated()
    head, body = asked()
    async with going(provider) as one:
        half, fresh = await one.call(), await one.call()
        half.send(head + body[:5])
        await one.roll()
        gate.set()
        while one.service.supervisor.live:  # noqa: ASYNC110 - an answer's end; the test has a deadline
            await asyncio.sleep(0.01)
        half.send(body[5:])
        assert (await half.rest()).startswith(b"HTTP/1.1 200 OK\r\n")
        fresh.send(head + body)
        assert (await fresh.rest()).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_connections_that_stay_idle_are_closed_after_a_while(
    going: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_LAST_CALL", 0.2)
    provider, gate = gated()
    async with going(provider) as one:
        idle = await one.call()
        idle.send(GET)
        await idle.hear(b"}")
        await one.roll()
        gate.set()
        await one.ended
        assert await idle.rest() == b""
