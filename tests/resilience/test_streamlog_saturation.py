"""A loop that never idles cannot starve the log: a plain writer thread would wait seconds for each batch.

Not pinned to a core, for that hides the fault. What is asserted is progress before a deadline that starvation
misses many times over; benchmarks/streamlog_saturation.py has the durations.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest

from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.streamlog.sqlite import SQLiteLog

DEADLINE = 20.0
ROUNDS = 30
TOKEN = StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content="token"))
END = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")


@contextmanager
def _saturated(seconds: float) -> Iterator[None]:
    """Keep the loop from idling, with so much work in each pass."""
    loop, going = asyncio.get_running_loop(), True

    def turn() -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass
        if going:
            loop.call_soon(turn)

    loop.call_soon(turn)
    try:
        yield
    finally:
        going = False


async def _write_and_read(log: SQLiteLog) -> None:
    writers = [await log.open(f"s{number}", "ann") for number in range(25)]
    readers = [asyncio.create_task(_read(log, writer.stream_id)) for writer in writers]
    for _ in range(ROUNDS):
        for writer in writers:
            writer.append(TOKEN)
        await writers[0].flush()
    for writer in writers:
        writer.append(END)
        await writer.close()
    assert await asyncio.gather(*readers) == [ROUNDS + 1] * 25
    assert [await _read(log, f"s{number}") for number in range(25)] == [ROUNDS + 1] * 25


async def _read(log: SQLiteLog, stream_id: str) -> int:
    async with aclosing(log.read(stream_id)) as batches:
        return sum([len(batch) async for batch in batches])


@pytest.mark.parametrize("seconds", [0.0, 0.3e-3, 2e-3], ids=lambda seconds: f"{seconds * 1e3:g}ms")
@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_the_log_goes_on_beside_a_loop_that_never_idles(tmp_path: Path, kind: str, seconds: float) -> None:
    async def trial() -> None:
        log = SQLiteLog(tmp_path / "log.db")
        async with asyncio.timeout(DEADLINE):
            await log.start()
            with _saturated(seconds):
                await _write_and_read(log)
            await log.aclose()

    uvloop = pytest.importorskip("uvloop") if kind == "uvloop" else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        runner.run(trial())
