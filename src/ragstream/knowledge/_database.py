"""One SQLite file for several threads and processes: connections, transactions, and what its errors mean.

Everything here blocks. Each thread has its own connection.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ragstream.errors import StorageFull, StorageUnavailable

__all__ = ["Database"]

_BUSY = 5.0  # seconds to wait for another process's transaction


class Database:
    """A SQLite file in WAL mode: readers see one moment, and one writes at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close every thread's connection; no other thread may be using its own."""
        with self._lock:
            while self._connections:
                self._connections.pop().close()
            self._local = threading.local()

    def _rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple]:  # type: ignore[type-arg]
        with _mapped():
            return self._connection().execute(sql, values).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Give a transaction that sees one moment."""
        with _mapped(), _transaction(self._connection(), "DEFERRED") as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Give a transaction that may write; whatever goes wrong, it changes nothing then."""
        with _mapped(), _transaction(self._connection(), "IMMEDIATE") as connection:
            yield connection

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            # One thread uses it; another one may close it.
            connection = sqlite3.connect(
                self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False
            )
            with self._lock:
                self._connections.append(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            self._local.connection = connection
        return connection


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str) -> Iterator[sqlite3.Connection]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite may have rolled back by itself, as where the disk is full
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _mapped() -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise StorageFull("The disk is full: the knowledge base cannot grow. Free some space.") from error
        raise StorageUnavailable(f"The knowledge base's database does not answer: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise StorageUnavailable(
            f"The knowledge base's database is damaged ({error}). Delete it and ingest again."
        ) from error
