"""Mirrors: what is written elsewhere and read here, once for each stream, however many read it.

A mirror begins where the log stood when it was made; what is older is read from Redis, page by page. It asks
for more when the bell rings, and every two seconds. A mirror lives as long as somebody reads it.
"""

from __future__ import annotations

import asyncio
import weakref

from ragstream.errors import StoreError
from ragstream.streamlog._live import LiveStream
from ragstream.streamlog._local import Stored
from ragstream.streamlog._redis_bell import Bell
from ragstream.streamlog._redis_store import RedisStore
from ragstream.telemetry import get_logger

__all__ = ["Mirrors"]

_log = get_logger(__name__)
_EVERY = 2.0  # seconds between two looks at a log whose bell is silent
_MISSING = 3  # looks without finding a log, after which it is gone: its writer may make it anew meanwhile
_KEEP = 1024**2  # bytes of each mirror that stay in memory


class Mirrors:
    """The mirrors of one process.

    Args:
        store: where the logs are.
        bell: rings when a log has grown.
    """

    def __init__(self, store: RedisStore, bell: Bell) -> None:
        self._store = store
        self._bell = bell
        self._mirrors: weakref.WeakValueDictionary[str, LiveStream] = weakref.WeakValueDictionary()
        self._rung: set[str] = set()
        self._missing: dict[str, int] = {}  # looks in vain
        self._roused = asyncio.Event()
        self._looking = False  # a look at all is due
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to follow."""
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._tick())]

    async def aclose(self) -> None:
        """Follow no more; who still reads is told. Idempotent."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for mirror in list(self._mirrors.values()):
            mirror.fail(StoreError("The stream log was closed."))

    def get(self, stored: Stored) -> LiveStream:
        """Return the mirror of a log, made if it is the first reader's."""
        mirror = self._mirrors.get(stored.stream_id)
        if mirror is None or (mirror.fault is not None and not mirror.gone):
            mirror = LiveStream(
                stored.stream_id,
                stored.owner,
                key=stored.key,
                last_seq=stored.last_seq,
                last_type=stored.last_type,
                size=stored.size,
                keep=_KEEP,
            )
            self.add(mirror)
        return mirror

    def add(self, mirror: LiveStream) -> None:
        """Follow a log from where ``mirror`` stands, for as long as somebody holds it."""
        self._mirrors[mirror.stream_id] = mirror
        if mirror.ended is None:
            self._bell.listen(self._channel(mirror.stream_id))
            weakref.finalize(mirror, self._forget, mirror.stream_id).atexit = False
            self.ring(mirror.stream_id, None)  # what came meanwhile may have rung for nobody

    async def reach(self, mirror: LiveStream, seq: int) -> None:
        """Bring a mirror up to ``seq``, which Redis is known to have."""
        while mirror.acked < seq and mirror.fault is None and not mirror.gone and await self._take(mirror):
            pass

    def ring(self, stream_id: str, said: bytes | None) -> None:
        """Take note of the bell."""
        if said == b"gone":
            self.vanish(stream_id)
            return
        self._rung.add(stream_id)
        self._roused.set()

    def vanish(self, stream_id: str) -> None:
        """The log was deleted."""
        mirror = self._mirrors.pop(stream_id, None)
        if mirror is not None:
            mirror.vanish()

    def _channel(self, stream_id: str) -> str:
        return f"{self._store.prefix}:bell:{stream_id}"

    def _forget(self, stream_id: str) -> None:
        self._missing.pop(stream_id, None)
        if stream_id not in self._mirrors:
            self._bell.leave(self._channel(stream_id))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            self._looking = True
            self._roused.set()

    async def _follow(self) -> None:
        while True:
            await self._roused.wait()
            self._roused.clear()
            rung, self._rung = self._rung, set()
            looking, self._looking = self._looking, False
            if looking:
                rung = set(self._mirrors)
            try:
                if len(rung) == 1:
                    await self._refresh(rung.pop(), look=looking)
                else:
                    await asyncio.gather(*(self._refresh(stream_id, look=looking) for stream_id in rung))
            except StoreError as fault:  # it looks again by itself
                _log.warning("streams of other processes not followed", code=fault.code, error=str(fault))
            except Exception:  # noqa: BLE001 - the boundary of a task that must go on
                _log.exception("streams of other processes not followed")

    async def _refresh(self, stream_id: str, *, look: bool) -> None:
        mirror = self._mirrors.get(stream_id)
        if mirror is None or mirror.ended or mirror.fault is not None:
            return
        while await self._take(mirror):
            pass
        if look and mirror.ended is None:
            await self._look_after(mirror)

    async def _take(self, mirror: LiveStream) -> bool:
        """Take the next page over from Redis; return whether there was one."""
        before = mirror.acked
        records = await self._store.page(mirror.stream_id, before)
        if mirror.acked != before:
            return True  # somebody else was faster
        for record in records:
            if record.seq != mirror.acked + 1:
                mirror.fail(StoreError("Events of this stream were lost."))
                return False
            mirror.push(record)
            mirror.acknowledge(record)
        return bool(records) and mirror.ended is None

    async def _look_after(self, mirror: LiveStream) -> None:
        """Find out why nothing comes: perhaps nothing ever will."""
        stream_id = mirror.stream_id
        found = await self._store.find(stream_id)
        if found is None:
            self._missing[stream_id] = self._missing.get(stream_id, 0) + 1
            if self._missing[stream_id] >= _MISSING:
                self.vanish(stream_id)
            return
        self._missing.pop(stream_id, None)
        if (
            found.stored.last_type is not None
            and found.stored.last_seq <= mirror.acked
            and mirror.ended is None
        ):
            mirror.fail(StoreError("Events of this stream were lost after they had been read."))
