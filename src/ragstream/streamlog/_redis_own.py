"""The logs that this process writes in Redis: claimed or adopted, appended to, said anew, and let go of."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from weakref import WeakValueDictionary

from ragstream.errors import LeaseLost, StoreError
from ragstream.streamlog._committer import Committer, Entry
from ragstream.streamlog._live import LiveStream
from ragstream.streamlog._redis_mirrors import Mirrors
from ragstream.streamlog._redis_store import GONE, LOST, RedisStore
from ragstream.streamlog._writer import LocalWriter
from ragstream.streamlog.base import Record
from ragstream.telemetry import get_logger

__all__ = ["OwnLogs"]

_log = get_logger(__name__)
_RECKONING = 5  # beats between two looks at what Redis holds this process to write
_AFTER_THE_END = 5.0  # seconds for which an ended log can still be said anew
_REWRITTEN = 500  # events of a lost tail that are said anew at once


class OwnLogs:
    """The logs of one process, also those that ended a moment ago.

    Args:
        store: where the logs are.
        mirrors: read on what another process writes now.
        max_bytes: what the events of one answer may take.
        window: seconds that an event waits for others, to be appended with them.
    """

    def __init__(self, store: RedisStore, mirrors: Mirrors, *, max_bytes: int, window: float) -> None:
        self._store = store
        self._mirrors = mirrors
        self._max_bytes = max_bytes
        self._committer = Committer(self._append, window=window)
        self._live: dict[str, LiveStream] = {}
        self._ended: WeakValueDictionary[str, LiveStream] = WeakValueDictionary()
        self._resting: dict[LiveStream, float] = {}  # those that ended a moment ago, until when
        self._claiming: set[str] = set()
        self._beats = 0

    def __contains__(self, stream_id: str) -> bool:
        """Return whether the log is written here."""
        return stream_id in self._live

    def start(self) -> None:
        """Begin to append."""
        self._committer.start()

    async def finish(self) -> None:
        """Append what is pending, and nothing more. Idempotent."""
        await self._committer.aclose()

    def fail(self) -> None:
        """Tell who still reads that no more will come."""
        for stream in self._live.values():
            stream.fail(StoreError("The stream log was closed."))

    def get(self, stream_id: str) -> LiveStream | None:
        """Return a log that is written here, or was and is still read."""
        return self._live.get(stream_id) or self._ended.get(stream_id)

    async def claim(self, stream_id: str, owner: str, stop: Callable[[str], None] | None) -> LocalWriter:
        """Claim a new stream id."""
        claim = asyncio.ensure_future(self._claim(stream_id, owner, stop))
        try:
            return await asyncio.shield(claim)
        except asyncio.CancelledError:  # what is claimed now has no producer: an orphan, to be settled
            claim.add_done_callback(_give_up)
            raise

    async def adopt(self, stream_id: str, *, steady: bool) -> LocalWriter:
        """Take over an orphaned log; ``steady``: also where the producer's lease has run out."""
        own = self._live.get(stream_id)
        if own is not None and own.producer is not None:
            raise LeaseLost("The log has a producer in this process: there is nothing to take over.")
        if own is not None:
            await self._let_go(own)
        claim = asyncio.ensure_future(self._adopt(stream_id, steady=steady))
        try:
            return await asyncio.shield(claim)
        except asyncio.CancelledError:
            claim.add_done_callback(_give_up)
            raise

    async def release(self) -> None:
        """Leave all logs that have no end to whoever adopts them."""
        await self._store.release(self._live)

    async def beat(self) -> bool:
        """Renew the lease and look after the logs that this process writes; return whether it was known."""
        now = asyncio.get_running_loop().time()
        self._resting = {stream: until for stream, until in self._resting.items() if until > now}
        streams = [*self._live.values(), *self._resting]
        acked = [stream.acked for stream in streams]
        known, heard = await self._store.beat(streams)
        for stream, said, (last, stop) in zip(streams, acked, heard, strict=True):
            if stop:
                self.stop(stream.stream_id, stop)
            if last < said and not stream.gone:
                await self._rewrite(stream, last, said)
        for stream in [stream for stream in self._live.values() if stream.producer is None]:
            await self._let_go(stream)
        self._beats += 1
        if self._beats % _RECKONING == 0:
            await self._reckon()
        return known

    def stop(self, stream_id: str, by: str) -> None:
        """Stop the producer of a log that is written here."""
        stream = self._live.get(stream_id)
        if stream is not None and isinstance(stream.producer, LocalWriter) and stream.producer.stop:
            stream.producer.stop(by)

    def vanish(self, stream_id: str) -> None:
        """Let go of a log that was deleted."""
        for streams in (self._live, self._ended):
            stream = streams.pop(stream_id, None)
            if stream is not None:
                self._committer.drop(stream)
                self._resting.pop(stream, None)
                stream.vanish()

    async def _claim(self, stream_id: str, owner: str, stop: Callable[[str], None] | None) -> LocalWriter:
        self._claiming.add(stream_id)
        try:
            token = await self._store.claim(stream_id, owner)
            stream = LiveStream(stream_id, owner, key=token, on_end=self._retire)
            return self._writer(stream, stop)
        finally:
            self._claiming.discard(stream_id)

    async def _adopt(self, stream_id: str, *, steady: bool) -> LocalWriter:
        self._claiming.add(stream_id)
        try:
            stored = await self._store.adopt(stream_id, steady=steady)
            stream = LiveStream(
                stored.stream_id,
                stored.owner,
                key=stored.key,
                last_seq=stored.last_seq,
                size=stored.size,
                on_end=self._retire,
            )
            return self._writer(stream, None)
        finally:
            self._claiming.discard(stream_id)

    def _writer(self, stream: LiveStream, stop: Callable[[str], None] | None) -> LocalWriter:
        self._live[stream.stream_id] = stream
        return _Writer(stream, self._committer, self._let_go, max_bytes=self._max_bytes, stop=stop)

    async def _append(self, batch: Sequence[Entry]) -> set[LiveStream]:
        """Append a batch; return the streams that are another producer's now, or were lost for good."""
        runs: defaultdict[LiveStream, list[Record]] = defaultdict(list)
        for stream, record in batch:
            runs[stream].append(record)
        refused = set()
        lasts = await self._store.append(runs.items())
        for (stream, records), last in zip(runs.items(), lasts, strict=True):
            if last < records[-1].seq and not await self._rewrite(stream, last, records[-1].seq):
                refused.add(stream)
        return refused

    async def _rewrite(self, stream: LiveStream, last: int, until: int) -> bool:
        """Say anew what Redis has lost of an own log; return whether that could be done."""
        while last < until:
            if last == GONE and stream.base == 0:
                last = await self._store.restore(stream)
            if last == LOST:
                self._disown(stream)
                return False
            if last < stream.base:
                self._committer.drop(stream)
                stream.fail(StoreError("Redis has lost events of this stream, which cannot be said anew."))
                return False
            _log.warning("lost events said anew", stream_id=stream.stream_id, after=last, until=until)
            records = stream.since(last)[: min(until - last, _REWRITTEN)]
            (last,) = await self._store.append([(stream, records)])
        return True

    def _retire(self, stream: LiveStream) -> None:
        """Leave an ended log to Redis, and to who still reads it."""
        if not stream.gone and self._live.get(stream.stream_id) is stream:
            del self._live[stream.stream_id]
            self._ended[stream.stream_id] = stream
            self._resting[stream] = asyncio.get_running_loop().time() + _AFTER_THE_END

    def _disown(self, stream: LiveStream) -> None:
        """Another producer has the log: what it says is read from Redis, as by any process."""
        self._committer.drop(stream)
        if self._live.get(stream.stream_id) is stream:
            del self._live[stream.stream_id]
        stream.disown()
        self._mirrors.add(stream)

    async def _let_go(self, stream: LiveStream) -> None:
        """Leave a log that has no end to whoever adopts it."""
        if self._live.get(stream.stream_id) is not stream:
            return
        await self._store.release([stream.stream_id])
        if self._live.get(stream.stream_id) is stream:
            self._disown(stream)

    async def _reckon(self) -> None:
        """Release what Redis holds this process to write but nobody here does: a claim that came too late."""
        mine = await self._store.mine()
        strange = [name for name in mine if name not in self._live and name not in self._claiming]
        if strange:
            await self._store.release(strange)


class _Writer(LocalWriter):
    """Gives the log up in Redis, too."""

    def __init__(
        self,
        stream: LiveStream,
        sink: Committer,
        let_go: Callable[[LiveStream], Awaitable[None]],
        *,
        max_bytes: int,
        stop: Callable[[str], None] | None,
    ) -> None:
        super().__init__(stream, sink, max_bytes=max_bytes, stop=stop)
        self._let_go = let_go

    async def close(self) -> None:
        """Give the log up once what was appended is stored, or cannot be. Idempotent."""
        await super().close()
        with suppress(StoreError):  # the beat tries again
            await self._let_go(self._stream)


def _give_up(claim: asyncio.Future[LocalWriter]) -> None:
    if not claim.cancelled() and claim.exception() is None:
        claim.result().abandon()
