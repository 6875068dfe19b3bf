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
from collections.abc import Callable

import msgspec

from ragstream.errors import StoreError
from ragstream.streamlog._live import LiveStream
from ragstream.streamlog._reading import ReadableLog
from ragstream.streamlog._redis_bell import Bell
from ragstream.streamlog._redis_lease import Lease
from ragstream.streamlog._redis_line import Address
from ragstream.streamlog._redis_mirrors import Mirrors
from ragstream.streamlog._redis_own import OwnLogs
from ragstream.streamlog._redis_store import RedisStore, Timing
from ragstream.streamlog._writer import LocalWriter
from ragstream.streamlog.base import LogStatus, Record
from ragstream.telemetry import get_logger

__all__ = ["RedisLog"]

_log = get_logger(__name__)
_SWEEP_EVERY = 60.0  # seconds
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
        self._own = OwnLogs(self._store, self._mirrors, max_bytes=max_bytes, window=window)
        self._total_bytes = total_bytes
        self._lease = Lease(lease, self._own.beat)
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
        self._own.start()
        self._sweeper = asyncio.create_task(self._keep_sweeping(), name="log retention")

    async def aclose(self) -> None:
        """Append what is pending, leave open logs to others, and let go of everything."""
        await self._own.finish()
        await self._lease.aclose()
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.cancel()
            await asyncio.wait([sweeper])
            await self._say_goodbye()
        self._own.fail()
        await self._mirrors.aclose()
        await self._bell.aclose()
        await self._store.close()

    async def open(
        self, stream_id: str, owner: str, *, stop: Callable[[str], None] | None = None
    ) -> LocalWriter:
        """Claim a new stream id; see ``base.StreamLog``."""
        return await self._own.claim(stream_id, owner, stop)

    async def adopt(self, stream_id: str) -> LocalWriter:
        """Take over an orphaned log, to end it; see ``base.StreamLog``."""
        return await self._own.adopt(stream_id, steady=self._lease.steady)

    async def status(self, stream_id: str) -> LogStatus | None:
        """Return where the log stands, or None if it is not there."""
        stream = self._own.get(stream_id)
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
            self._own.stop(stream_id, by)
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

    # Living

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
                await self._own.release()
                await self._store.leave()
        except (StoreError, TimeoutError) as fault:
            _log.warning("lease not given up", error=str(fault))

    # Reading

    async def _to_read(self, stream_id: str, after: int) -> LiveStream | None:
        stream = self._own.get(stream_id)
        if stream is not None:
            return stream
        found = await self._store.find(stream_id)
        stream = self._own.get(stream_id)  # it may have been adopted meanwhile
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
                self._own.stop(stream_id, by)
            elif what == "gone":
                self._vanish(stream_id)

    def _vanish(self, stream_id: str) -> None:
        self._own.vanish(stream_id)
        self._mirrors.vanish(stream_id)
