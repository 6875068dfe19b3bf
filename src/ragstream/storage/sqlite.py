"""SQLite in threads: a transaction is one visit to a thread, whatever it does there.

Through an asynchronous driver every statement visits its thread four times, and a loop that never idles
delays each visit; a transaction cost three times as much. One thread writes, so that writers of this process
queue in order instead of polling for the lock, and share a transaction where they wait; others read beside it
(WAL).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from ragstream.storage.writer import Writer

__all__ = ["SQLite"]

_T = TypeVar("_T")
_READERS = 2
_GRACE = 0.002  # seconds; a transaction beside a loop with pauses of its own takes a tenth of it
_EVERY = 0.001
_PAUSE = 50e-6


class SQLite:
    """An engine over one file.

    Args:
        url: of dialect ``sqlite``, with a file.
        synchronous: NORMAL outlives the death of the process, FULL also a power failure.
        patience: seconds after which a call gives up, waiting for the lock included.
    """

    def __init__(self, url: URL, *, synchronous: str, patience: float) -> None:
        self._engine = create_engine(url, pool_size=_READERS + 1, max_overflow=0, hide_parameters=True)
        event.listen(self._engine, "connect", _on_connect(synchronous))
        self._patience = patience
        self._writer = Writer(self._engine, _wait_for_locks)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="app-db-reader")
        self._pauses = _Pauses()

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """Run ``work`` beside the writer."""
        return await self._patiently(self._read, work)

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Run ``work`` in a transaction, after the writes that came before."""
        return await self._patiently(self._writer.run, work)

    async def aclose(self) -> None:
        """Let what runs end, within its patience, and close the file."""
        for threads in (self._writer, self._readers):
            await asyncio.to_thread(threads.shutdown)
        await asyncio.to_thread(self._engine.dispose)

    async def _read(self, work: Callable[[Connection], _T], deadline: float) -> _T:
        loop = asyncio.get_running_loop()
        result: _T = await loop.run_in_executor(self._readers, _reading, self._engine, deadline, work)
        return result

    async def _patiently(
        self,
        manner: Callable[[Callable[[Connection], _T], float], Awaitable[_T]],
        work: Callable[[Connection], _T],
    ) -> _T:
        # A caller that gives up, or is cancelled, takes its work out of the queue; what has begun in a thread
        # ends there on its own, before the caller's patience does.
        deadline = monotonic() + self._patience
        async with asyncio.timeout(self._patience):
            with self._pauses:
                return await manner(work, deadline)


class _Pauses:
    """Has the loop pause, briefly and once a millisecond, while it waits for threads.

    CPython hands its lock to a waiting thread only if the running one has held it for a whole switch
    interval, and a loop that never idles lets go of it for an instant at every poll, which starts the
    interval anew: without the pauses a transaction of 0.2 ms was seen to take seconds, with them 5 ms.
    """

    def __init__(self) -> None:
        self._waiting = 0
        self._next: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._waiting += 1
        if self._waiting == 1:
            self._next = asyncio.get_running_loop().call_later(_GRACE, self._pause)

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1
        if not self._waiting and self._next is not None:
            self._next.cancel()

    def _pause(self) -> None:
        sleep(_PAUSE)
        self._next = asyncio.get_running_loop().call_later(_EVERY, self._pause)


def _reading(engine: Engine, deadline: float, work: Callable[[Connection], _T]) -> _T:
    with engine.connect() as connection:
        _wait_for_locks(connection, deadline)
        return work(connection)


def _wait_for_locks(connection: Connection, deadline: float) -> None:
    """Bound the wait by what is left of the caller's patience, less a tenth for the work itself."""
    patience = max(0.0, 0.9 * (deadline - monotonic()))
    driver: Any = connection.connection.dbapi_connection
    driver.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")


def _on_connect(synchronous: str) -> Callable[[Any, object], None]:
    def configure(driver: Any, _record: object) -> None:
        driver.execute("PRAGMA journal_mode = WAL")
        driver.execute(f"PRAGMA synchronous = {synchronous}")

    return configure
