"""The readers, in a process of their own: so many streams at once, each asking anew at its answer's end.

Driven by lines of JSON on standard input, each answered by one line; see ``rig.driving``. A token costs it
a regular expression over some hundred bytes, so that it is never the bottleneck.

``start`` begins the streams and answers when each has its first token, ``mark`` gives what was counted so far
and what was measured since the mark before, ``finish`` lets the answers under way end and checks every one.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from rig.script import text_of

_END = b"0\r\n\r\n"
_SILENCE = 20.0  # seconds that a server far beyond its limits may take until anybody hears anything


class Readers:
    """All streams of one load."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.host, self.port = "127.0.0.1", order["port"]
        self.requests = [request.encode() for request in order["requests"]]
        self.literal = order["marker"].encode()  # what stands before each token
        self.marker = re.compile(re.escape(self.literal) + rb'[^"]')
        self.path = tuple(order["path"])  # where the text stands in an event's JSON
        self.followers = order.get("followers", 0)  # further readers of each answer
        self.followed = 0  # tokens that they have read
        self.keep = order["keep"]  # whole answers are kept to be checked; else only the first byte matters
        self.tokens = self.began = self.ended = self.bytes = 0
        self.waits: list[float] = []
        self.gaps: list[float] = []
        self.faults: list[str] = []
        self.checked = 0
        self.looping = True
        self.marked = 0.0
        self.silent = order["streams"]  # that have no token yet
        self.open = 0
        self.heard = asyncio.Event()
        self.quiet = asyncio.Event()
        self.connections = [Reader(self, number) for number in range(order["streams"])]

    def heard_first(self) -> None:
        self.silent -= 1
        if not self.silent:
            self.heard.set()

    def left(self) -> None:
        self.open -= 1
        if not self.open:
            self.quiet.set()

    def mark(self) -> dict[str, Any]:
        now = perf_counter()
        # who has waited since before the last mark counts as if the token came now: it waits at least so long
        self.waits += [now - reader.asked for reader in self.connections if reader.asked < self.marked]
        self.marked = now
        told = {
            "time": now,
            "tokens": self.tokens,
            "followed": self.followed,
            "turns": (self.began + self.ended) / 2,  # what a turn costs falls half on its beginning
            "bytes": self.bytes,
            "waits": self.waits,
            "gaps": self.gaps,
        }
        self.waits, self.gaps = [], []
        return told

    def standing(self) -> dict[str, Any]:
        """Return what helps to see why something is not done in time."""
        counts = {"silent": self.silent, "open": self.open, "tokens": self.tokens, "began": self.began}
        return {**counts, "faults": self.faults[:3]}

    def check(self, answer: bytes, counted: int) -> None:
        said = "".join(_texts(answer, self.path))
        self.checked += 1
        if said != text_of(counted):
            self.faults.append(f"{counted} tokens counted, but the answer reads {said[-300:]!r}")


class Reader(asyncio.Protocol):
    """One stream after the other over one connection."""

    def __init__(self, readers: Readers, number: int) -> None:
        self._readers = readers
        self._number = number
        self._turn = 0
        self._first = True
        self._answering = False
        self._transport: asyncio.Transport | None = None
        self.asked = inf  # when, while no token has come

    async def begin(self) -> None:
        if self._transport is None or self._transport.is_closing():
            loop, readers = asyncio.get_running_loop(), self._readers
            try:
                await loop.create_connection(lambda: self, readers.host, readers.port)
            except OSError as error:
                readers.faults.append(f"cannot connect: {error}")
                return
        self.ask()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def ask(self) -> None:
        readers = self._readers
        readers.began += 1
        readers.open += 1
        self._answering = True
        self._pieces: list[bytes] = []
        self._tail = b""
        self._tokens = 0
        self.asked = self._last = perf_counter()
        assert self._transport is not None
        requests = readers.requests
        self._transport.write(
            requests[(self._number + self._turn * len(readers.connections)) % len(requests)]
        )
        self._turn += 1

    def data_received(self, data: bytes) -> None:
        readers = self._readers
        readers.bytes += len(data)
        if readers.followers and not self._pieces:
            self._send_for_followers(data)
        if readers.keep or readers.followers:
            self._pieces.append(data)
        count = len(readers.marker.findall(self._tail + data))
        self._tail = (self._tail + data)[-len(readers.literal) :]
        if count:
            now = perf_counter()
            if not self._tokens:
                readers.waits.append(now - self.asked)
                self.asked = inf
                if self._first:
                    self._first = False
                    readers.heard_first()
            else:
                readers.gaps.append(now - self._last)
            self._last = now
            self._tokens += count
            readers.tokens += count
        if data.endswith(_END):
            self._end()

    def _send_for_followers(self, head: bytes) -> None:
        name = re.search(rb"(?i)x-stream-id: (\S+)", head)
        assert name, head
        loop, readers = asyncio.get_running_loop(), self._readers
        for _ in range(readers.followers):
            follower = loop.create_connection(lambda: Follower(readers, name[1]), readers.host, readers.port)
            asyncio.ensure_future(follower)  # noqa: RUF006 - the loop's own until it is connected

    def close(self) -> None:
        """Cut the connection, and the answer if one is under way."""
        self._answering = False
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        if self._answering:
            self._readers.faults.append(f"cut: {b''.join(self._pieces)[-300:]!r}")
            self._end()

    def _end(self) -> None:
        readers = self._readers
        self._answering = False
        readers.ended += 1
        readers.left()
        if readers.keep:
            readers.check(b"".join(self._pieces), self._tokens)
        if readers.looping:
            if self._first:
                readers.faults.append(f"no token: {b''.join(self._pieces)[:600]!r}")
                readers.heard_first()
            elif self._transport is None or self._transport.is_closing():
                asyncio.ensure_future(self.begin())  # noqa: RUF006 - the loop's own until it is connected
            else:
                self.ask()


