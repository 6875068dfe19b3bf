"""The log in an SQLite file: one process writes it, and it outlives that process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from ragstream.events import TERMINAL
from ragstream.streamlog import _tables
from ragstream.streamlog._committer import Committer, Entry
from ragstream.streamlog._connection import Connection
from ragstream.streamlog._live import LiveStream
from ragstream.streamlog._local import LocalLog, Stored
from ragstream.streamlog._lock import FolderLock
from ragstream.streamlog.base import Record

__all__ = ["SQLiteLog"]

_KEEP = 1024**2  # bytes of each live log that stay in memory


class SQLiteLog(LocalLog):
    """A log in a file of its own, in a folder that one process holds.

    Args:
        path: the file; it and its folder are made where they are missing.
        max_bytes: what the events of one answer may take.
        retention: seconds for which an ended log is kept.
        total_bytes: what all ended logs together may take; beyond it the oldest go.
        window: seconds that an event waits for others, to be committed with them.
        synchronous: what a commit outlives: NORMAL the death of the process, FULL also a power failure.
        lock_timeout: seconds to wait while another program has locked the file.
        clock: the wall clock, in seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = 8 * 1024**2,
        retention: float = 24 * 3600.0,
        total_bytes: int = 1024**3,
        window: float = 0.005,
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        lock_timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = _File(path, synchronous, lock_timeout, (retention, total_bytes), clock)
        self._committer = Committer(self._file.append, window=window)
        super().__init__(self._file, self._committer, max_bytes=max_bytes, keep=_KEEP)

    async def start(self) -> None:
        """Lock the folder, open the file, find the orphans, begin to commit and to delete old logs.

        Raises:
            ConfigError: another process holds the folder, it cannot be written, or the file is too new.
            StoreError: the file cannot be used.
        """
        await super().start()
        self._committer.start()

    async def aclose(self) -> None:
        """Commit what is pending and let go of everything."""
        await self._committer.aclose()
        await super().aclose()


class _File:
    """The file, written through one connection and read through another: reads never make appends wait."""

    def __init__(
        self,
        path: Path,
        synchronous: Literal["NORMAL", "FULL"],
        timeout: float,
        limits: tuple[float, int],
        clock: Callable[[], float],
    ) -> None:
        self._path = path
        self._retention, self._total_bytes = limits
        self._clock = clock
        self._lock: FolderLock | None = None
        self._writer = Connection(path, synchronous=synchronous, timeout=timeout)
        self._reader = Connection(path, synchronous=synchronous, timeout=timeout)

    async def open(self) -> list[Stored]:
        self._lock = FolderLock(self._path.parent)
        try:
            await self._writer.open()
            await self._writer.run(_tables.create, self._path)
            await self._reader.open()
            return await self._reader.run(_tables.unfinished)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._reader.aclose()
        await self._writer.aclose()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def claim(self, stream_id: str, owner: str) -> int:
        return await self._writer.run(_tables.claim, stream_id, owner)

    async def append(self, batch: Sequence[Entry]) -> None:
        rows: list[object] = []
        endings = []
        for stream, record in batch:
            rows += stream.key, record.seq, record.type, record.data
            if record.type in TERMINAL:
                endings.append((self._clock(), record.seq, record.type, stream.size, stream.key))
        await self._writer.run(_tables.append, rows, endings)

    async def find(self, stream_id: str) -> Stored | None:
        return await self._reader.run(_tables.find, stream_id)

    async def page(self, stream: LiveStream, after: int) -> tuple[Record, ...]:
        return await self._reader.run(_tables.read, stream.key, after)

    async def delete(self, stream_id: str) -> None:
        await self._writer.run(_tables.delete, stream_id, self._clock())

    async def expired(self) -> list[str]:
        horizon = self._clock() - self._retention
        await self._writer.run(_tables.forget, horizon)
        return await self._reader.run(_tables.expired, horizon, self._total_bytes)
