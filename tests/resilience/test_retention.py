"""A log that is gone is told aloud at every cursor: the whole text and the end, or an error; no middle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from tests.trial import Trial

from ragstream.llm import ScriptedProvider
from ragstream.streamlog.memory import MemoryLog
from ragstream.streamlog.redis import RedisLog
from ragstream.streamlog.sqlite import SQLiteLog

HOUR = 3600.0
WORDS = [f"word{number} " for number in range(20)]

Serve = Callable[..., AbstractAsyncContextManager[Any]]


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.trial("T25", "a cursor of an answer whose log is gone: by age, deleted, with its session")
@pytest.mark.parametrize("backend", ["memory", "sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def test_every_cursor_of_a_log_that_is_gone(
    serve: Serve, tmp_path: Path, request: pytest.FixtureRequest, trial: Trial, backend: str
) -> None:
    clock = Clock()
    log: Any = MemoryLog(clock=clock, retention=HOUR)
    if backend == "sqlite":
        log = SQLiteLog(tmp_path / "log.db", clock=clock, retention=HOUR)
    if backend == "redis":
        log = RedisLog(request.getfixturevalue("redis_server").url, prefix=str(tmp_path))
    async with serve(ScriptedProvider(WORDS), log=log, folder=tmp_path) as server, asyncio.timeout(60):
        line = await server.ask()
        stream_id, session_id = line.headers["x-stream-id"], line.headers["x-session-id"]
        last = len([block async for block in line.events()]) - 1  # without DONE
        await line.aclose()
        clock.now += HOUR - 1
        await log.sweep()
        assert await log.status(stream_id) is not None, "not yet"
        clock.now += 2
        await (log.delete(stream_id) if backend == "redis" else log.sweep())
        assert await log.status(stream_id) is None
        for after in range(last + 2):
            events = await told(server, stream_id, after)
            assert [event["type"] for event in events] == ["reset", "message_complete"], after
            assert events[0]["reset"]["text"] == "".join(WORDS), after
            trial.cases += 1
        await server.service._parts.stores.sessions.delete(session_id, "local")
        for after in range(last + 2):
            gone = await server.follow(stream_id, after)
            assert gone.status == 404, after
            await gone.aclose()
            trial.cases += 1


@pytest.mark.trial("T25", "a log is deleted while its answer is being written and read")
async def test_a_log_deleted_under_its_readers(serve: Serve, trial: Trial) -> None:
    gate = asyncio.Event()

    async def pause(_: float) -> None:
        await gate.wait()

    async with serve(ScriptedProvider([*WORDS, 1.0, "end"], pause=pause)) as server, asyncio.timeout(60):
        asked = await server.ask()
        stream_id, blocks = asked.headers["x-stream-id"], list[bytes]()
        async for block in asked.events():
            blocks.append(block)
            if b"word19" in block:
                await server.service.log.delete(stream_id)
        assert b"event: failed" in blocks[-2]
        assert b"id: " not in blocks[-2], "it was not logged"
        await asked.aclose()
        gate.set()
        for after in range(len(WORDS)):
            returned = await server.follow(stream_id, after)
            if returned.status == 200:  # it has been settled meanwhile
                assert b"event: reset" in await anext(returned.events())
            else:
                assert (returned.status, json.loads(await returned.body())["code"]) == (410, "cursor_expired")
            await returned.aclose()
            trial.cases += 1


async def told(server: Any, stream_id: str, after: int) -> list[dict[str, Any]]:
    """Return what is said at a cursor, without DONE."""
    line = await server.follow(stream_id, after)
    assert line.status == 200, after
    blocks = [block async for block in line.events()]
    await line.aclose()
    assert not any(block.startswith(b"id: ") for block in blocks), "a reset moves no cursor"
    return [json.loads(block.partition(b"data: ")[2]) for block in blocks[:-1]]
