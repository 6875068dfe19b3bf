"""The wall clock is set an hour on or back in the middle of answers: nothing that is read depends on it."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from tests.trial import Trial, said

from ragstream.llm import ScriptedProvider
from ragstream.streamlog.memory import MemoryLog
from ragstream.streamlog.redis import RedisLog
from ragstream.streamlog.sqlite import SQLiteLog

ANSWERS = 100
HOUR = 3600.0
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))

Serve = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.mark.trial("T18", "the wall clock steps by an hour, on and back, in the middle of answers")
@pytest.mark.parametrize("backend", ["memory", "sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def test_the_clock_steps(
    serve: Serve,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    trial: Trial,
    backend: str,
) -> None:
    dice, true, error = random.Random(SEED), time.time, 0.0

    async def step(_: float) -> None:
        nonlocal error
        error = dice.choice([-HOUR, 0.0, HOUR])
        await asyncio.sleep(0)

    def clock() -> float:
        return true() + error

    monkeypatch.setattr(time, "time", clock)
    provider = ScriptedProvider(
        [part for number in range(10) for part in (f"word{number} ", 1.0)], pause=step
    )
    log: Any = MemoryLog(clock=clock)
    if backend == "sqlite":
        log = SQLiteLog(tmp_path / "log.db", clock=clock)
    if backend == "redis":
        log = RedisLog(request.getfixturevalue("redis_server").url, prefix=str(tmp_path))
    async with serve(provider, log=log, folder=tmp_path) as server:

        async def read() -> tuple[str, list[bytes]]:
            line = await server.ask()
            events, first = line.events(), list[bytes]()
            while len(first) < 5:
                first.append(await anext(events))
            await events.aclose()
            line.cut("RST")
            returned = await server.follow(line.headers["x-stream-id"], len(first))
            rest = [block async for block in returned.events()]
            await returned.aclose()
            return line.headers["x-stream-id"], first + rest

        async with asyncio.timeout(60):
            for _ in range(ANSWERS // 20):
                for stream_id, blocks in await asyncio.gather(*(read() for _ in range(20))):
                    await log.sweep()
                    trial.case(said(blocks), said(await server.whole(stream_id)), f"SEED={SEED}")
    assert len(provider.requests) == ANSWERS
