"""The supervisor: what it measures, and what it does when the log fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.settling import Settler
from ragstream.errors import StorageFull
from ragstream.events import Answer, EventType, Message, Question, StreamEvent
from ragstream.streamlog.base import StreamLog, Writer
from ragstream.streamlog.memory import MemoryLog
from ragstream.telemetry import recorded_log


def question(stream_id: str = "a" * 32) -> Question:
    return Question(
        stream_id=stream_id,
        message_id="b" * 32,
        session_id="c" * 32,
        request_id="r1",
        owner="ann",
        messages=(Message(role="user", content="Hello?"),),
        continues=False,
        created=1,
    )


async def read(log: StreamLog, stream_id: str) -> Answer:
    answer = Answer()
    async with asyncio.timeout(5), aclosing(log.read(stream_id)) as records:
        async for batch in records:
            for record in batch:
                answer.apply(record.event)
    return answer


def value(kit: DeliveryKit, name: str) -> float:
    return kit.metrics.registry.get_sample_value(f"ragstream_{name}") or 0.0


async def answered(kit: DeliveryKit) -> Answer:
    run = kit.answerer.prepare(question())
    await kit.supervisor.start(run, run.events())
    return await read(kit.log, question().stream_id)


async def test_events_gaps_and_what_nobody_read(kit: DeliveryKit) -> None:
    answer = await answered(kit)
    await kit.supervisor.drain(5)
    assert answer.text == "Hello"
    assert value(kit, "events_logged_total") == answer.seq
    assert value(kit, "token_gap_seconds_count") == 1
    assert value(kit, "unread_tokens_total") == 2


async def test_what_a_reader_is_there_for_is_not_unread(kit: DeliveryKit) -> None:
    run = kit.answerer.prepare(question())
    await kit.supervisor.start(run, run.events())
    with kit.supervisor.reading(question().stream_id):
        await kit.supervisor.drain(5)
    with kit.supervisor.reading(question().stream_id):
        pass  # it is over: nothing to count
    assert value(kit, "unread_tokens_total") == 0


class FullLog(MemoryLog):
    """A log on a disk that fills up after some events."""

    room = 3

    async def open(self, stream_id: str, owner: str, *, stop: Any = None) -> Any:
        return _Full(await super().open(stream_id, owner, stop=stop), self)


class _Full:
    def __init__(self, writer: Writer, log: FullLog) -> None:
        self._writer, self._log = writer, log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def append(self, event: StreamEvent) -> int:
        if self._log.room == 0:
            raise StorageFull("The disk is full.")
        self._log.room -= 1
        return self._writer.append(event)


async def test_what_a_failing_log_leaves_behind_is_settled(kit: DeliveryKit) -> None:
    log = FullLog()
    supervisor = type(kit.supervisor)(log, kit.metrics)
    run = kit.answerer.prepare(question())
    with recorded_log("ragstream.delivery") as lines:
        await supervisor.start(run, run.events())
        await supervisor.drain(5)
    assert [(line.event, line.attributes["code"]) for line in lines] == [
        ("answer not logged", "storage_full")
    ]
    assert supervisor.log_fails
    assert await log.orphans() == [question().stream_id]
    log.room = 1000
    await Settler(log, kit.turns, kit.answerer, supervisor).settle()
    assert await log.orphans() == []
    answer = await read(log, question().stream_id)
    stored = await kit.turns.get(question().stream_id)
    assert stored is not None
    assert (answer.ending, answer.text) == (stored.ending, stored.text)


async def test_a_log_without_any_event_is_ended_legally(kit: DeliveryKit) -> None:
    writer = await kit.log.open("d" * 32, "ann")
    await writer.close()  # its process died before it said anything
    await Settler(kit.log, kit.turns, kit.answerer, kit.supervisor).settle()
    answer = await read(kit.log, "d" * 32)
    assert answer.start is not None
    assert answer.ending is not None
    assert answer.ending.type is EventType.INTERRUPTED


async def test_a_generator_without_an_ending_is_a_fault_of_ours(kit: DeliveryKit) -> None:
    run = kit.answerer.prepare(question())

    async def ends_early() -> AsyncGenerator[StreamEvent, None]:
        async with aclosing(run.events()) as events:
            yield await anext(events)

    with recorded_log("ragstream"):
        await kit.supervisor.start(run, ends_early())
        answer = await read(kit.log, question().stream_id)
    assert answer.error is not None
    assert answer.error.code == "internal"
    await kit.supervisor.drain(5)
