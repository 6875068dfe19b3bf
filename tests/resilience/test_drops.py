"""A reader that loses the line after any event, in any way, comes back and has read the log."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from tests.trial import Trial, said

from ragstream.errors import StoreError
from ragstream.llm import ScriptedProvider
from ragstream.streamlog.redis import RedisLog

EVENTS = 200
CUTS = ("FIN", "RST", "half-close")

Serve = Callable[..., AbstractAsyncContextManager[Any]]


def cursor_of(block: bytes) -> int:
    found = re.search(rb"^id: (\d+)$", block, re.MULTILINE)
    return int(found[1]) if found else 0


async def read_until(line: Any, count: int) -> list[bytes]:
    blocks: list[bytes] = []
    events = line.events()
    while len(blocks) < count:
        blocks.append(await anext(events))
    await events.aclose()
    return blocks


@pytest.mark.trial("T01", "the line drops after every event: FIN, RST, half-close")
@pytest.mark.parametrize("backend", ["memory", "sqlite", pytest.param("redis", marks=pytest.mark.redis)])
@pytest.mark.parametrize("cut", CUTS)
async def test_drop_at_every_event(
    serve: Serve, tmp_path: Path, trial: Trial, request: pytest.FixtureRequest, backend: str, cut: str
) -> None:
    words = [f"w{number} " for number in range(EVENTS - 2)]
    gate = asyncio.Event()

    async def pause(_: float) -> None:
        await gate.wait()

    provider = ScriptedProvider([*words[:100], 1.0, *words[100:]], pause=pause)
    folder, log = tmp_path if backend == "sqlite" else None, None
    if backend == "redis":
        log = RedisLog(request.getfixturevalue("redis_server").url, prefix=str(tmp_path))
    async with serve(provider, folder=folder, log=log) as server:
        for dropped_after in range(EVENTS + 1):
            gate.clear()
            if dropped_after > 100:
                gate.set()  # else the answer waits in the middle: the reader comes back to a live log
            line = await server.ask()
            stream_id = line.headers["x-stream-id"]
            first = await read_until(line, dropped_after)
            line.cut(cut)
            after = cursor_of(first[-1]) if first else None
            returned = await server.follow(stream_id, after)
            gate.set()
            rest = [block async for block in returned.events()]
            await line.aclose()
            await returned.aclose()
            assert (returned.status == 204) == (dropped_after == EVENTS)
            trial.case(said(first + rest), said(await server.whole(stream_id)), dropped_after)
    assert len(provider.requests) == EVENTS + 1


async def test_who_comes_back_to_a_live_answer_needs_no_database(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands may come back at once; the session's id is given all the same."""
    gate = asyncio.Event()

    async def pause(_: float) -> None:
        await gate.wait()

    async def get(stream_id: str) -> None:
        raise StoreError("The database does not answer.")

    async with serve(ScriptedProvider(["Hel", 1.0, "lo"], pause=pause)) as server:
        line = await server.ask()
        stream_id, session_id = line.headers["x-stream-id"], line.headers["x-session-id"]
        await read_until(line, 2)
        line.cut("RST")
        with monkeypatch.context() as failing:
            failing.setattr(server.service.turns, "get", get)
            returned = await server.follow(stream_id, after=2)
            assert (returned.status, returned.headers["x-session-id"]) == (200, session_id)
        gate.set()
        assert [event.type for event in said([block async for block in returned.events()])] == [
            "text_delta",
            "message_complete",
        ]
        await returned.aclose()
