"""The log in memory: for tests, for one command, and wherever answers may go with the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ragstream.errors import StreamExists
from ragstream.events import TERMINAL
from ragstream.streamlog._live import LiveStream
from ragstream.streamlog._local import LocalLog, Stored
from ragstream.streamlog.base import Record

__all__ = ["MemoryLog"]


class MemoryLog(LocalLog):
    """A log that ends with its process; events are acknowledged in the next pass of the loop.

    Works without ``start``, which only begins to delete old logs.

    Args:
        max_bytes: what the events of one answer may take.
        retention: seconds for which an ended log is kept.
        total_bytes: what all ended logs together may take; beyond it the oldest go.
        clock: the wall clock, in seconds.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 8 * 1024**2,
        retention: float = 24 * 3600.0,
        total_bytes: int = 1024**3,
        clock: Callable[[], float] = time.time,
    ) -> None:
        shelf = _Shelf(retention, total_bytes, clock)
        super().__init__(shelf, shelf, max_bytes=max_bytes)


class _Shelf:
    """Ended logs in the order of their ends, and all ids that were ever used."""

    def __init__(self, retention: float, total_bytes: int, clock: Callable[[], float]) -> None:
        self._retention = retention
        self._total_bytes = total_bytes
        self._clock = clock
        self._ended: dict[str, tuple[float, LiveStream]] = {}
        self._used: dict[str, float | None] = {}  # with the time of deletion
        self._pending: list[tuple[LiveStream, Record]] = []
        self._loop: asyncio.AbstractEventLoop | None = None  # where they will be acknowledged

    def submit(self, stream: LiveStream, record: Record, *, urgent: bool) -> None:  # noqa: ARG002
        # Together with what other streams say in this pass: code that runs again and again at once stays in
        # the processor's cache, which makes a token 8 % cheaper.
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # no callback is on its way, or its loop has ended
            self._loop = loop
            loop.call_soon(self._acknowledge)
        self._pending.append((stream, record))

    def drop(self, stream: LiveStream) -> None:
        self._pending = [entry for entry in self._pending if entry[0] is not stream]

    def _acknowledge(self) -> None:
        self._loop = None
        pending, self._pending = self._pending, []
        for stream, record in pending:
            if record.type in TERMINAL:
                self._ended[stream.stream_id] = self._clock(), stream
            stream.acknowledge(record)

    async def open(self) -> list[Stored]:
        return []

    async def close(self) -> None:
        """Acknowledge what is pending, and keep everything: whoever has the log may still read it."""
        self._acknowledge()

    async def claim(self, stream_id: str, owner: str) -> int:  # noqa: ARG002
        if stream_id in self._used:
            raise StreamExists(f"The stream id {stream_id} has been used.")
        self._used[stream_id] = None
        return 0

    async def find(self, stream_id: str) -> Stored | None:
        _, stream = self._ended.get(stream_id, (0, None))
        if stream is None:
            return None
        return Stored(
            stream_id=stream_id,
            owner=stream.owner,
            key=0,
            last_seq=stream.acked,
            last_type=stream.ended,
            size=stream.size,
        )

    async def page(self, stream: LiveStream, after: int) -> tuple[Record, ...]:
        _, kept = self._ended.get(stream.stream_id, (0, None))
        return kept.tail(after) if kept else ()

    async def delete(self, stream_id: str) -> None:
        self._ended.pop(stream_id, None)
        if stream_id in self._used:
            self._used[stream_id] = self._clock()

    async def expired(self) -> list[str]:
        horizon = self._clock() - self._retention
        self._used = {
            stream_id: deleted
            for stream_id, deleted in self._used.items()
            if deleted is None or deleted >= horizon
        }
        total, old = 0, []
        for stream_id, (ended, stream) in reversed(self._ended.items()):
            total += stream.size
            if ended < horizon or total > self._total_bytes:
                old.append(stream_id)
        return old
