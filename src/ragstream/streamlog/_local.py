"""A log of one process: what the memory and the SQLite log have in common.

Every log without a terminal event has its ``LiveStream`` in ``_open``, from start to end: that dictionary is
the truth about who writes what. Ended logs are the store's; those that somebody still reads are remembered
weakly, so that deleting one reaches its readers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Protocol
from weakref import WeakValueDictionary

import msgspec

from ragstream.errors import LeaseLost, NotFound, StoreError
from ragstream.streamlog._live import LiveStream
from ragstream.streamlog._reading import ReadableLog
from ragstream.streamlog._writer import LocalWriter, Sink
from ragstream.streamlog.base import LogStatus, Record
from ragstream.telemetry import get_logger

__all__ = ["LocalLog", "Store", "Stored"]

_log = get_logger(__name__)
_SWEEP_EVERY = 60.0  # seconds


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What a store knows of a log."""

    stream_id: str
    owner: str
    key: int  # the store's own name for it
    last_seq: int
    last_type: str | None  # the terminal event's type once ended
    size: int  # bytes of its events


class Store(Protocol):
    """Where a local log keeps its records. Every method may raise StoreError."""

    async def open(self) -> list[Stored]:
        """Connect; return the logs without a terminal event."""
        ...

    async def close(self) -> None:
        """Let go of everything."""

    async def claim(self, stream_id: str, owner: str) -> int:
        """Note a new log and return its key; raises StreamExists."""
        ...

    async def find(self, stream_id: str) -> Stored | None:
        """Return what is known of a log that was not deleted."""
        ...

    async def page(self, stream: LiveStream, after: int) -> tuple[Record, ...]:
        """Return the next stored records beyond ``after``, as many as fit in one page."""
        ...

    async def delete(self, stream_id: str) -> None:
        """Delete a log; its id stays used for as long as an ended log is kept."""

    async def expired(self) -> list[str]:
        """Return the ended logs that are too old or too many; forget ids whose logs are gone for long."""
        ...


