"""A real server in this loop, and a client that can let go of the line at any byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
import uvicorn

from ragstream.api.parts import About
from ragstream.bootstrap.connection import Connection
from ragstream.bootstrap.resources import started
from ragstream.bootstrap.service import Parts, Service
from ragstream.bootstrap.stores import database_stores, memory_stores
from ragstream.delivery.settings import DeliverySettings
from ragstream.identity.local import LocalMode
from ragstream.llm import LLMClient, Provider
from ragstream.streamlog.base import StreamLog
from ragstream.streamlog.memory import MemoryLog
from ragstream.streamlog.sqlite import SQLiteLog
from ragstream.telemetry import Metrics

Cut = Literal["FIN", "RST", "half-close"]
PATIENCE = 20.0  # seconds for anything that a test waits for


class Line:
    """One HTTP/1.1 connection whose response is read event by event."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self._buffer = b""
        self.ended = False  # the response ended as it should: with its last chunk

    @classmethod
    async def open(cls, port: int, method: str, path: str, body: Any = None, **headers: str) -> Line:
        """Send a request and read the head of its response."""
        line = cls(*await asyncio.open_connection("127.0.0.1", port))
        data = b"" if body is None else json.dumps(body).encode()
        fields = {"host": f"127.0.0.1:{port}", "content-length": str(len(data))} | headers
        if body is not None:
            fields["content-type"] = "application/json"
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        line._writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
        async with asyncio.timeout(PATIENCE):
            first, *rest = (await line._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        line.status = int(first.split()[1])
        line.headers = dict(field.lower().split(": ", 1) for field in rest if field)
        return line

    async def events(self) -> AsyncIterator[bytes]:
        """Yield each block of the stream, whole, without comments; stop where the response ends."""
        while (block := await self._block()) is not None:
            if block := re.sub(rb"\A(:.*\n)+\n?", b"", block):  # a comment is no block of its own
                yield block

    async def body(self) -> bytes:
        """Return the rest of a body that has a length."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readexactly(int(self.headers.get("content-length", 0)))

    async def _block(self) -> bytes | None:
        async with asyncio.timeout(PATIENCE):
            while b"\n\n" not in self._buffer:
                if self.ended or not await self._chunk():
                    return None
        block, _, self._buffer = self._buffer.partition(b"\n\n")
        return block + b"\n\n"

    async def _chunk(self) -> bool:
        try:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            self._buffer += (await self._reader.readexactly(size + 2))[:-2]
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        self.ended = size == 0
        return True

    def cut(self, how: Cut) -> None:
        """Let go of the line."""
        connection: socket.socket = self._writer.get_extra_info("socket")
        if how == "half-close":
            self._writer.write_eof()
            return
        if how == "RST":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort() if how == "RST" else self._writer.close()

    async def aclose(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


class Served:
    """A service behind a port."""

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self.port = port

    async def ask(self, text: str = "Go on.", **fields: Any) -> Line:
        body = {"messages": [{"role": "user", "content": text}]} | fields
        return await Line.open(self.port, "POST", "/api/v1/chatbot/chat/stream", body)

    async def follow(self, stream_id: str, after: int | None = None, **headers: str) -> Line:
        cursor = {} if after is None else {"last_event_id": str(after)}
        return await Line.open(self.port, "GET", f"/api/v1/streams/{stream_id}", **headers, **cursor)

    async def open(self, path: str) -> Line:
        return await Line.open(self.port, "GET", path)

    async def cancel(self, stream_id: str) -> dict[str, Any]:
        """Stop an answer, from another connection."""
        line = await Line.open(self.port, "POST", f"/api/v1/streams/{stream_id}/cancel")
        reply: dict[str, Any] = json.loads(await line.body())
        await line.aclose()
        assert line.status == 200, reply
        return reply

    async def whole(self, stream_id: str) -> list[bytes]:
        """Return every event of a stream, read from its start."""
        line = await self.follow(stream_id)
        blocks = [block async for block in line.events()]
        await line.aclose()
        return blocks


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@asynccontextmanager
async def served(
    provider: Provider,
    *,
    log: StreamLog | None = None,
    folder: Path | None = None,
    delivery: DeliverySettings | None = None,
    deadline: float = 60.0,
) -> AsyncIterator[Served]:
    """Run a service over ``provider`` on a free port, with its stores in ``folder`` or in memory."""
    stores = database_stores(folder / "app.db") if folder else memory_stores()
    log = log or (SQLiteLog(folder / "log.db") if folder else MemoryLog())
    caller = LLMClient(providers=[provider])
    service = Service(
        Parts(
            log=log,
            stores=stores,
            caller=caller,
            retriever=None,
            authenticator=LocalMode(),
            guard=lambda _: None,
            about=About(version="test", model=caller.model),
            metrics=Metrics(),
            resources=(started(log), stores.opened),
            deadline=deadline,
            delivery=delivery or DeliverySettings(head_hold=0.0),
        )
    )
    with _listening() as listener:
        config = uvicorn.Config(service.app, http=Connection, log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        serving = asyncio.create_task(server.serve([listener]))
        try:
            await service.start()
            yield Served(service, listener.getsockname()[1])
        finally:
            server.should_exit = True
            async with asyncio.timeout(PATIENCE):
                await serving


class Process(Served):
    """``ragstream serve`` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""  # on standard error
        self._listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, folder: Path, **settings: str) -> Process:
        """Serve with the data in ``folder``; return once questions can be asked."""
        arguments = ["-m", "ragstream", "serve", "--port", "0", "--data-dir", str(folder)]
        inherited = {name: value for name, value in os.environ.items() if "RAGSTREAM" not in name}
        self = cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=folder.parent,
                env=inherited | settings,
                stderr=asyncio.subprocess.PIPE,
            )
        )
        async with asyncio.timeout(3 * PATIENCE):  # a busy machine takes its time to import everything
            self.port = await self._listening
        return self

    async def get(self, path: str) -> tuple[int, Any]:
        """Return status and JSON of a GET."""
        line = await Line.open(self.port, "GET", path)
        body = json.loads(await line.body())
        await line.aclose()
        return line.status, body

    async def ended(self) -> int:
        """Wait for the process's end and return its exit code."""
        async with asyncio.timeout(PATIENCE):
            await self._reading
            return await self.process.wait()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.said += line.decode()
            found = re.search(r"listens at http://\S+:(\d+)", self.said)
            if found and not self._listening.done():
                self._listening.set_result(int(found[1]))
        if not self._listening.done():
            self._listening.set_exception(ConnectionError(self.said))


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    """Return what starts a server process; whichever still runs at the end is killed."""
    started: list[Process] = []

    async def start(folder: Path, **settings: str) -> Process:
        started.append(await Process.start(folder, **settings))
        return started[-1]

    yield start
    for server in started:
        with contextlib.suppress(ProcessLookupError):
            server.process.kill()
        await server.ended()


@contextlib.contextmanager
def _listening() -> Iterator[socket.socket]:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)  # as serve does, only smaller
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    try:
        yield listener
    finally:
        listener.close()


@pytest.fixture
def serve() -> Serve:
    return served
