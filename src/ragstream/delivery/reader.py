"""Reader: one HTTP response that streams, from its held head to the write deadline.

The request's own task waits in ``receive`` for the client to leave, because ``send`` need not raise after it
left. Deltas are written where the log acknowledges them, through a tap, as long as nothing is in their way.
Beside that task another one writes all other frames, a timer acts on silence (release the head, send a
heartbeat, give up a stuck reader), and there may be notice to go. Thousands may wait for answers that say
nothing for long: each is one timer and one task more, and where nothing is in its way the timer writes a
heartbeat itself.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

from starlette.types import Receive, Send

from ragstream.delivery import sse
from ragstream.delivery.beside import Beside
from ragstream.delivery.frames import Frame
from ragstream.delivery.readers import Notice
from ragstream.delivery.setup import StreamSetup
from ragstream.errors import ReaderEvicted, ReaderLeft
from ragstream.events import EventType
from ragstream.streamlog.base import Record
from ragstream.streamlog.tap import Tap

__all__ = ["Line", "Reader", "until_left"]

_WINDOW = 16 + 10  # gzip in a 1 KiB window: memory decides, 18 KB a stream instead of 101
_MEMORY = 4
_LAST_LOOK = 0.1  # of the write deadline: its last part, for it may be this process that stood still
_DELTAS = frozenset({EventType.TEXT_DELTA.value, EventType.REASONING_DELTA.value})


class Line(Protocol):
    """The way to the client, past ``send`` and the layers between, which care for the head alone."""

    def is_free(self) -> bool:
        """Return whether the client takes what is written now."""
        ...

    def write(self, data: bytes) -> None:
        """Write a piece of the body at once."""


class Reader:
    """Writes frames to one client.

    Args:
        setup: how it streams.
        receive: tells when the client leaves.
        send: takes the response.
        ids: stream id and session id, for the head.
        on_first: called once, when the first event was sent.
        notice: set when the reader shall be sent away; without it, it never is.
        line: where it is free, pieces of the body are written to it at once.
        tap: where deltas come that are written while the frames wait for more.
    """

    def __init__(
        self,
        setup: StreamSetup,
        receive: Receive,
        send: Send,
        ids: tuple[str, str],
        *,
        on_first: Callable[[], None] | None = None,
        notice: asyncio.Future[Notice] | None = None,
        line: Line | None = None,
        tap: Tap | None = None,
    ) -> None:
        self._setup = setup
        self._receive = receive
        self._send = send
        self._line = None if setup.compression else line
        if tap is not None and self._line is not None:
            tap.take = self._take
        self._ids = ids
        self._on_first = on_first
        self._notice = notice
        self._gzip = zlib.compressobj(6, zlib.DEFLATED, _WINDOW, _MEMORY) if setup.compression else None
        self._held = bytearray()
        self._turn = asyncio.Lock()  # one writer at a time: a frame, a heartbeat or a farewell
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._writing_since: float | None = None
        self._stuck_since: float | None = None  # the write that gets one more look
        self._last_write = self._clock()  # when it began
        self.started = False
        self.terminal: Record | None = None
        self.sent_away: Notice | None = None
        self.bytes_sent = 0

    async def deliver(self, frames: AsyncGenerator[Frame, None], *, may_refuse: bool) -> None:
        """Write the frames up to the terminal one, or until the reader is sent away.

        Args:
            frames: closed at the end, whatever happens.
            may_refuse: return without a head if the answer fails before it has begun; the caller then
                answers with an honest status. ``started`` tells.

        Raises:
            ReaderLeft: the client closed the connection.
            ReaderEvicted: it took nothing for the write deadline.
            StoreError: the log failed; everything before was written.
        """
        async with aclosing(frames):
            try:
                async with Beside() as self._beside:
                    writing = self._write_all(frames, may_refuse=may_refuse)
                    self._beside.start(writing, then_end=True)  # each token wakes all the frames of its task
                    await self._attend()
            except ReaderLeft:
                if self.sent_away is None:  # else the server may have told us of the end that we made
                    raise

    async def tell(self, data: bytes, *, more: bool = True) -> None:
        """Write a last word that is none of the frames; without ``more`` it ends the response.

        Raises:
            ReaderEvicted: the client took nothing for the write deadline.
        """
        try:
            async with asyncio.timeout(self._setup.write_deadline):
                await self.write(data, more=more)
        except TimeoutError:
            raise self._evicted() from None

    async def _write_all(self, frames: AsyncGenerator[Frame, None], *, may_refuse: bool) -> None:
        async for frame in frames:
            self.terminal = frame.terminal
            if self.started:
                if line := self._free_line():
                    self._write_at_once(line, frame.data)
                else:
                    await self.write(frame.data)
                if self._on_first is not None:
                    self._tell_first()
                continue
            self._held += frame.data
            if may_refuse and frame.held and frame.terminal and frame.terminal.type == EventType.ERROR:
                return
            if frame.terminal or not frame.held:
                await self.release()

    async def _attend(self) -> None:
        """Wait for the client to leave; meanwhile act on silence, and on notice."""
        self._timer = self._loop.call_later(self._setup.head_hold, self._ring)
        if self._notice is not None:
            self._notice.add_done_callback(self._go)
        try:
            await until_left(self._receive)
        finally:
            self._timer.cancel()
            if self._notice is not None:
                self._notice.remove_done_callback(self._go)

    async def release(self) -> None:
        """Send the head and what was held back; idempotent."""
        async with self._turn:
            if self.started:
                return
            self.started = True
            stream_id, session_id = self._ids
            headers = [
                *self._setup.headers,
                (b"x-stream-id", stream_id.encode()),
                (b"x-session-id", session_id.encode()),
            ]
            held, self._held = bytes(self._held), bytearray()
            self._writing_since = self._clock()
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send_body(held or self._setup.projection.heartbeat)  # before any frame that waits
        if held:
            self._tell_first()

    def _tell_first(self) -> None:
        if self._on_first is not None:
            self._on_first()
            self._on_first = None

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Write a piece of the body once it is its turn."""
        async with self._turn:
            await self._send_body(data, more=more)

    def _take(self, record: Record) -> bool:
        """Write a delta where it is acknowledged, as nearly all are; where that cannot be, refuse it.

        So this reader's task is not woken for each. What ``_free_line`` and ``_write_at_once`` do stands here
        once more: each token comes by, and calls are dear.
        """
        line = self._line
        if (
            line is None
            or record.type not in _DELTAS
            or not self.started
            or self._turn.locked()
            or not line.is_free()
        ):
            return False
        try:
            if data := self._setup.projection.frame(record):  # else a cursor swallowed it
                line.write(data)
                self._last_write = self._clock()
                self.bytes_sent += len(data)
        except Exception as fault:  # noqa: BLE001 - the reader's, not the answer's
            self._beside.end(fault)
        return True

    def _free_line(self) -> Line | None:
        """Return the line, if nothing is in the way of a piece that is written to it at once."""
        line = self._line
        return line if line is not None and not self._turn.locked() and line.is_free() else None

    def _write_at_once(self, line: Line, data: bytes) -> None:
        line.write(data)
        self._last_write = self._clock()
        self.bytes_sent += len(data)

    async def _send_body(self, data: bytes, *, more: bool = True) -> None:
        if self._gzip is not None:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH if more else zlib.Z_FINISH)
        self._writing_since = began = self._clock()
        await self._send({"type": "http.response.body", "body": data, "more_body": more})
        self._writing_since, self._last_write = None, began
        self.bytes_sent += len(data)

    def _ring(self) -> None:
        """Act on silence, and set the timer anew."""
        now, setup = self._clock(), self._setup
        if (since := self._writing_since) is not None:
            if since == self._stuck_since:
                self._beside.end(self._evicted())
                return
            if now - since >= setup.write_deadline * (1.0 - _LAST_LOOK):
                self._stuck_since = since  # maybe it was this process that stood still, not the reader
        elif not self.started:
            self._beside.start(self.release())
        elif now - self._last_write >= setup.heartbeat:
            self._beat(setup.projection.heartbeat)
        self._timer = self._loop.call_later(self._wait(now), self._ring)

    def _beat(self, heartbeat: bytes) -> None:
        line = self._free_line()
        if line is None:
            self._beside.start(self.write(heartbeat))
            return
        try:
            self._write_at_once(line, heartbeat)
        except Exception as fault:  # noqa: BLE001 - the reader's; nobody else would hear of it from a timer
            self._beside.end(fault)

    def _go(self, notice: asyncio.Future[Notice]) -> None:
        self._timer.cancel()
        self._beside.start(self._send_away(notice.result()))

    async def _send_away(self, notice: Notice) -> None:
        """End the response between two events, with word when to come back; who has all stays for DONE."""
        try:
            async with asyncio.timeout(self._setup.write_deadline):
                await self.release()
                await self._turn.acquire()  # and never released: nothing follows
                if self.terminal is not None:
                    self._turn.release()
                    await self._loop.create_future()  # the end is being written
                self.sent_away = notice
                await self._send_body(sse.encode(retry=notice.retry), more=False)
        except TimeoutError:
            raise self._evicted() from None
        self._beside.end()

    def _evicted(self) -> ReaderEvicted:
        return ReaderEvicted(f"The reader took nothing for {self._setup.write_deadline:g} s.")

    def _wait(self, now: float) -> float:
        if (since := self._writing_since) is not None:
            last_look = _LAST_LOOK * self._setup.write_deadline
            if since == self._stuck_since:
                return last_look
            return max(0.0, since + self._setup.write_deadline - last_look - now)
        return max(0.0, min(self._last_write + self._setup.heartbeat, now + self._setup.write_deadline) - now)


async def until_left(receive: Receive) -> None:
    """Wait until the client leaves.

    Raises:
        ReaderLeft: it left.
    """
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ReaderLeft("The reader closed the connection.")
