"""Readers who join while events pour in: where stored records end and live ones begin, none is missed."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.trial import Said, Trial, said

from ragstream.llm import ScriptedProvider
from ragstream.streamlog.redis import RedisLog

READERS = 50
EVENTS = 6000  # of one stream: three seconds of events
RATE = 2000  # events a second
TAIL = 40  # a reader joins so many events before the newest, or fewer, and leaves so many after it
JOINS = {  # of the quick test and of the nightly one
    "memory": (500, 10_000),
    "sqlite": (500, 10_000),
    "redis": (500, 10_000),
    "redis elsewhere": (100, 2_000),
}
CASES = [
    pytest.param(backend, joins, marks=[*redis, *([pytest.mark.nightly] if nightly else [])])
    for backend, both in JOINS.items()
    for redis in [[pytest.mark.redis] if "redis" in backend else []]
    for nightly, joins in enumerate(both)
]
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))

Serve = Callable[..., AbstractAsyncContextManager[Any]]


def script() -> list[str | float]:
    burst, parts = RATE // 100, list[str | float]()
    for first in range(0, EVENTS, burst):
        parts += [*(f"w{number} " for number in range(first, first + burst)), burst / RATE]
    return parts


async def join(server: Any, stream_id: str, dice: random.Random) -> tuple[int, list[Said]]:
    """Read some events around the newest one; return them with the cursor."""
    status = await server.service.log.status(stream_id)
    after = max(0, status.last_seq - dice.randrange(TAIL))
    line = await server.follow(stream_id, after)
    blocks: list[bytes] = []
    events = line.events()
    async for block in events:
        blocks.append(block)
        if len(blocks) > 2 * TAIL:
            break
    await events.aclose()
    line.cut("RST")
    return after, said(blocks)


@pytest.mark.trial("T03", "readers join at the newest of 2,000 events a second")
@pytest.mark.parametrize(("backend", "joins"), CASES)
@pytest.mark.timeout(1800)
async def test_readers_join(
    serve: Serve, tmp_path: Path, trial: Trial, request: pytest.FixtureRequest, backend: str, joins: int
) -> None:
    """They join where the answer is written or, with Redis, elsewhere, where a mirror is read."""

    def log() -> RedisLog | None:
        if not backend.startswith("redis"):
            return None
        return RedisLog(request.getfixturevalue("redis_server").url, prefix=str(tmp_path))

    async with AsyncExitStack() as stack:
        folder = tmp_path if backend == "sqlite" else None
        server = await stack.enter_async_context(serve(ScriptedProvider(script()), folder=folder, log=log()))
        there = server
        if backend == "redis elsewhere":
            there = await stack.enter_async_context(serve(ScriptedProvider(), log=log()))
        while trial.cases < joins:
            await join_one(server, there, trial, joins)


async def join_one(server: Any, there: Any, trial: Trial, joins: int) -> None:
    """Let readers join one stream again and again until it ends."""
    stream_id = await server.service.ask("Go on.")
    pieces: list[tuple[int, list[Said]]] = []

    async def keep_joining(dice: random.Random) -> None:
        while trial.cases + len(pieces) < joins and server.service.supervisor.live:
            pieces.append(await join(there, stream_id, dice))

    async with asyncio.TaskGroup() as group:
        for number in range(READERS):
            group.create_task(keep_joining(random.Random(SEED + number)))
    log = said(await server.whole(stream_id))
    for after, piece in pieces:
        if after < len(log):  # else it came after the end
            ended = piece[-1] == log[-1]
            trial.case(piece, log[after : piece[-1].seq], f"SEED={SEED}", ended=ended)
    await server.service.log.delete(stream_id)
