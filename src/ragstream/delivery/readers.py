"""Who reads in this process: counted, and sent away in good order where they can come back.

A reader that is *sent away* is told when to come back, and its response ends properly but without DONE: it
goes on from its cursor, at another worker or here. A reader whose protocol cannot resume is never sent away.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from ragstream.telemetry import Metrics

__all__ = ["Notice", "Place", "Readers"]

_RETURN_MS = (1000, 10_000)  # when moved readers come back: not all at once


class Notice(msgspec.Struct, frozen=True):
    """What a reader is told when it is sent away."""

    reason: Literal["moved", "rotated"]
    retry: int  # milliseconds after which it shall come back


class Place:
    """One reader's place; ``notice`` is there once the reader is to be sent away."""

    __slots__ = ("notice", "resumable", "stream_id")

    def __init__(self, stream_id: str, *, resumable: bool) -> None:
        self.stream_id = stream_id
        self.resumable = resumable
        self.notice: asyncio.Future[Notice] = asyncio.get_running_loop().create_future()

    def send_away(self, notice: Notice) -> bool:
        """Tell the reader, if it can come back and was not told before; return whether it was told now."""
        told = self.resumable and not self.notice.done()
        if told:
            self.notice.set_result(notice)
        return told


class Readers:
    """The readers of this process, by stream."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._places: dict[str, set[Place]] = {}
        self._moving = False

    def of(self, stream_id: str) -> int:
        """Return how many read this stream here."""
        return len(self._places.get(stream_id, ()))

    @contextmanager
    def reading(self, stream_id: str, *, resumable: bool = False) -> Iterator[Place]:
        """Give a reader its place, for as long as the block lasts."""
        place = Place(stream_id, resumable=resumable)
        self._places.setdefault(stream_id, set()).add(place)
        if self._moving:  # it came over a connection that was still open
            place.send_away(_moved())
        try:
            with self._metrics.readers.track_inprogress():
                yield place
        finally:
            places = self._places[stream_id]
            places.discard(place)
            if not places:
                del self._places[stream_id]

    def move(self) -> int:
        """Send away every reader that can come back, and whoever comes from now on; return how many."""
        self._moving = True
        return sum(place.send_away(_moved()) for places in self._places.values() for place in places)


def _moved() -> Notice:
    return Notice("moved", random.randint(*_RETURN_MS))  # noqa: S311 - jitter
