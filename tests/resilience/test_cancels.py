"""Answers stopped at random moments: one ending, stored as logged, and the provider's connection closed."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import aclosing
from typing import Any

import pytest
from tests.trial import Trial

from ragstream.bootstrap.service import Service
from ragstream.events import Answer, EventType
from ragstream.llm import ScriptedProvider

STOPS = 10_000
AT_ONCE = 50
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))


async def pass_by(passes: float) -> None:
    """Let the loop pass so often; time itself plays no part."""
    for _ in range(int(passes)):
        await asyncio.sleep(0)


async def stopped_answer(service: Service, provider: ScriptedProvider, moment: int) -> Answer:
    stream_id = await service.ask("Go on.")
    await pass_by(moment)
    await service.log.cancel(stream_id, "ann")
    answer = Answer()
    async with aclosing(service.log.read(stream_id)) as records:
        async for batch in records:
            for record in batch:
                answer.apply(record.event)  # raises at whatever the grammar does not allow
    stored = await service.turns.get(stream_id)
    assert stored is not None
    assert (stored.ending, stored.text) == (answer.ending, answer.text), f"SEED={SEED}"
    return answer


@pytest.mark.trial("T28", "a stop at a random moment of the answer")
async def test_random_stops(serve: Any, trial: Trial) -> None:
    chance = random.Random(SEED)
    script = [part for number in range(8) for part in (f"word{number} ", 3.0)]
    provider = ScriptedProvider(script, pause=pass_by)
    endings: list[Any] = []
    async with serve(provider) as server:

        async def stop_some(moments: list[int]) -> None:
            for moment in moments:
                answer = await stopped_answer(server.service, provider, moment)
                trial.cases += 1
                endings.append(answer.ending and answer.ending.type)

        moments = [chance.randrange(60) for _ in range(STOPS)]
        async with asyncio.timeout(100), asyncio.TaskGroup() as group:
            for first in range(AT_ONCE):
                group.create_task(stop_some(moments[first::AT_ONCE]))
        assert server.service.supervisor.live == 0
    assert len(endings) == STOPS
    assert set(endings) == {EventType.CANCELLED, EventType.MESSAGE_COMPLETE}, f"SEED={SEED}"
    assert endings.count(EventType.CANCELLED) > STOPS // 4, f"SEED={SEED}: hardly any stop came in time"
    assert provider.open == 0, "a provider's connection was left open"
