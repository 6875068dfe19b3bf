"""A reader that takes nothing is let go, its connection cut; the answer and other readers go on."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.trial import Trial, said

from ragstream.delivery.settings import DeliverySettings
from ragstream.llm import ScriptedProvider

PATIENCE = 30.0
DEADLINE = 2.0  # clients and server share a loop: who reads must have the time to, on a busy machine too
WORDS = 600
WORD = "x" * 2000 + " "  # more in all than the kernel's buffers and the transport's take

Serve = Callable[..., AbstractAsyncContextManager[Any]]
Stick = Callable[[int, str], Awaitable[socket.socket]]


@pytest.fixture
def stuck_reader() -> Iterator[Stick]:
    """Ask for the stream and never read."""
    with ExitStack() as connections:

        async def stuck_reader(port: int, stream_id: str) -> socket.socket:
            connection = connections.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(connection, ("127.0.0.1", port))
            head = f"GET /api/v1/streams/{stream_id} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n"
            await loop.sock_sendall(connection, head.encode())
            return connection

        yield stuck_reader


async def rest_of(connection: socket.socket) -> bytes:
    """Read what is left until the peer is gone."""
    loop, came = asyncio.get_running_loop(), b""
    try:
        while piece := await loop.sock_recv(connection, 1 << 16):
            came += piece
    except ConnectionResetError:
        pass
    return came


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - another's counter; the test has a deadline
        await asyncio.sleep(0.01)


def evictions(server: Any) -> float:
    value: float = server.service._parts.metrics.evictions._value.get()
    return value


@pytest.mark.trial("T13", "readers that never read, and come back")
async def test_evicted_at_the_write_deadline(
    serve: Serve, stuck_reader: Stick, caplog: pytest.LogCaptureFixture, trial: Trial
) -> None:
    caplog.set_level(logging.WARNING)
    gate = asyncio.Event()

    async def pause(_: float) -> None:
        await gate.wait()

    provider = ScriptedProvider([WORD, 1.0, *[WORD] * (WORDS - 1)], pause=pause)
    delivery = DeliverySettings(head_hold=0.0, write_deadline=DEADLINE)
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
            left = await rest_of(connection)  # comes to an end: the connection was cut
            assert b"event: done" not in left
            assert not left.endswith(b"0\r\n\r\n"), "a cut is no proper end"
        returned = await server.follow(stream_id, after=WORDS // 2)
        again = [block async for block in returned.events()]
        assert json.loads(again[0].split(b"data: ")[1])["type"] == "text_delta"
        assert [block.split(b"data: ")[1] for block in again] == [
            block.split(b"data: ")[1] for block in blocks[-len(again) :]
        ]
        trial.case(said(again), said(blocks)[-len(said(again)) :])
        trial.cases += len(stuck)
        for line in (reader, returned):
            await line.aclose()
    told = [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")]
    assert not [words for words in told if "ASGI" in words], told


async def test_many_beside_others(serve: Serve, stuck_reader: Stick) -> None:
    """Twenty that take nothing, ten that read: these get everything, and the answer waits for nobody."""
    gate, stuck_count, normal_count = asyncio.Event(), 20, 10

    async def pause(_: float) -> None:
        await gate.wait()

    provider = ScriptedProvider([WORD, 1.0, *[WORD] * (WORDS - 1)], pause=pause)
    delivery = DeliverySettings(head_hold=0.0, write_deadline=DEADLINE)
    async with serve(provider, delivery=delivery) as server, asyncio.timeout(2 * PATIENCE):
        stream_id = await server.service.ask("Go on.")
        stuck = [await stuck_reader(server.port, stream_id) for _ in range(stuck_count)]
        reading = [asyncio.create_task(server.whole(stream_id)) for _ in range(normal_count)]
        readers = server.service.supervisor.readers
        await until(lambda: readers.of(stream_id) == stuck_count + normal_count)
        gate.set()
        told = await asyncio.gather(*reading)
        assert all(blocks == told[0] for blocks in told), "all read the same"
        assert sum(b"text_delta" in block for block in told[0]) == WORDS
        assert told[0][-1].startswith(b"event: done")
        await until(lambda: evictions(server) == stuck_count)
        await until(lambda: readers.of(stream_id) == 0)
        for connection in stuck:
            left = await rest_of(connection)
            assert not left.endswith(b"0\r\n\r\n"), "a cut is no proper end"
            assert len(left) < 1 << 20, "no more is kept for it than buffers hold"


@pytest.mark.nightly
async def test_what_many_cost(
    start: Callable[..., Any], upstream: Any, stuck_reader: Stick, tmp_path: Path
) -> None:
    """Two hundred that take nothing and fifty that read, at a server of its own: memory has a bound."""
    gate, play = asyncio.Event(), upstream._play

    async def gated(answer: Any, reader: Any, writer: Any) -> None:
        for part in answer:
            await (gate.wait() if part == "gate" else play([part], reader, writer))

    upstream._play = gated
    words = [upstream.chunk(WORD)] * WORDS
    ending = [upstream.chunk(finish_reason="stop"), b"data: [DONE]\n\n"]
    upstream.answers = [[upstream.HEAD, words[0], "gate", *words[1:], *ending]]
    settings = {
        "RAGSTREAM_MODEL": "tiny",
        "OPENAI_BASE_URL": upstream.url,
        "OPENAI_API_KEY": "none",
        "RAGSTREAM_WRITE_DEADLINE": "5",
    }
    server = await start(tmp_path / "data", **settings)
    async with asyncio.timeout(100):
        line = await server.ask()
        stream_id = line.headers["x-stream-id"]
        for _ in range(200):
            await stuck_reader(server.port, stream_id)
        reading = [asyncio.create_task(server.whole(stream_id)) for _ in range(49)]
        while await metric(server, "ragstream_readers") < 250:  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.05)
        before = resident(server.process.pid)
        gate.set()
        told = await asyncio.gather(*reading)
        assert all(sum(b"text_delta" in block for block in blocks) == WORDS for blocks in told)
        assert len([block async for block in line.events()]) == len(told[0])
        peak = resident(server.process.pid)
        while await metric(server, "ragstream_evictions_total") < 200:
            peak = max(peak, resident(server.process.pid))
            await asyncio.sleep(0.05)
        print(f"{(peak - before) / 250 / 1024:.0f} KiB for each of 250 readers")  # noqa: T201 - its result
        assert peak - before < 250 * 2 * 1024**2
        assert await metric(server, "ragstream_readers") == 0
    await line.aclose()


async def metric(server: Any, name: str) -> float:
    """Return one figure without labels."""
    line = await server.open("/metrics")
    exposition = (await line.body()).decode()
    await line.aclose()
    return float(next(row.split()[1] for row in exposition.split("\n") if row.startswith(f"{name} ")))


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(next(row.split()[1] for row in status.split("\n") if row.startswith("VmRSS"))) * 1024


async def test_stuck_at_the_end(serve: Serve, stuck_reader: Stick, caplog: pytest.LogCaptureFixture) -> None:
    """The terminal event fitted into the buffers, DONE did not."""
    caplog.set_level(logging.WARNING)
    provider = ScriptedProvider([WORD] * WORDS)
    delivery = DeliverySettings(head_hold=0.0, write_deadline=DEADLINE)
    async with serve(provider, delivery=delivery) as server, asyncio.timeout(PATIENCE):
        stream_id = await server.service.ask("Go on.")
        await server.whole(stream_id)
        connection = await stuck_reader(server.port, stream_id)
        await until(lambda: evictions(server) == 1)
        assert b"event: done" not in await rest_of(connection)
    assert not [r for r in caplog.records if r.name.startswith("uvicorn") and "ASGI" in r.getMessage()]
