"""A log while somebody writes or reads it: what is acknowledged, and who waits for more.

The newest records stay in memory, so that whoever keeps up never asks the store for what we have just given
it. Everything runs in the event loop's thread, and nothing here awaits but ``changed``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf

from ragstream.errors import RagstreamError
from ragstream.events import TERMINAL
from ragstream.streamlog.base import LogStatus, Record
from ragstream.telemetry import get_logger

__all__ = ["LiveStream", "page"]

_log = get_logger(__name__)
_PAGE_BYTES = 256 * 1024  # a reader is handed no more than this at once, except a larger event


class LiveStream:
    """One log, as this process sees it.

    Args:
        stream_id: the log's name.
        owner: the principal whose question it answers.
        key: the store's own name for the log.
        last_seq: how far the log is stored already.
        last_type: the terminal event's type, if the log has ended.
        size: bytes of the events stored already.
        keep: bytes of acknowledged events that stay in memory; older ones are read from the store.
        on_end: called when the terminal event is acknowledged.
    """

    __slots__ = (
        "__weakref__",
        "_acked_size",
        "_base_size",
        "_keep",
        "_on_end",
        "_records",
        "_waiting",
        "acked",
        "base",
        "ended",
        "fault",
        "gone",
        "key",
        "owner",
        "producer",
        "size",
        "stream_id",
    )

    def __init__(
        self,
        stream_id: str,
        owner: str,
        *,
        key: int = 0,
        last_seq: int = 0,
        last_type: str | None = None,
        size: int = 0,
        keep: float = inf,
        on_end: Callable[[LiveStream], None] | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.owner = owner
        self.key = key
        self.base = last_seq  # events up to here are in the store only
        self.acked = last_seq  # events up to here may be read
        self.ended = last_type
        self.size = size
        self.producer: object | None = None  # who may append; without one, an open log is orphaned
        self.fault: RagstreamError | None = None  # why nothing more comes, until somebody adopts the log
        self.gone = False  # deleted
        self._acked_size = size  # bytes of the events up to ``acked``
        self._keep = keep
        self._base_size = size  # bytes of the events up to ``base``
        self._on_end = on_end
        self._records: list[Record] = []  # from base + 1 on, the unacknowledged ones included
        self._waiting: list[_Waiter] = []

    @property
    def status(self) -> LogStatus:
        """Where the log stands."""
        return LogStatus(
            stream_id=self.stream_id,
            owner=self.owner,
            state="ended" if self.ended else "live" if self.producer else "orphaned",
            last_seq=self.acked,
            last_type=self.ended,
        )

    @property
    def unacknowledged(self) -> int:
        """Bytes of the events that will be acknowledged."""
        return 0 if self.fault else self.size - self._acked_size

    def push(self, record: Record) -> None:
        """Take the next record, which is not acknowledged yet."""
        self._records.append(record)
        self.size += len(record.data)

    def acknowledge(self, record: Record) -> None:
        """Show a record, and all before it, to readers.

        A record that is not here any more is left out: its log was disowned while it was on its way, so that
        it comes back from the store, or has come already.
        """
        if not self.acked < record.seq <= self.base + len(self._records):
            return
        self.acked = record.seq
        self._acked_size += len(record.data)
        if self.size - self._base_size > self._keep:
            self._forget()
        if record.type in TERMINAL:
            self.ended = record.type
            if self._on_end is not None:
                self._on_end(self)
            self._wake()
        elif self._waiting:
            self._tell(record)

    def fail(self, fault: RagstreamError) -> None:
        """Say that nothing more will be acknowledged, and why."""
        self.fault = fault
        self._wake()

    def since(self, after: int) -> list[Record]:
        """Return the records beyond ``after``, the unacknowledged ones included; not below ``base``."""
        return self._records[after - self.base :]

    def disown(self) -> None:
        """Leave the log to another producer: what is not acknowledged was never said."""
        self.producer = None
        self.size = self._acked_size
        del self._records[self.acked - self.base :]
        self._wake()

    def vanish(self) -> None:
        """Let nobody read or write any more: the log is deleted."""
        self.gone = True
        self.producer = None
        self._wake()

    def tail(self, after: int) -> tuple[Record, ...]:
        """Return the next acknowledged records beyond ``after``, which is not below ``base``."""
        start, stop = after - self.base, self.acked - self.base
        if stop - start == 1:  # whoever keeps up
            return (self._records[start],)
        return page(self._records[index] for index in range(start, stop))

    async def changed(self, cursor: int = 0, take: Callable[[Record], bool] | None = None) -> int:
        """Wait until something was acknowledged, failed or deleted; return how far ``take`` has come.

        A reader who keeps up, who has all up to ``cursor``, is not woken for a record that ``take`` takes.
        """
        waiter = _Waiter(asyncio.get_running_loop().create_future(), cursor, take)
        self._waiting.append(waiter)
        try:
            await waiter.future
        except BaseException:
            with suppress(ValueError):  # it has just been woken
                self._waiting.remove(waiter)
            raise
        return waiter.cursor

    def _tell(self, record: Record) -> None:
        """Hand the newest acknowledged record to those who take it, and wake the others."""
        seq, all_took = record.seq, True
        try:
            for waiter in self._waiting:
                take = waiter.take
                if take is None or waiter.cursor != seq - 1 or waiter.future.done() or not take(record):
                    all_took = False
                else:
                    waiter.cursor = seq
        except Exception:  # noqa: BLE001 - a tap's fault is its reader's, who reads on from the log
            _log.exception("a tap failed")
            all_took = False
        if not all_took:
            self._wake(behind=seq)

    def _wake(self, behind: float = inf) -> None:
        """Wake those who wait, except who has all up to ``behind``."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if waiter.cursor >= behind:
                self._waiting.append(waiter)
            elif not (waiter.future.done() or waiter.future.get_loop().is_closed()):  # else it has gone
                waiter.future.set_result(None)

    def _forget(self) -> None:
        """Leave the older half of what may stay to the store; by halves, so that it costs little."""
        count = 0
        for record in self._records:
            if self.size - self._base_size <= self._keep / 2 or record.seq > self.acked:
                break
            self._base_size += len(record.data)
            count += 1
        del self._records[:count]
        self.base += count


class _Waiter:
    """Somebody who has all records up to ``cursor`` and waits for more."""

    __slots__ = ("cursor", "future", "take")

    def __init__(
        self, future: asyncio.Future[None], cursor: int, take: Callable[[Record], bool] | None
    ) -> None:
        self.future, self.cursor, self.take = future, cursor, take


def page(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the first records, as many as a reader is handed at once."""
    taken, size = [], 0
    for record in records:
        taken.append(record)
        size += len(record.data)
        if size >= _PAGE_BYTES:
            break
    return tuple(taken)
