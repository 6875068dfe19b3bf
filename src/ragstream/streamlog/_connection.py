"""A connection to an SQLite file, the thread that uses it, and what its failures are called here."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar, TypeVarTuple

from ragstream.errors import StorageFull, StoreError
from ragstream.streamlog._worker import Worker

__all__ = ["Connection"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_FULL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,  # what a quota and a limit on the size of files look like
    sqlite3.SQLITE_IOERR_SHMSIZE,  # what a full disk looks like to the -shm file
}
_WORDS = {
    sqlite3.SQLITE_BUSY: "is locked by another program",
    sqlite3.SQLITE_READONLY: "is read-only: let this user write to the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that this user may write to its folder",
    sqlite3.SQLITE_CORRUPT: "is damaged: move it away, and a new one is begun",
    sqlite3.SQLITE_NOTADB: "is not a stream log: move it away, and a new one is begun",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk fails",
}


class Connection:
    """One connection in write-ahead mode, used by one thread.

    Args:
        path: the file.
        synchronous: what SQLite waits for at a commit.
        timeout: seconds to wait for another program's lock.
    """

    def __init__(self, path: Path, *, synchronous: Literal["NORMAL", "FULL"], timeout: float) -> None:
        self._path = path
        self._synchronous = synchronous
        self._timeout = timeout
        self._worker: Worker | None = None
        self._handle: sqlite3.Connection

    async def open(self) -> None:
        """Connect; makes the file where there is none.

        Raises:
            StoreError: SQLite cannot open it.
        """
        self._worker = Worker(f"SQLite {self._path.name}")
        try:
            self._handle = await self._worker.run(self._connect)
        except sqlite3.Error as fault:
            self._worker.stop()
            self._worker = None
            raise self._store_error(fault) from fault

    async def run(self, work: Callable[[sqlite3.Connection, *Ts], T], *args: *Ts) -> T:
        """Return what ``work`` returns, given the connection and the arguments.

        Raises:
            StoreError: SQLite did not do it, or the connection is not open.
        """
        if self._worker is None:
            raise StoreError(f"The stream log {self._path} is not open.")
        try:
            return await self._worker.run(lambda: work(self._handle, *args))
        except sqlite3.Error as fault:
            raise self._store_error(fault) from fault

    async def aclose(self) -> None:
        """Finish what was asked for, then disconnect. Idempotent."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.run(self._handle.close)
            worker.stop()

    def _connect(self) -> sqlite3.Connection:
        handle = sqlite3.connect(self._path, timeout=self._timeout, isolation_level=None)
        try:
            handle.execute("PRAGMA journal_mode = WAL")
            handle.execute(f"PRAGMA synchronous = {self._synchronous}")
        except sqlite3.Error:
            handle.close()
            raise
        return handle

    def _store_error(self, fault: sqlite3.Error) -> StoreError:
        code = getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code in _FULL:
            return StorageFull(f"The disk with {self._path} is full.")
        words = _WORDS.get(code & 0xFF, "failed")  # the low byte is the primary code
        return StoreError(f"The stream log {self._path} {words}.")
