"""What a store missed while it failed is made up for, without a restart."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import aclosing
from typing import Any

import pytest

from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.settling import Settler
from ragstream.errors import StorageUnavailable
from ragstream.events import Message, Question
from ragstream.storage.base import Turn


@pytest.fixture
def question() -> Question:
    return Question(
        stream_id=secrets.token_hex(16),
        message_id=secrets.token_hex(16),
        session_id=secrets.token_hex(16),
        request_id="r1",
        owner="ann",
        messages=(Message(role="user", content="Hello?"),),
        continues=False,
        created=1,
    )


async def last_event(kit: DeliveryKit, stream_id: str) -> str:
    kinds: list[str] = []
    async with asyncio.timeout(10), aclosing(kit.log.read(stream_id)) as records:
        async for batch in records:
            kinds += [record.type for record in batch]
    return kinds[-1]


async def test_a_turn_whose_end_the_database_missed_gets_it_from_the_log(
    kit: DeliveryKit, question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(turn: Turn) -> None:
        raise StorageUnavailable("The database is away.")

    with monkeypatch.context() as away:
        away.setattr(kit.turns, "close", fails)
        run = kit.answerer.prepare(question)
        await kit.supervisor.start(run, run.events())
        assert await last_event(kit, question.stream_id) == "failed"
    assert [turn.stream_id for turn in await kit.turns.unfinished()] == [question.stream_id]

    await Settler(kit.log, kit.turns, kit.answerer, kit.supervisor).settle()

    turn: Any = await kit.turns.get(question.stream_id)
    assert (turn.status, turn.text) == ("failed", "Hello")
    assert turn.ending.error.code == "storage_unavailable"
    assert await kit.turns.unfinished() == []


@pytest.fixture
def turn(question: Question) -> Turn:
    return Turn(
        stream_id=question.stream_id,
        message_id=question.message_id,
        session_id=question.session_id,
        owner=question.owner,
        question=question.messages,
        created=1.0,
    )


async def test_a_turn_under_way_is_left_alone(kit: DeliveryKit, turn: Turn) -> None:
    await kit.log.open(turn.stream_id, "ann")
    await kit.turns.open(turn)
    await Settler(kit.log, kit.turns, kit.answerer, kit.supervisor).settle()
    assert len(await kit.turns.unfinished()) == 1


async def test_a_log_that_is_missing_for_a_moment_is_waited_for(kit: DeliveryKit, turn: Turn) -> None:
    await kit.turns.open(turn)  # and the store of the log has forgotten it
    patient = Settler(kit.log, kit.turns, kit.answerer, kit.supervisor, lost_after=1000.0)
    for _ in range(2):
        await patient.settle()
        assert [left.stream_id for left in await kit.turns.unfinished()] == [turn.stream_id]
    await Settler(kit.log, kit.turns, kit.answerer, kit.supervisor).settle()
    settled: Any = await kit.turns.get(turn.stream_id)
    assert settled.status == "interrupted"
