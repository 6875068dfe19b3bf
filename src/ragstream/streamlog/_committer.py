"""The group committer: one transaction for the pending events of all streams.

The first event and the first delta of a stream are committed at once; later ones wait a short window, so
that one transaction takes many. While a batch is under way the next one gathers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from ragstream.errors import StoreError
from ragstream.streamlog._live import LiveStream
from ragstream.streamlog.base import Record

__all__ = ["Committer", "Entry"]

Entry = tuple[LiveStream, Record]

_LARGEST = 500  # records of one batch


class Committer:
    """Hands batches to a store and acknowledges them, in one task of the process.

    Args:
        commit: stores a batch or raises; may return streams that it has refused, and told so.
        window: seconds that later events wait for others.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Entry]], Awaitable[Collection[LiveStream] | None]],
        *,
        window: float,
    ) -> None:
        self._commit = commit
        self._window = window
        self._pending: list[Entry] = []
        self._urgent = False
        self._closing = False
        self._signal: asyncio.Future[None] | None = None  # what the task waits for, if it waits
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to commit."""
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="group committer")

    async def aclose(self) -> None:
        """Commit what is pending, then end."""
        self._closing = True
        self._rouse()
        if self._task is not None:
            await self._task

    def submit(self, stream: LiveStream, record: Record, *, urgent: bool) -> None:
        """Commit the record with the next batch."""
        self._pending.append((stream, record))
        if urgent:
            self._urgent = True
        if urgent or len(self._pending) == 1:
            self._rouse()

    def drop(self, stream: LiveStream) -> None:
        """Forget the stream's pending records."""
        self._pending = [entry for entry in self._pending if entry[0] is not stream]

    async def _run(self) -> None:
        while await self._due():
            await self._commit_next()

    async def _commit_next(self) -> None:
        batch, self._pending = self._pending[:_LARGEST], self._pending[_LARGEST:]
        self._urgent = bool(self._pending)  # what did not fit has waited enough
        try:
            refused = await self._commit(batch)
        except Exception as fault:  # noqa: BLE001 - whatever a store raises, its streams must be told
            self._fail(batch, fault)
        else:
            for stream, record in batch:
                if not refused or stream not in refused:
                    stream.acknowledge(record)

    def _fail(self, batch: Sequence[Entry], cause: Exception) -> None:
        """Fail each stream of the batch for good, with all that it appended since: a log has no holes."""
        fault = cause
        if not isinstance(fault, StoreError):
            fault = StoreError(f"The stream log failed: {type(cause).__name__}.")
            fault.__cause__ = cause
        for stream in {stream for stream, _ in batch}:
            self.drop(stream)
            stream.fail(fault)

    async def _due(self) -> bool:
        """Wait until a batch is due; False once nothing more will be."""
        while True:
            while not self._pending:
                if self._closing:
                    return False
                await self._wait()
            if not self._urgent and not self._closing:
                await self._wait(self._window)
            if self._pending:  # they may have been dropped meanwhile
                return True

    async def _wait(self, timeout: float | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._signal = loop.create_future()
        alarm = None if timeout is None else loop.call_later(timeout, self._rouse)
        try:
            await self._signal
        finally:
            self._signal = None
            if alarm is not None:
                alarm.cancel()

    def _rouse(self) -> None:
        if self._signal is not None and not self._signal.done():
            self._signal.set_result(None)
