"""All backends keep the promises of every stream log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from ragstream.streamlog import LogStatus, Record, StreamLog, Writer
from ragstream.streamlog.contract import StreamLogContract
from ragstream.streamlog.memory import MemoryLog
from ragstream.streamlog.redis import RedisLog
from ragstream.streamlog.sqlite import SQLiteLog
from ragstream.streamlog.tap import Tap


class TestMemoryLog(StreamLogContract):
    def make_log(self, place: Path, *, max_bytes: int = 8 * 1024**2) -> StreamLog:
        return MemoryLog(max_bytes=max_bytes)


class TestSQLiteLog(StreamLogContract):
    durable = True

    def make_log(self, place: Path, *, max_bytes: int = 8 * 1024**2) -> StreamLog:
        return SQLiteLog(place / "log.db", max_bytes=max_bytes)


@pytest.mark.redis
class TestRedisLog(StreamLogContract):
    durable = True
    url: str

    @pytest.fixture(autouse=True)
    def _server(self, redis_server: Any) -> None:
        self.url = redis_server.url

    def make_log(self, place: Path, *, max_bytes: int = 8 * 1024**2) -> StreamLog:
        return RedisLog(self.url, prefix=str(place), max_bytes=max_bytes)


@pytest.mark.redis
class TestRedisLogOfTwoProcesses(TestRedisLog):
    """What one log writes, another one reads, stops and deletes."""

    def make_log(self, place: Path, *, max_bytes: int = 8 * 1024**2) -> StreamLog:
        return Two(*(RedisLog(self.url, prefix=str(place), max_bytes=max_bytes) for _ in range(2)))


class Two:
    """Two logs over one Redis, as in two processes: one writes, the other does everything else."""

    def __init__(self, here: RedisLog, there: RedisLog) -> None:
        self.here, self.there = here, there

    async def start(self) -> None:
        await self.here.start()
        await self.there.start()

    async def aclose(self) -> None:
        await self.here.aclose()
        await self.there.aclose()

    async def open(self, stream_id: str, owner: str, *, stop: Callable[[str], None] | None = None) -> Writer:
        return await self.here.open(stream_id, owner, stop=stop)

    async def adopt(self, stream_id: str) -> Writer:
        return await self.there.adopt(stream_id)

    def read(
        self, stream_id: str, after: int = 0, *, tap: Tap | None = None
    ) -> AsyncGenerator[tuple[Record, ...], None]:
        return self.there.read(stream_id, after, tap=tap)

    async def status(self, stream_id: str) -> LogStatus | None:
        return await self.there.status(stream_id)

    async def watched(self, stream_id: str) -> bool:
        return await self.there.watched(stream_id)

    async def cancel(self, stream_id: str, by: str) -> None:
        await self.there.cancel(stream_id, by)

    async def delete(self, stream_id: str) -> None:
        await self.there.delete(stream_id)
        while stream_id in self.here._own:  # noqa: ASYNC110 - word of it comes to the writer's process
            await asyncio.sleep(0.001)

    async def orphans(self) -> list[str]:
        return await self.there.orphans()
