"""A place among the walks that close at once.

Closing has a time limit. If ten thousand answers ended in one instant and closed beside each other, each
would wait for the work of all, and none would be done in its time; a few after the others, all are.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from types import TracebackType

__all__ = ["CLOSING_AT_ONCE", "Place"]

CLOSING_AT_ONCE = 100
_PATIENCE = 60.0  # seconds to wait for a place; then a walk closes all the same
_CALM = 10.0  # seconds to wait for calm: longer than that it is no instant, but a server beyond its limits
_LATE = 0.5  # seconds; a loop that comes round so much later leaves closing too few rounds
_EVERY = 0.05
_IN_A_ROW = 5  # looks that find it calm


class Place:
    """A place of one walk, as a ``with`` block that gives it back.

    Args:
        places: how many there are; None: any number.
    """

    __slots__ = ("_places", "_taken")

    def __init__(self, places: asyncio.Semaphore | None) -> None:
        self._places = places
        self._taken = False

    async def take(self) -> None:
        """Wait in line for a place, then until the loop is done with what happened in the same instant."""
        if self._places is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._places.acquire()
                self._taken = True
        if await _late(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(_CALM):
                    await _calm()

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._taken and self._places is not None:
            self._places.release()


async def _calm() -> None:
    calm = 0
    while calm < _IN_A_ROW:
        calm = 0 if await _late(_EVERY) else calm + 1


async def _late(seconds: float) -> bool:
    """Sleep, and return whether the loop was late to wake us."""
    due = monotonic() + seconds
    await asyncio.sleep(seconds)
    return monotonic() > due + _LATE
