"""Generators that do not end when they are told to: the answer ends without them, and nothing follows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import pytest

from ragstream.events import Answer, EventType
from ragstream.llm import ChatRequest
from ragstream.llm.generator import GeneratorProvider
from ragstream.telemetry import recorded_log

PATIENCE = 20.0

Serve = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragstream.delivery.producer.UNWINDING", 0.1)


class Stubborn:
    """A pipeline that is not done when it is cancelled."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.told = asyncio.Event()  # it was cancelled
        self.gate = asyncio.Event()  # lets it go on
        self.over = asyncio.Event()  # it has ended

    async def answer(self, _: ChatRequest) -> AsyncGenerator[str, None]:
        try:
            yield "Hel"
            if self.how == "swallows":
                await self._wait_whatever_comes()
                yield "never to be read"
            elif self.how == "ends silently":
                await self._wait_whatever_comes()
            else:
                await asyncio.Event().wait()
        finally:
            if self.how == "hangs in its finally":
                await self._wait_whatever_comes()
            self.over.set()

    async def _wait_whatever_comes(self) -> None:
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.told.set()


async def answer_of(server: Any, stream_id: str) -> Answer:
    answer = Answer()
    async with aclosing(server.service.log.read(stream_id)) as records:
        async for batch in records:
            for record in batch:
                answer.apply(record.event)
    return answer


async def begin(server: Any) -> str:
    """Ask, and wait for the first words."""
    stream_id: str = await server.service.ask("Go on.")
    async with aclosing(server.service.log.read(stream_id)) as records:
        async for batch in records:
            if any(record.type == "text_delta" for record in batch):
                break
    return stream_id


@pytest.mark.parametrize("how", ["swallows", "ends silently", "hangs in its finally"])
async def test_a_stop_does_not_wait_for_it(serve: Serve, how: str) -> None:
    pipeline = Stubborn(how)
    with recorded_log("ragstream.delivery") as lines:
        async with serve(GeneratorProvider(pipeline.answer)) as server, asyncio.timeout(PATIENCE):
            stream_id = await begin(server)
            if how == "hangs in its finally":
                await server.cancel(stream_id)
            else:
                await server.cancel(stream_id)
                await pipeline.told.wait()
            answer = await answer_of(server, stream_id)
            assert answer.ending is not None
            assert answer.ending.type is EventType.CANCELLED
            assert answer.text == "Hel"
            assert not pipeline.over.is_set(), "the answer ended before its generator"
            supervisor = server.service.supervisor
            (left,) = supervisor._left_behind
            before = await server.whole(stream_id)
            pipeline.gate.set()  # now it ends, or says something
            await pipeline.over.wait()
            await asyncio.wait({left})
            assert await server.whole(stream_id) == before
            stored = await server.service.turns.get(stream_id)
            assert (stored.status, stored.text) == ("cancelled", "Hel")
            assert not supervisor._left_behind
            value = server.service._parts.metrics.registry.get_sample_value
            assert value("ragstream_answers_total", {"status": "cancelled"}) == 1
            assert value("ragstream_answers_total", {"status": "complete"}) is None, "it is counted once"
    assert [(line.level, line.attributes["stream_id"]) for line in lines] == [("warning", stream_id)]
    assert lines[0].event.startswith("generator does not end")


async def test_a_deadline_does_not_wait_for_it(serve: Serve) -> None:
    pipeline = Stubborn("swallows")
    async with serve(GeneratorProvider(pipeline.answer), deadline=0.3) as server, asyncio.timeout(PATIENCE):
        answer = await answer_of(server, await server.service.ask("Go on."))
        assert answer.error is not None
        assert answer.error.code == "deadline_exceeded"
        pipeline.gate.set()
        await pipeline.over.wait()


async def test_a_shutdown_does_not_wait_for_it(serve: Serve) -> None:
    pipeline = Stubborn("hangs in its finally")
    async with serve(GeneratorProvider(pipeline.answer)) as server, asyncio.timeout(PATIENCE):
        stream_id = await begin(server)
        await server.service.drain(0)
        answer = await answer_of(server, stream_id)
        assert answer.ending is not None
        assert answer.ending.type is EventType.INTERRUPTED
        pipeline.gate.set()
        await pipeline.over.wait()


async def test_one_that_cleans_up_in_time_is_waited_for(serve: Serve) -> None:
    pipeline = Stubborn("hangs in its finally")
    pipeline.gate.set()
    async with serve(GeneratorProvider(pipeline.answer)) as server, asyncio.timeout(PATIENCE):
        stream_id = await begin(server)
        await server.cancel(stream_id)
        await answer_of(server, stream_id)
        assert pipeline.over.is_set()
        assert not server.service.supervisor._left_behind


async def test_what_it_says_while_its_answer_is_ended_goes_nowhere(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Stubborn("swallows")
    async with serve(GeneratorProvider(pipeline.answer)) as server, asyncio.timeout(PATIENCE):
        stream_id = await begin(server)
        close = server.service.turns.close

        async def close_late(turn: Any) -> None:
            pipeline.gate.set()
            await pipeline.over.wait()  # it has said what it would
            await close(turn)

        monkeypatch.setattr(server.service.turns, "close", close_late)
        await server.cancel(stream_id)
        answer = await answer_of(server, stream_id)
        assert (answer.ending and answer.ending.type, answer.text) == (EventType.CANCELLED, "Hel")
