"""What is on its way to its acknowledgement, in the logs of one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from ragstream.errors import NotFound
from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.streamlog._local import LocalLog
from ragstream.streamlog.memory import MemoryLog
from ragstream.streamlog.sqlite import SQLiteLog

WORD = StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content="word"))
END = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")


@pytest.fixture(params=["memory", "sqlite"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LocalLog]:
    log = MemoryLog() if request.param == "memory" else SQLiteLog(tmp_path / "log.db")
    async with asyncio.timeout(20):
        await log.start()
        yield log
        await log.aclose()


async def test_an_heir_goes_on_after_what_is_on_its_way(log: LocalLog) -> None:
    writer = await log.open("s", "ann")
    writer.append(WORD)
    writer.append(WORD)
    writer.abandon()
    heir = await log.adopt("s")
    assert heir.append(END) == 3
    async with aclosing(log.read("s")) as batches:
        read = [record async for batch in batches for record in batch]
    assert [(record.seq, record.event.type) for record in read] == [
        (1, EventType.TEXT_DELTA),
        (2, EventType.TEXT_DELTA),
        (3, EventType.MESSAGE_COMPLETE),
    ]


async def test_what_is_on_its_way_does_not_bring_a_deleted_log_back(log: LocalLog) -> None:
    writer = await log.open("s", "ann")
    writer.append(WORD)
    writer.append(END)
    await log.delete("s")
    other = await log.open("t", "ann")
    other.append(END)
    await other.close()  # so all that was on its way has arrived
    assert await log.status("s") is None
    with pytest.raises(NotFound):
        await log.adopt("s")


async def test_who_waits_to_adopt_a_log_that_is_deleted_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    log = MemoryLog()
    monkeypatch.setattr(log._sink, "submit", lambda *_, **__: None)  # what is submitted stays on its way
    writer = await log.open("s", "ann")
    writer.append(WORD)
    writer.abandon()
    heir = asyncio.ensure_future(log.adopt("s"))
    await asyncio.sleep(0)
    assert not heir.done()
    await log.delete("s")
    with pytest.raises(NotFound):
        await asyncio.wait_for(heir, 20)
