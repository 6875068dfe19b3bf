"""A loop that never idles: its threads have their turn all the same."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from ragstream.events import Message
from ragstream.storage.base import Turn
from ragstream.storage.database import Database
from ragstream.storage.migrations import migrate
from ragstream.storage.turns import SQLTurns

uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for Windows")


async def _spin() -> None:
    while True:
        until = time.perf_counter() + 200e-6
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)


async def _ask(path: Path, count: int) -> None:
    await migrate(path)
    database = Database(path)
    turns = SQLTurns(database)
    spinning = asyncio.create_task(_spin())
    for number in range(count):
        question = (Message(role="user", content="Why?"),)
        ids: dict[str, Any] = {"stream_id": f"stream{number}", "message_id": "m", "session_id": f"s{number}"}
        async with asyncio.timeout(1):  # was seen to take seconds
            await turns.open(Turn(**ids, owner="ann", question=question, created=1.0))
        async with asyncio.timeout(1):
            assert len(await turns.history(f"s{number}")) == 1
    spinning.cancel()
    await asyncio.wait({spinning})
    await database.aclose()


def test_no_question_waits_for_seconds(tmp_path: Path) -> None:
    uvloop.run(_ask(tmp_path / "app.db", 150))
