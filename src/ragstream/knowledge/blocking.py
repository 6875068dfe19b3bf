"""Run blocking work beside a busy event loop.

CPython hands the GIL to a waiting thread only if the running one holds it for a whole switch interval, and a
loop that never idles lets go of it for an instant at every poll, which starts the interval anew: a thread
that came back from a 3 ms search was seen to wait for 19 s. So while such work is under way the loop pauses
briefly, once a millisecond. Beside an idle loop that costs nothing that can be measured; beside a saturated
one a 3 ms search then takes 10 ms (27 at worst), and the loop's passes take 0.2 ms more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import ParamSpec, TypeVar

__all__ = ["Blocking"]

P = ParamSpec("P")
R = TypeVar("R")

_GRACE = 0.004  # seconds that most work needs anyway
_EVERY = 0.001
_PAUSE = 50e-6


class Blocking:
    """Runs work in threads, and makes the loop pause while any of it is under way."""

    def __init__(self) -> None:
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None

    async def run(
        self, executor: Executor | None, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run the work in the executor (None: the loop's own) and return its result.

        If the caller is cancelled, work that has begun goes on to its end.
        """
        loop = asyncio.get_running_loop()
        self._under_way += 1
        if self._timer is None:
            self._timer = loop.call_later(_GRACE, self._pause, loop)
        try:
            return await loop.run_in_executor(executor, partial(work, *args, **kwargs))
        finally:
            self._under_way -= 1
            if not self._under_way and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _pause(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let a thread have the GIL."""
        time.sleep(_PAUSE)
        self._timer = loop.call_later(_EVERY, self._pause, loop)
