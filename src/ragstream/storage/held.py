"""Each thread's own connection, held from one call to the next.

To fetch it from the pool and to give it back took as long as a small transaction.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

__all__ = ["Held"]


class Held:
    """The connections of threads to one engine, whose pool has room for all of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._own = threading.local()
        self._all: set[Connection] = set()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend the thread its connection; after a failure it gets another one the next time."""
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._engine.connect()
            self._all.add(connection)
        try:
            yield connection
        except BaseException:
            self._own.connection = None
            self._all.discard(connection)
            connection.close()
            raise

    def close(self) -> None:
        """Close all of them; their threads have ended."""
        while self._all:
            self._all.pop().close()
        self._engine.dispose()
