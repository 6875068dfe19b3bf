"""Ended logs in Redis go by themselves after their time, and the oldest first where all are too large."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.streamlog.redis import RedisLog

pytestmark = pytest.mark.redis

END = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")


@asynccontextmanager
async def _running(log: RedisLog) -> AsyncIterator[RedisLog]:
    async with asyncio.timeout(20):
        await log.start()
        try:
            yield log
        finally:
            await log.aclose()


async def _ended(log: RedisLog, stream_id: str, size: int = 10) -> None:
    writer = await log.open(stream_id, "ann")
    writer.append(StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content="x" * size)))
    writer.append(END)
    await writer.close()


async def _kept(log: RedisLog, *stream_ids: str) -> list[str]:
    return [stream_id for stream_id in stream_ids if await log.status(stream_id) is not None]


async def test_an_ended_log_goes_after_its_time_and_a_live_one_stays(
    redis_server: Any, tmp_path: Path
) -> None:
    prefix = str(tmp_path)
    settings: dict[str, Any] = {"prefix": prefix, "retention": 0.5}
    async with _running(RedisLog(redis_server.url, **settings)) as log:
        await log.open("live", "ann")
        async with _running(RedisLog(redis_server.url, **settings)) as another:
            await _ended(another, "old")
        while await log.status("old") is not None:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.05)
        assert await _kept(log, "old", "live") == ["live"]
        await log.sweep()  # what went by itself is no longer counted
        assert redis_server.ask("ZCARD", f"{prefix}:ended") == ":0"
        assert redis_server.ask("DECRBY", f"{prefix}:bytes", "0") == ":0"
        await _ended(log, "old")  # and its id is free again


async def test_an_end_that_is_said_anew_is_counted_once(redis_server: Any, tmp_path: Path) -> None:
    prefix = str(tmp_path)
    async with _running(RedisLog(redis_server.url, prefix=prefix)) as log:
        await _ended(log, "s")
        size = redis_server.ask("DECRBY", f"{prefix}:bytes", "0")
        for key in ("log", "events"):
            redis_server.ask("DEL", f"{prefix}:{key}:s")
        while redis_server.ask("EXISTS", f"{prefix}:events:s") == ":0":  # noqa: ASYNC110 - at a beat
            await asyncio.sleep(0.05)
        assert redis_server.ask("DECRBY", f"{prefix}:bytes", "0") == size


async def test_an_ended_log_outlives_the_process_by_its_time(redis_server: Any, tmp_path: Path) -> None:
    prefix = str(tmp_path)
    async with _running(RedisLog(redis_server.url, prefix=prefix, retention=3600.0)) as log:
        await _ended(log, "old")
    for key in ("log", "events"):
        left = int(redis_server.ask("PTTL", f"{prefix}:{key}:old")[1:])
        assert 3_500_000 < left <= 3_600_000, key


async def test_the_oldest_go_first_where_all_are_too_large(redis_server: Any, tmp_path: Path) -> None:
    async with _running(RedisLog(redis_server.url, prefix=str(tmp_path), total_bytes=25_000)) as log:
        for number in range(5):
            await _ended(log, f"s{number}", 10_000)
        await log.sweep()
        assert await _kept(log, "s0", "s1", "s2", "s3", "s4") == ["s3", "s4"]
        await log.sweep()
        assert await _kept(log, "s3", "s4") == ["s3", "s4"]
