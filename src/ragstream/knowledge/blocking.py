"""Run blocking work beside a busy event loop.

CPython hands the GIL to a waiting thread only if the running one holds it for a whole switch interval, and
a loop that never idles lets go of it for an instant at every poll, which starts the interval anew: a thread
that came back from a 3 ms search was seen to wait for 19 s. So whoever waits for such work makes the loop
pause briefly, once a millisecond, until it is done. Beside an idle loop that costs nothing that can be
measured; beside a saturated one a 3 ms search then takes 10 ms (27 at worst), and the loop's passes take
0.2 ms more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import ParamSpec, TypeVar

__all__ = ["run_blocking"]

P = ParamSpec("P")
R = TypeVar("R")

_GRACE = 0.004  # seconds that most work needs anyway
_EVERY = 0.001
_PAUSE = 50e-6


async def run_blocking(
    executor: Executor | None, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run the work in the executor (None: the loop's own) and return its result.

    If the caller is cancelled, work that has begun goes on to its end.
    """
    future = asyncio.get_running_loop().run_in_executor(executor, partial(work, *args, **kwargs))
    try:
        await asyncio.wait([future], timeout=_GRACE)
        while not future.done():
            time.sleep(_PAUSE)  # noqa: ASYNC251 - lets the thread have the GIL, see above
            await asyncio.wait([future], timeout=_EVERY)
    finally:
        future.cancel()  # nobody would look at its error
    return future.result()