class Follower(asyncio.Protocol):
    """A further reader of an answer, from its beginning."""

    def __init__(self, readers: Readers, stream: bytes) -> None:
        self._readers, self._stream = readers, stream
        self._tail = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.write(b"GET /api/v1/streams/%s HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" % self._stream)

    def data_received(self, data: bytes) -> None:
        readers = self._readers
        readers.followed += len(readers.marker.findall(self._tail + data))
        self._tail = (self._tail + data)[-len(readers.literal) :]
        if data.endswith(_END):
            self._transport.close()


def _texts(answer: bytes, path: tuple[str | int, ...]) -> Iterator[str]:
    """Yield the pieces of text in a chunked response of server-sent events."""
    _, _, rest = answer.partition(b"\r\n\r\n")
    body = bytearray()
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        rest = rest[length + 2 :]
    for line in body.replace(b"\r\n", b"\n").split(b"\n"):
        if line.startswith(b"data:") and line[5:].strip() not in (b"", b"[DONE]"):
            said: Any = json.loads(line[5:])
            try:
                for key in path:
                    said = said[key]
            except (KeyError, IndexError, TypeError):
                continue
            if isinstance(said, str):
                yield said


async def _start(readers: Readers, patience: float) -> None:
    """Begin all streams and wait until each has a token; who is beyond his limits is not waited for."""
    for at in range(0, len(readers.connections), 100):
        await asyncio.gather(*(reader.begin() for reader in readers.connections[at : at + 100]))
    with suppress(TimeoutError):
        await asyncio.wait_for(readers.heard.wait(), patience)
    async with asyncio.timeout(_SILENCE):
        while not readers.tokens:  # noqa: ASYNC110 - an event would cost each token
            await asyncio.sleep(0.05)


async def _finish(readers: Readers, patience: float, *, cut: bool) -> dict[str, Any]:
    """Wait until all answers have ended; with ``cut``, cut those that have not within the patience."""
    readers.looping = False
    left = 0
    try:
        if readers.open:
            await asyncio.wait_for(readers.quiet.wait(), patience)
    except TimeoutError:
        if not cut:
            raise
        left = readers.open
    for reader in readers.connections:
        reader.close()
    faults = {"faults": readers.faults[:3], "count": len(readers.faults)}
    return {"checked": readers.checked, **faults, "cut": left}


async def _main() -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    readers: Readers | None = None
    while line := await orders.readline():
        order = json.loads(line)
        told: dict[str, Any] = {}
        try:
            match order["do"]:
                case "start":
                    readers = Readers(order)
                    await _start(readers, order["patience"])
                case "mark" if readers:
                    told = readers.mark()
                case "finish" if readers:
                    readers.looping = False
                case "await" if readers:
                    told = await _finish(readers, order["patience"], cut=order.get("cut", False))
        except TimeoutError:
            told = {"error": f"{order['do']}: not done in time", **(readers.standing() if readers else {})}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    uvloop.run(_main())
