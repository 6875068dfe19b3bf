"""Who reads in this process: counted, limited, sent away in good order, and missed when all have left.

A reader that is *sent away* is told when to come back, and its response ends properly but without DONE: it
goes on from its cursor, at another worker or here. A reader whose protocol cannot resume is never sent away.

When the last reader of a stream leaves, the settings may say that its answer is stopped, at once or after a
while. Whoever was sent away or evicted was told to come back: for those the while is half a minute at least.
An answer that nobody has read yet is nobody's to leave, so it goes on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from ragstream.delivery.settings import DeliverySettings
from ragstream.errors import ReaderEvicted, StoreError, TooManyRequests, Unavailable
from ragstream.streamlog.base import StreamLog
from ragstream.telemetry import Metrics, get_logger

__all__ = ["Notice", "Place", "Readers"]

_log = get_logger(__name__)
_RETURN_MS = (1000, 10_000)  # when moved readers come back: not all at once
_RETURN_SECONDS = 30.0  # for whoever was told to come back
_AGAIN = 5.0  # seconds after which whoever was refused may try again, and between looks at another process
_ROTATION = (0.8, 1.0)  # of the set time, so that readers who came together do not go together


class Notice(msgspec.Struct, frozen=True):
    """What a reader is told when it is sent away."""

    reason: Literal["moved", "rotated"]
    retry: int  # milliseconds after which it shall come back


class Place:
    """One reader's place; ``notice`` is there once the reader is to be sent away."""

    __slots__ = ("notice", "resumable")

    def __init__(self, *, resumable: bool) -> None:
        self.resumable = resumable
        self.notice: asyncio.Future[Notice] = asyncio.get_running_loop().create_future()

    def send_away(self, notice: Notice) -> bool:
        """Tell the reader, if it can come back and was not told before; return whether it was told now."""
        told = self.resumable and not self.notice.done()
        if told:
            self.notice.set_result(notice)
        return told


class Readers:
    """The readers of this process, by stream.

    Args:
        log: tells of readers elsewhere, and stops answers wherever they are written.
        metrics: where readers are counted.
        settings: how many there may be, for how long, and what happens when they leave.
    """

    def __init__(self, log: StreamLog, metrics: Metrics, settings: DeliverySettings) -> None:
        self._log = log
        self._gauge = metrics.readers
        self._refusals = metrics.refusals
        self._settings = settings
        self._count = 0
        self._places: dict[str, set[Place]] = {}
        self._moving = False
        self._vigils: dict[str, asyncio.Task[None]] = {}  # over answers that their readers left

    def of(self, stream_id: str) -> int:
        """Return how many read this stream here."""
        return len(self._places.get(stream_id, ()))

    def require_room(self) -> None:
        """Refuse where there are as many readers as there may be.

        Raises:
            Unavailable: the process has no place for another one.
        """
        if self._count >= self._settings.max_readers:
            self._refusals.labels("server_readers_limit").inc()
            raise Unavailable(
                f"The server has as many readers as it may ({self._settings.max_readers}); "
                "come back in a moment.",
                retry_after=_AGAIN,
                code="server_readers_limit",
            )

    @contextmanager
    def reading(self, stream_id: str, *, resumable: bool, asked: bool) -> Iterator[Place]:
        """Give a reader its place, for as long as the block lasts.

        Args:
            stream_id: what it reads.
            resumable: whether it comes back by itself when it is sent away.
            asked: whether it is the one who asked: there was room for it when its answer was begun.

        Raises:
            Unavailable: the process has no place for another one.
            TooManyRequests: the stream has no place for another one.
        """
        if not asked:
            self._admit(stream_id)
        place = Place(resumable=resumable)
        rotation = self._enter(stream_id, place)
        patience = self._settings.patience
        try:
            yield place
            patience = self._asked_back() if place.notice.done() else None
        except ReaderEvicted:
            patience = self._asked_back()
            raise
        finally:
            if rotation is not None:
                rotation.cancel()
            if self._leave(stream_id, place) and patience is not None:
                vigil = asyncio.create_task(self._stop_if_unread(stream_id, patience))
                self._vigils[stream_id] = vigil

    def move(self) -> int:
        """Send away every reader that can come back, and whoever comes from now on; return how many."""
        self._moving = True
        return sum(place.send_away(_moved()) for places in self._places.values() for place in places)

    def close(self) -> None:
        """Miss nobody any more: every answer here has ended."""
        for vigil in self._vigils.values():
            vigil.cancel()
        self._vigils.clear()

    def _admit(self, stream_id: str) -> None:
        self.require_room()
        if self.of(stream_id) >= self._settings.max_readers_per_stream:
            self._refusals.labels("stream_readers_limit").inc()
            raise TooManyRequests(
                f"This answer has as many readers as it may ({self._settings.max_readers_per_stream}): "
                "close one, or come back in a moment.",
                retry_after=_AGAIN,
                code="stream_readers_limit",
            )

    def _enter(self, stream_id: str, place: Place) -> asyncio.TimerHandle | None:
        """Count the reader, and return the timer of its rotation where there is one."""
        self._places.setdefault(stream_id, set()).add(place)
        self._count += 1
        self._gauge.inc()
        if (vigil := self._vigils.pop(stream_id, None)) is not None:
            vigil.cancel()
        if self._moving:  # it came over a connection that was still open
            place.send_away(_moved())
        seconds = self._settings.rotate_after
        if seconds is None or not place.resumable:
            return None
        rotated = Notice("rotated", self._settings.retry)
        seconds *= random.uniform(*_ROTATION)  # noqa: S311 - jitter
        return asyncio.get_running_loop().call_later(seconds, place.send_away, rotated)

    def _leave(self, stream_id: str, place: Place) -> bool:
        """Count the reader no more, and return whether it was the stream's last one here."""
        self._count -= 1
        self._gauge.dec()
        places = self._places[stream_id]
        places.discard(place)
        if not places:
            del self._places[stream_id]
        return not places

    def _asked_back(self) -> float | None:
        patience = self._settings.patience
        return None if patience is None else max(patience, _RETURN_SECONDS)

    async def _stop_if_unread(self, stream_id: str, patience: float) -> None:
        """Stop the answer if nobody comes back to it; a reader who does, ends this vigil.

        Where somebody reads it in another process, that process misses its own last reader; we look again
        all the same, for two who leave at once may each take the other for a reader.
        """
        await asyncio.sleep(patience)
        while await self._is_watched(stream_id):  # noqa: ASYNC110 - what happens elsewhere rings no bell here
            await asyncio.sleep(max(patience, _AGAIN))
        del self._vigils[stream_id]
        try:
            await self._log.cancel(stream_id, "disconnect")
        except StoreError as fault:
            _log.warning("unread answer not stopped", stream_id=stream_id, code=fault.code)

    async def _is_watched(self, stream_id: str) -> bool:
        """Return whether another process reads the live log, as far as can be said."""
        try:
            status = await self._log.status(stream_id)
            return status is not None and status.state == "live" and await self._log.watched(stream_id)
        except StoreError:  # look again
            return True


def _moved() -> Notice:
    return Notice("moved", random.randint(*_RETURN_MS))  # noqa: S311 - jitter
