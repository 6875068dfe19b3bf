"""SQLite's writer: one thread, in which the writes that wait together share a transaction.

The first begins it, alone: a lock held elsewhere costs that one its patience and no other. Once it is done,
those that have come meanwhile follow in order, each inside a savepoint, so that one that fails undoes itself
only. Then all of them are committed, or none.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

__all__ = ["Writer"]

_T = TypeVar("_T")
_LONGEST = 0.1  # seconds after which a transaction takes no further write


class Writer:
    """Does writes in the order in which they come.

    Args:
        engine: whose connections write.
        prepare: readies a connection for a transaction; given the moment when its first caller gives up.
    """

    def __init__(self, engine: Engine, prepare: Callable[[Connection, float], None]) -> None:
        self._engine = engine
        self._prepare = prepare
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="app-db-writer")
        self._waiting: OrderedDict[_Write, None] = OrderedDict()

    async def run(self, work: Callable[[Connection], _T], deadline: float) -> _T:
        """Return what ``work`` returns, once it is committed; cancelled before it begins, it is not done."""
        write = _Write(work, deadline)
        self._waiting[write] = None
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._visit, write)
        finally:
            self._waiting.pop(write, None)
        if write.error is not None:
            raise write.error
        result: _T = write.result
        return result

    def shutdown(self) -> None:
        """Let what runs end."""
        self._thread.shutdown()

    def _visit(self, first: _Write) -> None:
        """Do the write and those that wait behind it, unless it was done behind another."""
        if not self._take(first):
            return
        batch, until = [first], monotonic() + _LONGEST
        try:
            with self._engine.begin() as connection:
                self._prepare(connection, first.deadline)
                first.result = first.work(connection)
                driver: Any = connection.connection.dbapi_connection
                while driver.in_transaction and monotonic() < until and (write := self._next()):
                    batch.append(write)
                    _do_in_savepoint(write, connection, driver)
        except BaseException as error:  # noqa: BLE001 - raised again by each who waits for the outcome
            for write in batch:
                write.error = write.error or error

    def _take(self, write: _Write) -> bool:
        try:
            del self._waiting[write]
        except KeyError:
            return False
        return True

    def _next(self) -> _Write | None:
        try:
            return self._waiting.popitem(last=False)[0]
        except KeyError:
            return None


class _Write:
    """A write, and what has become of it."""

    __slots__ = ("deadline", "error", "result", "work")

    def __init__(self, work: Callable[[Connection], Any], deadline: float) -> None:
        self.work = work
        self.deadline = deadline
        self.result: Any = None
        self.error: BaseException | None = None


def _do_in_savepoint(write: _Write, connection: Connection, driver: Any) -> None:
    """Do it within the transaction, or leave no trace of it.

    Raises:
        BaseException: what it failed of has undone the whole transaction, as a full disk may.
    """
    driver.execute("SAVEPOINT one_write")
    try:
        write.result = write.work(connection)
    except BaseException as error:
        write.error = error
        if not driver.in_transaction:
            raise
        driver.execute("ROLLBACK TO one_write")
    driver.execute("RELEASE one_write")
