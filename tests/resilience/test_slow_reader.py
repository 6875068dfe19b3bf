"""A reader that takes nothing is let go, its connection cut; the answer and other readers go on."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from ragstream.delivery.settings import DeliverySettings
from ragstream.llm import ScriptedProvider

PATIENCE = 30.0
WORDS = 600
WORD = "x" * 2000 + " "  # more in all than the kernel's buffers and the transport's take

Serve = Callable[..., AbstractAsyncContextManager[Any]]


async def stuck_reader(port: int, stream_id: str) -> socket.socket:
    """Ask for the stream and never read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    head = f"GET /api/v1/streams/{stream_id} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"
    await loop.sock_sendall(connection, head.encode())
    return connection


async def rest_of(connection: socket.socket) -> bytes:
    """Read what is left until the peer is gone."""
    loop, said = asyncio.get_running_loop(), b""
    try:
        while piece := await loop.sock_recv(connection, 1 << 16):
            said += piece
    except ConnectionResetError:
        pass
    finally:
        connection.close()
    return said


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - another's counter; the test has a deadline
        await asyncio.sleep(0.01)


def evictions(server: Any) -> float:
    value: float = server.service._parts.metrics.evictions._value.get()
    return value


async def test_evicted_at_the_write_deadline(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    gate = asyncio.Event()

    async def pause(_: float) -> None:
        await gate.wait()

    provider = ScriptedProvider([WORD, 1.0, *[WORD] * (WORDS - 1)], pause=pause)
    delivery = DeliverySettings(head_hold=0.0, write_deadline=0.3)
    async with serve(provider, delivery=delivery) as server, asyncio.timeout(PATIENCE):
        reader = await server.ask()
        stream_id = reader.headers["x-stream-id"]
        stuck = [await stuck_reader(server.port, stream_id) for _ in range(3)]
        await until(lambda: server.service._parts.metrics.readers._value.get() == 4)
        gate.set()
        blocks = [block async for block in reader.events()]
        assert reader.ended, "others read on, to the end"
        assert sum(b"text_delta" in block for block in blocks) == WORDS
        await until(lambda: evictions(server) == 3)
        for connection in stuck:
            said = await rest_of(connection)  # comes to an end: the connection was cut
            assert b"event: done" not in said
            assert not said.endswith(b"0\r\n\r\n"), "a cut is no proper end"
        returned = await server.follow(stream_id, after=WORDS // 2)
        again = [block async for block in returned.events()]
        assert json.loads(again[0].split(b"data: ")[1])["type"] == "text_delta"
        assert [block.split(b"data: ")[1] for block in again] == [
            block.split(b"data: ")[1] for block in blocks[-len(again) :]
        ]
        for line in (reader, returned):
            await line.aclose()
    told = [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")]
    assert not [words for words in told if "ASGI" in words], told


async def test_stuck_at_the_end(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The terminal event fitted into the buffers, DONE did not."""
    caplog.set_level(logging.WARNING)
    provider = ScriptedProvider([WORD] * WORDS)
    delivery = DeliverySettings(head_hold=0.0, write_deadline=0.3)
    async with serve(provider, delivery=delivery) as server, asyncio.timeout(PATIENCE):
        stream_id = await server.service.ask("Go on.")
        await server.whole(stream_id)
        connection = await stuck_reader(server.port, stream_id)
        await until(lambda: evictions(server) == 1)
        assert b"event: done" not in await rest_of(connection)
    assert not [r for r in caplog.records if r.name.startswith("uvicorn") and "ASGI" in r.getMessage()]
