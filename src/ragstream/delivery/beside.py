"""What runs beside somebody who waits, and may end the waiting.

Whoever waits stays in its own task: where thousands wait, each task less is a kilobyte or two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

__all__ = ["Beside", "race"]

Work = Coroutine[Any, Any, None]


class Beside:
    """Tasks beside an ``async with`` block: the first of them to fail ends the block, with its error.

    They end with the block. Unlike a TaskGroup it waits for its block alone, and raises an error as it is.
    """

    __slots__ = ("_cancelling", "_ending", "_fault", "_over", "_tasks", "_waiting")

    def __init__(self) -> None:
        waiting = asyncio.current_task()
        assert waiting is not None  # noqa: S101 - whoever awaits is in a task
        self._waiting = waiting
        self._cancelling = waiting.cancelling()
        self._tasks: list[asyncio.Task[None]] = []
        self._fault: BaseException | None = None
        self._ending = self._over = False

    def start(self, work: Work, *, then_end: bool = False) -> None:
        """Run ``work`` beside the block; ``then_end`` ends the block with it, even if it does not fail."""
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._done)
        if then_end:
            task.add_done_callback(lambda _: self.end())

    def end(self, fault: BaseException | None = None) -> None:
        """End the block, with this error if there is one; it must be waiting. Only the first word counts."""
        if not (self._over or self._ending):
            self._ending, self._fault = True, fault
            self._waiting.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self.end(fault)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._over = True
        ours = self._ending and self._waiting.uncancel() <= self._cancelling  # else others cancelled, too
        if self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(tuple(self._tasks))
        if not ours or kind is not asyncio.CancelledError:
            return False
        fault, self._fault = self._fault, None  # its traceback has this frame
        if fault is not None:
            raise fault from None
        return True


async def race(first: Work, *others: Work) -> None:
    """Run ``first`` beside the others; who ends or raises ends them all, and its error is raised."""
    async with Beside() as beside:
        for other in others:
            beside.start(other, then_end=True)
        await first
