"""Very many clients of one server, each as small as can be."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import Any

from tests.trial import Said, said

__all__ = ["Crowd", "Member", "TalkingServer", "raise_file_limit", "talking"]

PATIENCE = 120.0  # seconds for anything that is waited for
SCRIPT = Path(__file__).with_name("talking_server.py")


class Member(asyncio.Protocol):
    """One connection with one request, and all that came of it."""

    def __init__(self, request: bytes, leaves_after: float) -> None:
        self._request = request
        self._leaves_after = leaves_after
        self._news = asyncio.Event()
        self.received = bytearray()
        self.times: list[float] = []  # when something came
        self.late: list[tuple[float, float]] = []  # when words came, and how long after they were said
        self.live = asyncio.get_running_loop().create_future()  # the response has begun
        self.lost = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self.received += data
        self.times.append(now)
        self.late += [(now, now - float(said_at)) for said_at in re.findall(rb'"content":"(\d+\.\d+)', data)]
        self._news.set()
        if not self.live.done():
            self.live.set_result(None)
        if len(self.received) >= self._leaves_after:
            self.cut()

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.live, self.lost):
            if not future.done():
                future.set_result(None)
        self._news.set()

    async def until(self, true: Callable[[Member], bool]) -> None:
        """Wait until this becomes true by what the member receives."""
        async with asyncio.timeout(PATIENCE):
            while not true(self):
                assert not self.lost.done(), bytes(self.received[-200:])
                self._news.clear()
                await self._news.wait()

    def cut(self) -> None:
        """Let go of the line, without a word."""
        connection = self.transport.get_extra_info("socket")
        if connection is not None and not self.transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    @property
    def stream_id(self) -> str:
        found = re.search(rb"(?i)\r\nx-stream-id: (\w+)", self.received)
        assert found, bytes(self.received[:500])
        return found[1].decode()

    @property
    def ended(self) -> bool:
        """Whether the response has ended as it should: with its last chunk."""
        return self.received.endswith(b"\r\n0\r\n\r\n")

    @property
    def body(self) -> bytes:
        """What came of the body so far, whole chunks and a part of the last."""
        at, body = self.received.find(b"\r\n\r\n") + 4, bytearray()
        while (end := self.received.find(b"\r\n", at)) > 0 and (size := int(self.received[at:end], 16)):
            at = end + 2 + size + 2
            body += self.received[end + 2 : at - 2]
        return bytes(body)

    @property
    def events(self) -> list[Said]:
        """The events that came whole."""
        return said(block + b"\n\n" for block in self.body.split(b"\n\n")[:-1])


class Crowd:
    """Clients of one port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._host = f"host: 127.0.0.1:{port}\r\n"

    async def ask(self, *, leaves_after: float = inf, **order: Any) -> Member:
        """Ask for an answer as ordered; return at once. The member cuts its line after so many bytes."""
        body = json.dumps({"messages": [{"role": "user", "content": json.dumps(order)}]})
        head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        path = "/api/v1/chatbot/chat/stream"
        return await self._send(f"POST {path} HTTP/1.1\r\n{self._host}{head}\r\n{body}", leaves_after)

    async def follow(self, stream_id: str, after: int = 0, *, leaves_after: float = inf) -> Member:
        """Read a stream on from a cursor; return at once."""
        cursor = f"last-event-id: {after}\r\n" if after else ""
        path = f"/api/v1/streams/{stream_id}"
        return await self._send(f"GET {path} HTTP/1.1\r\n{self._host}{cursor}\r\n", leaves_after)

    async def stuck(self, stream_id: str, *, reads: bool) -> asyncio.Task[None]:
        """Ask for a stream and never read, or a byte a second; cancel the task to let go of the line."""
        loop, line = asyncio.get_running_loop(), socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.setblocking(False)
        await loop.sock_connect(line, ("127.0.0.1", self._port))
        await loop.sock_sendall(
            line, f"GET /api/v1/streams/{stream_id} HTTP/1.1\r\n{self._host}\r\n".encode()
        )

        async def hold() -> None:
            with line, suppress(ConnectionError):
                while not reads or await loop.sock_recv(line, 1):  # noqa: ASYNC110 - as slow as this
                    await asyncio.sleep(1)

        return asyncio.create_task(hold())

    async def post(self, path: str) -> str:
        """Return the body of a short response."""
        return await self._short(f"POST {path} HTTP/1.1\r\n{self._host}content-length: 0\r\n")

    async def get(self, path: str) -> str:
        """Return the body of a short response."""
        return await self._short(f"GET {path} HTTP/1.1\r\n{self._host}")

    async def _short(self, head: str) -> str:
        member = await self._send(f"{head}connection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            await member.lost
        return bytes(member.received).partition(b"\r\n\r\n")[2].decode()

    async def _send(self, request: str, leaves_after: float = inf) -> Member:
        _, member = await asyncio.get_running_loop().create_connection(
            lambda: Member(request.encode(), leaves_after), "127.0.0.1", self._port
        )
        return member

    @staticmethod
    async def all_of(work: Iterable[Awaitable[Member]], *, at_once: int = 200) -> list[Member]:
        """Return all members, once each has the beginning of its response."""
        places = asyncio.Semaphore(at_once)

        async def one(begin: Awaitable[Member]) -> Member:
            async with places, asyncio.timeout(PATIENCE):
                member = await begin
                await member.live
                return member

        return await asyncio.gather(*(one(begin) for begin in work))


class TalkingServer:
    """The process of ``talking_server.py``."""

    def __init__(self, process: subprocess.Popen[bytes], told: Path) -> None:
        self._process = process
        self._told = told
        self.crowd = Crowd(int(self._tells(r"listens at http://\S+:(\d+)\n", 0)))

    def facts(self) -> dict[str, int]:
        """Return how often it was asked, its tasks, files, and memory in bytes."""
        before = self._told.stat().st_size
        self._process.send_signal(signal.SIGUSR2)
        facts: dict[str, int] = json.loads(self._tells(r"facts: (.*)\n", before))
        return facts

    async def facts_at_rest(self) -> dict[str, int]:
        """Return the facts once the number of tasks and files has been the same for a second."""
        facts, same = self.facts(), 0
        async with asyncio.timeout(PATIENCE):
            while same < 10:
                await asyncio.sleep(0.1)
                former, facts = facts, self.facts()
                is_same = (facts["tasks"], facts["files"]) == (former["tasks"], former["files"])
                same = same + 1 if is_same else 0
        return facts

    def _tells(self, words: str, since: int) -> str:
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(words, self._told.read_bytes()[since:].decode())):
            assert self._process.poll() is None, self._told.read_text()
            assert time.monotonic() < deadline, self._told.read_text()
            time.sleep(0.01)
        return found[1]


@contextmanager
def talking(folder: Path) -> Iterator[TalkingServer]:
    """Run the server, with its data in ``folder``."""
    folder.mkdir()
    told = folder / "told"
    with told.open("wb") as sink:
        process = subprocess.Popen([sys.executable, str(SCRIPT), str(folder)], stderr=sink)
    try:
        yield TalkingServer(process, told)
        process.terminate()
        assert process.wait(PATIENCE) == 0, told.read_text()
    finally:
        process.kill()
        process.wait()


def raise_file_limit(needed: int) -> bool:
    """Let this process and its children open so many files; return whether they may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return True
