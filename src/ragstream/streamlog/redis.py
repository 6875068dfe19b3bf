"""The log in Redis or Valkey: many processes, on many machines, write and read it.

1. **One writer.** A log has a token, which rises whenever somebody adopts it; the script that appends refuses
   every other one. A process that was taken for dead finds that out at its first append or beat.
2. **No hole.** The script appends only what follows the last event. A writer keeps its events until the log
   has ended, and says anew what Redis has lost: at the next append, or at the next beat of the process.
3. **One lease a process**, renewed by its beats. Who has not been connected for a whole lease by itself, or
   has seen Redis forget, takes nobody for dead.
4. **Local readers never touch Redis**; readers elsewhere share one mirror of the log in each process.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from weakref import WeakValueDictionary

import msgspec

from ragstream.errors import LeaseLost, StoreError
from ragstream.streamlog._committer import Committer, Entry
from ragstream.streamlog._live import LiveStream
from ragstream.streamlog._reading import ReadableLog
from ragstream.streamlog._redis_bell import Bell
from ragstream.streamlog._redis_lease import Lease
from ragstream.streamlog._redis_line import Address
from ragstream.streamlog._redis_mirrors import Mirrors
from ragstream.streamlog._redis_store import GONE, LOST, RedisStore, Timing
from ragstream.streamlog._writer import LocalWriter
from ragstream.streamlog.base import LogStatus, Record
from ragstream.telemetry import get_logger

__all__ = ["RedisLog"]

_log = get_logger(__name__)
_SWEEP_EVERY = 60.0  # seconds
_RECKONING = 5  # beats between two looks at what Redis holds this process to write
_AFTER_THE_END = 5.0  # seconds for which an ended log can still be said anew
_REWRITTEN = 500  # events of a lost tail that are said anew at once
_TO_SAY_GOODBYE = 2.0  # seconds at the close, for what others would find out by themselves


class RedisLog(ReadableLog):
    """A log in Redis, which several processes share.

    Args:
        url: where Redis is: ``redis://host:port/database``, ``rediss://…`` or ``unix://path``.
        prefix: what all keys begin with.
        max_bytes: what the events of one answer may take.
        retention: seconds for which an ended log is kept.
        total_bytes: what all ended logs together may take; beyond it the oldest go.
        window: seconds that an event waits for others, to be appended with them.
        lease: seconds after which a process that is silent is held to be dead.
        deadline: seconds that an answer may take; a log without an end goes after that and ``retention``.

    Raises:
        ConfigError: the URL is none of Redis's.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "ragstream",
        max_bytes: int = 8 * 1024**2,
        retention: float = 24 * 3600.0,
        total_bytes: int = 1024**3,
        window: float = 0.005,
        lease: float = 5.0,
        deadline: float = 600.0,
    ) -> None:
        self.process = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        address = Address(url, patience=10.0)
        timing = Timing(lease, deadline, retention)
        self._store = RedisStore(address, prefix=prefix, process=self.process, timing=timing)
        self._bell = Bell(address, self._on_ring)
        self._mirrors = Mirrors(self._store, self._bell)
        self._committer = Committer(self._append, window=window)
        self._max_bytes = max_bytes
        self._total_bytes = total_bytes
        self._lease = Lease(lease, self._beat)
        self._beats = 0
        self._own: dict[str, LiveStream] = {}  # logs that this process writes
        self._ended: WeakValueDictionary[str, LiveStream] = WeakValueDictionary()
        self._resting: dict[LiveStream, float] = {}  # own logs that have ended a moment ago, until when
        self._claiming: set[str] = set()
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, take the lease, begin to append and to listen.

        Raises:
            StoreError: Redis cannot be reached, or refuses.
        """
        await self._store.open()
        try:
            await self._lease.start()
        except BaseException:
            await self._store.close()
            raise
        self._bell.listen(self._channel)
        self._bell.start()
        self._mirrors.start()
        self._committer.start()
        self._sweeper = asyncio.create_task(self._keep_sweeping(), name="log retention")

    async def aclose(self) -> None:
        """Append what is pending, leave open logs to others, and let go of everything."""
        await self._committer.aclose()
        await self._lease.aclose()
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.cancel()
            await asyncio.wait([sweeper])
            await self._say_goodbye()
        for stream in self._own.values():
            stream.fail(StoreError("The stream log was closed."))
        await self._mirrors.aclose()
        await self._bell.aclose()
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
        own = self._own.get(stream_id)
        if own is not None and own.producer is not None:
            raise LeaseLost("The log has a producer in this process: there is nothing to take over.")
        if own is not None:
            await self._let_go(own)
        claim = asyncio.ensure_future(self._adopt(stream_id))
        try:
            return await asyncio.shield(claim)
        except asyncio.CancelledError:
            claim.add_done_callback(_give_up)
            raise

    async def status(self, stream_id: str) -> LogStatus | None:
        """Return where the log stands, or None if it is not there."""
        stream = self._local(stream_id)
        if stream is not None:
            return stream.status
        found = await self._store.find(stream_id)
        return None if found is None else found.status

    async def watched(self, stream_id: str) -> bool:
        """Return whether the log is being read in another process."""
        return await self._store.readers(stream_id) > 0

    async def cancel(self, stream_id: str, by: str) -> None:
        """Ask the producer, wherever it runs, to stop; nothing happens where there is none."""
        if stream_id in self._own:
            self._stop(stream_id, by)
        else:
            await self._store.cancel(stream_id, by)

    async def delete(self, stream_id: str) -> None:
        """Delete the log; its readers see NotFound, its producer can add nothing more. Idempotent."""
        self._vanish(stream_id)
        await self._store.delete(stream_id)

    async def orphans(self) -> list[str]:
        """Return the logs without a terminal event and without a live producer."""
        return await self._store.orphans(steady=self._lease.steady)

    async def sweep(self) -> None:
        """Delete ended logs that are too old, and the oldest ones while all together are too large."""
        while await self._store.sweep(self._total_bytes):
            pass

    async def missing(self) -> str | None:
        """Return what keeps Redis from being a safe place for a log, if anything does."""
        policy = await self._store.eviction()
        if policy.startswith("allkeys-"):
            return (
                f"Redis may throw away answers under way: its maxmemory-policy is {policy}. "
                "Set it to noeviction, or to one of volatile-*."
            )
        return None

    # Writing

    async def _claim(self, stream_id: str, owner: str, stop: Callable[[str], None] | None) -> LocalWriter:
        self._claiming.add(stream_id)
        try:
            token = await self._store.claim(stream_id, owner)
            stream = LiveStream(stream_id, owner, key=token, on_end=self._retire)
            return self._writer(stream, stop)
        finally:
            self._claiming.discard(stream_id)

    async def _adopt(self, stream_id: str) -> LocalWriter:
        self._claiming.add(stream_id)
        try:
            stored = await self._store.adopt(stream_id, steady=self._lease.steady)
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
        self._own[stream.stream_id] = stream
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
        if not stream.gone and self._own.get(stream.stream_id) is stream:
            del self._own[stream.stream_id]
            self._ended[stream.stream_id] = stream
            self._resting[stream] = asyncio.get_running_loop().time() + _AFTER_THE_END

    def _disown(self, stream: LiveStream) -> None:
        """Another producer has the log: what it says is read from Redis, as by any process."""
        self._committer.drop(stream)
        if self._own.get(stream.stream_id) is stream:
            del self._own[stream.stream_id]
        stream.disown()
        self._mirrors.add(stream)

    async def _let_go(self, stream: LiveStream) -> None:
        """Leave a log that has no end to whoever adopts it."""
        if self._own.get(stream.stream_id) is not stream:
            return
        await self._store.release([stream.stream_id])
        if self._own.get(stream.stream_id) is stream:
            self._disown(stream)

    # Living

    async def _beat(self) -> bool:
        """Renew the lease and look after the logs that this process writes; return whether it was known."""
        now = asyncio.get_running_loop().time()
        self._resting = {stream: until for stream, until in self._resting.items() if until > now}
        streams = [*self._own.values(), *self._resting]
        acked = [stream.acked for stream in streams]
        known, heard = await self._store.beat(streams)
        for stream, said, (last, stop) in zip(streams, acked, heard, strict=True):
            if stop:
                self._stop(stream.stream_id, stop)
            if last < said and not stream.gone:
                await self._rewrite(stream, last, said)
        for stream in [stream for stream in self._own.values() if stream.producer is None]:
            await self._let_go(stream)
        self._beats += 1
        if self._beats % _RECKONING == 0:
            await self._reckon()
        return known

    async def _reckon(self) -> None:
        """Release what Redis holds this process to write but nobody here does: a claim that came too late."""
        mine = await self._store.mine()
        strange = [name for name in mine if name not in self._own and name not in self._claiming]
        if strange:
            await self._store.release(strange)

    async def _keep_sweeping(self) -> None:
        while True:
            try:
                await self.sweep()
            except StoreError as fault:  # the next time, perhaps
                _log.warning("old logs not deleted", code=fault.code, error=str(fault))
            await asyncio.sleep(_SWEEP_EVERY)

    async def _say_goodbye(self) -> None:
        try:
            async with asyncio.timeout(_TO_SAY_GOODBYE):
                await self._store.release(self._own)
                await self._store.leave()
        except (StoreError, TimeoutError) as fault:
            _log.warning("lease not given up", error=str(fault))

    # Reading

    def _local(self, stream_id: str) -> LiveStream | None:
        return self._own.get(stream_id) or self._ended.get(stream_id)

    async def _to_read(self, stream_id: str, after: int) -> LiveStream | None:
        stream = self._local(stream_id)
        if stream is not None:
            return stream
        found = await self._store.find(stream_id)
        stream = self._local(stream_id)  # it may have been adopted meanwhile
        if stream is None and found is not None:
            stream = self._mirrors.get(found.stored)
            await self._mirrors.reach(stream, min(after, found.stored.last_seq))
        return stream

    async def _stored(self, stream: LiveStream, after: int) -> tuple[Record, ...]:
        return await self._store.page(stream.stream_id, after)

    # What others say

    @property
    def _channel(self) -> str:
        return f"{self._store.prefix}:to:{self.process}"

    def _on_ring(self, channel: str, said: bytes | None) -> None:
        if channel != self._channel:
            self._mirrors.ring(channel.rpartition(":")[2], said)
        elif said is not None:
            what, stream_id, by = msgspec.json.decode(said, type=tuple[str, str, str])
            if what == "cancel":
                self._stop(stream_id, by)
            elif what == "gone":
                self._vanish(stream_id)

    def _stop(self, stream_id: str, by: str) -> None:
        stream = self._own.get(stream_id)
        if stream is not None and isinstance(stream.producer, LocalWriter) and stream.producer.stop:
            stream.producer.stop(by)

    def _vanish(self, stream_id: str) -> None:
        for streams in (self._own, self._ended):
            stream = streams.pop(stream_id, None)
            if stream is not None:
                self._committer.drop(stream)
                self._resting.pop(stream, None)
                stream.vanish()
        self._mirrors.vanish(stream_id)


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
