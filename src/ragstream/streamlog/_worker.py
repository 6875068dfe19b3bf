"""One thread for work that blocks, beside a loop that may never idle.

CPython hands the GIL to a waiting thread only when the running one has held it for a whole switch interval,
and a busy loop lets go of it for an instant at every poll, which starts that interval anew: a thread can wait
for seconds to begin 0.2 ms of work. So the loop itself waits for the thread, without the GIL and for at most
a millisecond. Work that takes longer, because the disk does, goes on beside the loop, which then looks after
it once a millisecond and pauses each time for as long as a thread needs to take the GIL.

Measured against the other ways in docs/explanation/decisions.md, "Where the SQLite log writes".
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Worker"]

T = TypeVar("T")

_PATIENCE = 1e-3  # seconds that the loop waits for work that has just begun
_EVERY = 1e-3  # seconds between two looks at work that takes longer
_PAUSE = 1e-4  # seconds that the loop lets go of the GIL at each look


class _Job(Generic[T]):
    __slots__ = ("_error", "_result", "_work", "done", "noticed")

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._result: T
        self._error: BaseException | None = None
        self.done = threading.Lock()  # the cheapest thing that can be waited for; free once the work is done
        self.done.acquire()
        self.noticed: asyncio.Future[None] | None = None

    def run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - raised again by who waits for the outcome
            self._error = error
        finally:
            self.done.release()

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result


class Worker:
    """Runs work in a thread of its own, in the order in which it was asked for.

    Args:
        name: the thread's name.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._slow: deque[_Job[Any]] = deque()  # what the loop did not wait for, oldest first
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns; if the caller is cancelled, the work is done all the same."""
        job = _Job(work)
        self._jobs.put(job)
        if self._slow or not job.done.acquire(timeout=_PATIENCE):
            await self._until_noticed(job)
        return job.outcome()

    def stop(self) -> None:
        """End the thread, once it has done what was asked for."""
        self._jobs.put(None)

    async def _until_noticed(self, job: _Job[Any]) -> None:
        loop = asyncio.get_running_loop()
        job.noticed = loop.create_future()
        self._slow.append(job)
        if len(self._slow) == 1:
            loop.call_later(_EVERY, self._look)
        await job.noticed

    def _look(self) -> None:
        """Notice what has been done, in order."""
        timeout = _PAUSE
        while self._slow and self._slow[0].done.acquire(timeout=timeout):
            noticed = self._slow.popleft().noticed
            if noticed is not None and not noticed.done():
                noticed.set_result(None)
            timeout = 0
        if self._slow:
            asyncio.get_running_loop().call_later(_EVERY, self._look)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
