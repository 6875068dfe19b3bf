"""What is on its way to its acknowledgement, in the logs of one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from ragstream.errors import LeaseLost, NotFound
from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.streamlog._local import LocalLog
from ragstream.streamlog._writer import LocalWriter
from ragstream.streamlog.base import Record
from ragstream.streamlog.memory import MemoryLog
from ragstream.streamlog.sqlite import SQLiteLog
from ragstream.streamlog.tap import Tap

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


async def test_one_heir_gets_what_is_on_its_way(log: LocalLog) -> None:
    writer = await log.open("s", "ann")
    writer.append(WORD)
    writer.abandon()
    heirs = await asyncio.gather(*(log.adopt("s") for _ in range(3)), return_exceptions=True)
    assert sorted(isinstance(heir, LeaseLost) for heir in heirs) == [False, True, True]


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


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch) -> LocalLog:
    """A log in which what is submitted stays on its way."""
    log = MemoryLog()
    monkeypatch.setattr(log._sink, "submit", lambda *_, **__: None)
    return log


async def _waiting_heir(log: LocalLog) -> asyncio.Future[LocalWriter]:
    writer = await log.open("s", "ann")
    writer.append(WORD)
    writer.abandon()
    heir = asyncio.ensure_future(log.adopt("s"))
    await asyncio.sleep(0)
    assert not heir.done()
    return heir


async def test_who_waits_to_adopt_a_log_that_is_deleted_is_told(held: LocalLog) -> None:
    heir = await _waiting_heir(held)
    await held.delete("s")
    with pytest.raises(NotFound):
        await asyncio.wait_for(heir, 20)


async def test_who_waits_to_adopt_a_log_that_is_closed_is_told(held: LocalLog) -> None:
    heir = await _waiting_heir(held)
    await held.aclose()
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(heir, 20)


class TestMemoryLog:
    async def test_what_is_said_in_one_pass_is_acknowledged_together(self) -> None:
        log = MemoryLog()
        writers = [await log.open(name, "ann") for name in "abc"]
        for writer in writers:
            writer.append(WORD)
            writer.append(WORD)
        stands = [await log.status(name) for name in "abc"]
        assert [status and status.last_seq for status in stands] == [0, 0, 0]
        await writers[2].flush()
        stands = [await log.status(name) for name in "abc"]
        assert [status and status.last_seq for status in stands] == [2, 2, 2]

    def test_it_goes_on_in_another_loop_where_one_ended_before_the_next_pass(self) -> None:
        log = MemoryLog()

        async def begin() -> None:
            writers = [await log.open(name, "ann") for name in "st"]
            asyncio.get_running_loop().stop()  # after this pass
            for writer in writers:
                writer.append(WORD)

        async def go_on() -> None:
            writer = await log.open("u", "ann")
            writer.append(END)
            await asyncio.wait_for(writer.close(), 20)
            assert [(await _stands(log, name)) for name in "stu"] == [1, 1, 1]

        loop = asyncio.new_event_loop()
        beginning = loop.create_task(begin())
        loop.run_forever()
        assert beginning.done()
        loop.close()
        asyncio.run(go_on())

    async def test_a_tap_that_fails_costs_nobody_else_anything(self) -> None:
        log, tap = MemoryLog(), Tap()
        one, other = await log.open("s", "ann"), await log.open("t", "ann")

        def fail(_: Record) -> bool:
            raise ValueError("a fault of the reader")

        tap.take = fail
        async with asyncio.timeout(20), aclosing(log.read("s", tap=tap)) as batches:
            reading = asyncio.ensure_future(anext(batches))
            await asyncio.sleep(0)
            one.append(WORD)
            other.append(END)
            assert [record.seq for record in await reading] == [1]
            await other.close()


async def _stands(log: MemoryLog, stream_id: str) -> int:
    status = await log.status(stream_id)
    assert status is not None
    return status.last_seq