class LocalLog(ReadableLog):
    """A StreamLog over a store of this process.

    Args:
        store: where ended logs and old records are.
        sink: what acknowledges new records.
        max_bytes: what the events of one answer may take.
        keep: bytes of each live log that stay in memory.
    """

    def __init__(self, store: Store, sink: Sink, *, max_bytes: int, keep: float = inf) -> None:
        self._store = store
        self._sink = sink
        self._max_bytes = max_bytes
        self._keep = keep
        self._open: dict[str, LiveStream] = {}
        self._ended: WeakValueDictionary[str, LiveStream] = WeakValueDictionary()
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the store, and begin to delete old logs."""
        self._open |= {stored.stream_id: self._stream(stored) for stored in await self._store.open()}
        self._sweeper = asyncio.create_task(self._sweep(), name="log retention")

    async def aclose(self) -> None:
        """Let go of everything; who still reads or writes is told."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
        for stream in self._open.values():
            stream.fail(StoreError("The stream log was closed."))
        await self._store.close()

    async def open(
        self, stream_id: str, owner: str, *, stop: Callable[[str], None] | None = None
    ) -> LocalWriter:
        """Claim a new stream id; see ``base.StreamLog``."""
        claim = asyncio.ensure_future(self._claim(stream_id, owner, stop))
        try:
            return await asyncio.shield(claim)
        except asyncio.CancelledError:  # what is claimed now has no producer: an orphan, to be settled
            claim.add_done_callback(_give_up)
            raise

    async def adopt(self, stream_id: str) -> LocalWriter:
        """Take over an orphaned log, to end it; see ``base.StreamLog``."""
        stream = await self._find(stream_id)
        while stream and stream.producer is None and stream.unacknowledged and not stream.gone:
            await stream.changed()  # what its producer said last is on its way
        if stream is None or stream.gone:
            raise NotFound("There is no such stream.")
        if stream.ended or stream.producer:
            raise LeaseLost("The log has ended, or its producer lives: there is nothing to take over.")
        if stream.fault is None:
            return LocalWriter(stream, self._sink, max_bytes=self._max_bytes)
        return await self._adopt_failed(stream)

    async def status(self, stream_id: str) -> LogStatus | None:
        """Return where the log stands, or None if it is not there."""
        stream = await self._find(stream_id)
        return None if stream is None else stream.status

    async def cancel(self, stream_id: str, by: str) -> None:
        """Ask the producer to stop; nothing happens where there is none."""
        stream = self._open.get(stream_id)
        if stream is not None and isinstance(stream.producer, LocalWriter) and stream.producer.stop:
            stream.producer.stop(by)

    async def watched(self, stream_id: str) -> bool:  # noqa: ARG002
        """Return False: no other process reads a log of this one."""
        return False

    async def delete(self, stream_id: str) -> None:
        """Delete the log; its readers see NotFound and its producer can add nothing more. Idempotent."""
        for streams in (self._open, self._ended):
            stream = streams.pop(stream_id, None)
            if stream is not None:
                self._sink.drop(stream)
                stream.vanish()
        await self._store.delete(stream_id)

    async def orphans(self) -> list[str]:
        """Return the logs without a terminal event and without a producer."""
        return [stream.stream_id for stream in self._open.values() if stream.producer is None]

    async def sweep(self) -> None:
        """Delete ended logs that are too old, and the oldest ones while all together are too large."""
        for stream_id in await self._store.expired():
            await self.delete(stream_id)

    async def _sweep(self) -> None:
        while True:
            try:
                await self.sweep()
            except StoreError as fault:  # the next time, perhaps
                _log.warning("old logs not deleted", code=fault.code, error=str(fault))
            await asyncio.sleep(_SWEEP_EVERY)

    async def _claim(self, stream_id: str, owner: str, stop: Callable[[str], None] | None) -> LocalWriter:
        key = await self._store.claim(stream_id, owner)
        stored = Stored(stream_id=stream_id, owner=owner, key=key, last_seq=0, last_type=None, size=0)
        stream = self._open[stream_id] = self._stream(stored)
        return LocalWriter(stream, self._sink, max_bytes=self._max_bytes, stop=stop)

    async def _adopt_failed(self, failed: LiveStream) -> LocalWriter:
        """Begin anew from what the store holds, for an error does not say how much that is."""
        failed.producer = self  # nobody else may adopt it meanwhile
        try:
            stored = await self._store.find(failed.stream_id)
        finally:
            failed.producer = None
        if stored is None or self._open.get(failed.stream_id) is not failed:
            raise LeaseLost("The log was deleted.")
        stream = self._stream(stored)
        if stream.ended:
            self._retire(stream)
            raise LeaseLost("The log has ended.")
        self._open[stream.stream_id] = stream
        return LocalWriter(stream, self._sink, max_bytes=self._max_bytes)

    async def _find(self, stream_id: str) -> LiveStream | None:
        stream = self._open.get(stream_id) or self._ended.get(stream_id)
        if stream is None:
            stored = await self._store.find(stream_id)
            stream = self._open.get(stream_id) or self._ended.get(stream_id)
            if stream is None and stored is not None and stored.last_type is not None:
                stream = self._ended[stream_id] = self._stream(stored)
        return stream

    async def _to_read(self, stream_id: str, after: int) -> LiveStream | None:  # noqa: ARG002
        return await self._find(stream_id)

    async def _stored(self, stream: LiveStream, after: int) -> tuple[Record, ...]:
        return await self._store.page(stream, after)

    def _stream(self, stored: Stored) -> LiveStream:
        return LiveStream(
            stored.stream_id,
            stored.owner,
            key=stored.key,
            last_seq=stored.last_seq,
            last_type=stored.last_type,
            size=stored.size,
            keep=self._keep,
            on_end=self._retire,
        )

    def _retire(self, stream: LiveStream) -> None:
        """Leave an ended log to the store, and to who still reads it."""
        if not stream.gone:
            self._open.pop(stream.stream_id, None)
            self._ended[stream.stream_id] = stream


def _give_up(claim: asyncio.Future[LocalWriter]) -> None:
    if not claim.cancelled() and claim.exception() is None:
        claim.result().abandon()
