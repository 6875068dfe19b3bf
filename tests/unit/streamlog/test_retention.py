"""Ended logs go whole, the oldest first; an id stays used for as long as a log is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ragstream.errors import StreamExists
from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.streamlog.memory import MemoryLog
from ragstream.streamlog.sqlite import SQLiteLog

DAY = 24 * 3600.0
END = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")

Make = Callable[..., MemoryLog | SQLiteLog]


class Clock:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Make:
    def make_log(*, retention: float = DAY, total_bytes: int = 1 << 30) -> MemoryLog | SQLiteLog:
        if request.param == "memory":
            return MemoryLog(retention=retention, total_bytes=total_bytes, clock=clock)
        return SQLiteLog(tmp_path / "log.db", retention=retention, total_bytes=total_bytes, clock=clock)

    return make_log


@asynccontextmanager
async def _running(log: MemoryLog | SQLiteLog) -> AsyncIterator[MemoryLog | SQLiteLog]:
    async with asyncio.timeout(20):
        await log.start()
        await log.sweep()
        try:
            yield log
        finally:
            await log.aclose()


async def _ended(log: MemoryLog | SQLiteLog, stream_id: str, size: int = 10) -> None:
    writer = await log.open(stream_id, "ann")
    writer.append(StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content="x" * size)))
    writer.append(END)
    await writer.close()


async def _kept(log: MemoryLog | SQLiteLog, *stream_ids: str) -> list[str]:
    return [stream_id for stream_id in stream_ids if await log.status(stream_id) is not None]


async def test_ended_logs_go_after_a_day_and_open_ones_stay(make: Make, clock: Clock) -> None:
    async with _running(make()) as log:
        await _ended(log, "old")
        await log.open("live", "ann")
        await (await log.open("orphan", "ann")).close()
        clock.now += DAY - 1
        await _ended(log, "young")
        await log.sweep()
        assert await _kept(log, "old", "young", "live", "orphan") == ["old", "young", "live", "orphan"]
        clock.now += 2
        await log.sweep()
        assert await _kept(log, "old", "young", "live", "orphan") == ["young", "live", "orphan"]


async def test_the_oldest_go_first_where_all_are_too_large(make: Make) -> None:
    async with _running(make(total_bytes=25_000)) as log:
        for number in range(5):
            await _ended(log, f"s{number}", 10_000)
        await log.sweep()
        assert await _kept(log, "s0", "s1", "s2", "s3", "s4") == ["s3", "s4"]
        await log.sweep()
        assert await _kept(log, "s3", "s4") == ["s3", "s4"]


async def test_the_id_of_a_deleted_log_stays_used_as_long_as_a_log_is_kept(make: Make, clock: Clock) -> None:
    async with _running(make()) as log:
        await _ended(log, "s")
        await log.delete("s")
        clock.now += DAY - 1
        await log.sweep()
        with pytest.raises(StreamExists):
            await log.open("s", "ann")
        clock.now += 2
        await log.sweep()
        await _ended(log, "s")


async def test_a_clock_set_back_deletes_nothing(make: Make, clock: Clock) -> None:
    async with _running(make()) as log:
        await _ended(log, "s")
        clock.now -= 10 * DAY
        await log.sweep()
        assert await _kept(log, "s") == ["s"]


async def test_old_logs_go_without_being_asked(tmp_path: Path, clock: Clock) -> None:
    async with _running(SQLiteLog(tmp_path / "log.db", clock=clock)) as log:
        await _ended(log, "s")
    clock.now += DAY + 1
    log = SQLiteLog(tmp_path / "log.db", clock=clock)
    async with asyncio.timeout(20):
        await log.start()
        while await log.status("s") is not None:  # noqa: ASYNC110 - a file has no event to wait for
            await asyncio.sleep(0.01)
        await log.aclose()
