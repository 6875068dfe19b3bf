"""Where the SQLite write should run, beside a loop that never idles.

    python benchmarks/streamlog_saturation.py [--seconds 3] [--rows 25]

Do not pin the process to one core, and let nothing else run: both hide what is measured. Batches are
committed one after the other with a window between, while callbacks keep the loop busy. Printed for each
variant and kind of loop: how long a batch waited for its acknowledgement, the longest pass of the loop, and
the CPU time of a row where nothing else ran. "Stalling disk" holds every fiftieth write up for 200 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ragstream.streamlog import _tables
from ragstream.streamlog._worker import Worker

DATA = b'{"type":"text_delta","text_delta":{"content":" token"}}'
WINDOW = 0.005  # seconds between two batches
SPIN = 50e-6  # seconds that the loop sleeps in each pass

Work = Callable[[], None]
Run = Callable[[Work], Awaitable[None]]


class Load(NamedTuple):
    name: str
    busy: float | None  # seconds of work in each pass of the loop; None: it idles
    stall: float = 0.0  # seconds that every fiftieth write takes longer


LOADS = (
    Load("idle", None),
    Load("busy, passes of 1 µs", 0.0),
    Load("busy, passes of 0.3 ms", 0.3e-3),
    Load("busy, passes of 2 ms", 2e-3),
    Load("busy, stalling disk", 0.3e-3, stall=0.2),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rows", type=int, default=25, help="of each batch")
    options = parser.parse_args()
    for load in LOADS:
        print(f"\n{load.name}\n{'':34} {'batches':>7} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} ", end="")
        print(f"{'longest pass ms':>16}" if load.busy is not None else f"{'CPU µs/row':>16}")
        for name, variant in VARIANTS.items():
            print(f"{name:34} {_runner()(measure(variant, load, options.rows, options.seconds))}", flush=True)


async def measure(variant: Callable[[ExitStack], Run], load: Load, rows: int, seconds: float) -> str:
    """Commit batches for so long; return a line of figures."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        connection = _database(Path(folder) / "log.db")
        stack.callback(connection.close)
        run = variant(stack)
        passes = stack.enter_context(_busy(load.busy)) if load.busy is not None else [0.0]
        waits: list[float] = []
        cpu, end = time.process_time(), time.perf_counter() + seconds
        while (begun := time.perf_counter()) < end:
            stall = load.stall if len(waits) % 50 == 49 else 0.0
            batch = _batch(rows, len(waits))
            await run(lambda batch=batch, stall=stall: _write(connection, batch, stall))  # type: ignore[misc]
            waits.append(time.perf_counter() - begun)
            await asyncio.sleep(WINDOW)
        cpu = time.process_time() - cpu
    waits.sort()
    p50, p99 = (waits[int(len(waits) * share)] for share in (0.5, 0.99))
    last = max(passes) * 1e3 if load.busy is not None else cpu / len(waits) / rows * 1e6
    return f"{len(waits):7} {p50 * 1e3:8.2f} {p99 * 1e3:8.2f} {waits[-1] * 1e3:8.2f} {last:16.1f}"


# The variants: each returns what runs a piece of work and waits for it.


def in_the_loop(_: ExitStack) -> Run:
    async def run(work: Work) -> None:
        work()

    return run


def in_a_thread(stack: ExitStack) -> Run:
    executor = stack.enter_context(ThreadPoolExecutor(1))

    async def run(work: Work) -> None:
        await asyncio.get_running_loop().run_in_executor(executor, work)

    return run


def with_a_short_switch_interval(stack: ExitStack) -> Run:
    stack.callback(sys.setswitchinterval, sys.getswitchinterval())
    sys.setswitchinterval(1e-4)
    return in_a_thread(stack)


def with_a_sleep_in_each_pass(stack: ExitStack) -> Run:
    executor = stack.enter_context(ThreadPoolExecutor(1))

    async def run(work: Work) -> None:
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(executor, work)

        def pause() -> None:
            if not future.done():
                time.sleep(SPIN)
                loop.call_soon(pause)

        loop.call_soon(pause)
        await future

    return run


def with_a_loop_that_waits(stack: ExitStack) -> Run:
    worker = Worker("benchmark")
    stack.callback(worker.stop)
    return worker.run


VARIANTS: dict[str, Callable[[ExitStack], Run]] = {
    "in the loop": in_the_loop,
    "thread": in_a_thread,
    "thread, switch interval 0.1 ms": with_a_short_switch_interval,
    "thread, loop sleeps 50 µs a pass": with_a_sleep_in_each_pass,
    "thread, loop waits up to 1 ms": with_a_loop_that_waits,
}


def _database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    _tables.create(connection, path)
    return connection


def _batch(rows: int, seq: int) -> list[object]:
    return [value for log in range(rows) for value in (log, seq, "text_delta", DATA)]


def _write(connection: sqlite3.Connection, batch: Sequence[object], stall: float) -> None:
    if stall:
        time.sleep(stall)
    _tables.append(connection, batch, ())


@contextmanager
def _busy(work: float) -> Any:
    """Keep the loop from idling; yield the durations of its passes."""
    loop, passes, going, last = asyncio.get_running_loop(), [], True, time.perf_counter()

    def turn() -> None:
        nonlocal last
        now = time.perf_counter()
        passes.append(now - last)
        last = now
        while time.perf_counter() < now + work:
            pass
        if going:
            loop.call_soon(turn)

    loop.call_soon(turn)
    try:
        yield passes
    finally:
        going = False


def _runner() -> Callable[..., str]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


if __name__ == "__main__":
    main()
