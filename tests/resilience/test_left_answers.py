"""What becomes of an answer when its last reader leaves, as ``RAGSTREAM_ON_DISCONNECT`` says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import pytest

from ragstream.delivery.settings import DeliverySettings
from ragstream.events import Answer, EventType
from ragstream.llm import OpenAIProvider
from ragstream.streamlog.memory import MemoryLog

PATIENCE = 20.0
CANCEL = DeliverySettings(head_hold=0.0, patience=0.0)

Serve = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def provider(upstream: Any) -> OpenAIProvider:
    upstream.answers = [[upstream.HEAD, upstream.chunk("Hel"), upstream.STALL]]
    return OpenAIProvider("tiny", base_url=upstream.url, api_key="none")


async def begin(server: Any) -> tuple[Any, str]:
    """Ask, and read until the first words are there."""
    line = await server.ask()
    async for block in line.events():
        if b"text_delta" in block:
            break
    return line, line.headers["x-stream-id"]


async def answer_of(server: Any, stream_id: str) -> Answer:
    """Read the log itself, which is no reader, to its end."""
    answer = Answer()
    async with aclosing(server.service.log.read(stream_id)) as records:
        async for batch in records:
            for record in batch:
                answer.apply(record.event)
    return answer


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - another's state; the test has a deadline
        await asyncio.sleep(0.01)


def metric(server: Any, name: str, **labels: str) -> float:
    value = server.service._parts.metrics.registry.get_sample_value(f"ragstream_{name}", labels)
    return value or 0.0


async def is_stopped(server: Any, upstream: Any, stream_id: str) -> None:
    answer = await answer_of(server, stream_id)
    assert answer.ending is not None
    assert answer.ending.type is EventType.CANCELLED
    assert answer.ending.cancelled is not None
    assert answer.ending.cancelled.by == "disconnect"
    assert answer.text == "Hel", "what was said stays"
    await upstream.all_left()
    stored = await server.service.turns.get(stream_id)
    assert (stored.status, stored.text) == ("cancelled", "Hel")
    await until(lambda: not server.service.supervisor.live)
    assert metric(server, "cancels_total", cause="disconnect") == 1


@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_it_is_stopped_at_once(serve: Serve, upstream: Any, provider: Any, how: Any) -> None:
    async with serve(provider, delivery=CANCEL) as server, asyncio.timeout(PATIENCE):
        line, stream_id = await begin(server)
        line.cut(how)
        await is_stopped(server, upstream, stream_id)
        await line.aclose()
    await provider.aclose()


async def test_it_is_stopped_when_its_grace_is_over(serve: Serve, upstream: Any, provider: Any) -> None:
    grace = DeliverySettings(head_hold=0.0, patience=0.2)
    async with serve(provider, delivery=grace) as server, asyncio.timeout(PATIENCE):
        line, stream_id = await begin(server)
        line.cut("RST")
        await is_stopped(server, upstream, stream_id)
    await provider.aclose()


async def test_a_reader_who_comes_back_in_time_keeps_it(serve: Serve, upstream: Any, provider: Any) -> None:
    grace = DeliverySettings(head_hold=0.0, patience=PATIENCE)
    async with serve(provider, delivery=grace) as server, asyncio.timeout(PATIENCE):
        line, stream_id = await begin(server)
        readers = server.service.supervisor.readers
        line.cut("RST")
        await until(lambda: stream_id in readers._vigils)
        (vigil,) = readers._vigils.values()
        returned = await server.follow(stream_id, after=2)
        await until(vigil.done)
        assert vigil.cancelled(), "nobody waits for its end any more"
        assert server.service.supervisor.live == 1
        await returned.aclose()
        await until(lambda: stream_id in readers._vigils)
    await provider.aclose()


async def test_while_one_reads_another_may_leave(serve: Serve, upstream: Any, provider: Any) -> None:
    async with serve(provider, delivery=CANCEL) as server, asyncio.timeout(PATIENCE):
        line, stream_id = await begin(server)
        second = await server.follow(stream_id)
        readers = server.service.supervisor.readers
        await until(lambda: readers.of(stream_id) == 2)
        line.cut("RST")
        await until(lambda: readers.of(stream_id) == 1)
        assert not readers._vigils
        second.cut("RST")
        await is_stopped(server, upstream, stream_id)
    await provider.aclose()


async def test_who_asked_for_the_whole_is_a_reader_too(serve: Serve, upstream: Any, provider: Any) -> None:
    async with serve(provider, delivery=CANCEL) as server, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        body = b'{"messages":[{"role":"user","content":"Go on."}]}'
        head = (
            "POST /api/v1/chatbot/chat HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        readers = server.service.supervisor.readers
        await until(lambda: bool(readers._places) and bool(upstream.live))
        (stream_id,) = readers._places
        async with aclosing(server.service.log.read(stream_id)) as records:
            async for batch in records:
                if any(record.type == "text_delta" for record in batch):
                    break
        writer.close()
        await is_stopped(server, upstream, stream_id)
        await writer.wait_closed()
        assert not await reader.read()
    await provider.aclose()


async def test_an_answer_that_nobody_has_read_goes_on(serve: Serve, upstream: Any, provider: Any) -> None:
    upstream.say("Hel", "lo")
    async with serve(provider, delivery=CANCEL) as server, asyncio.timeout(PATIENCE):
        answer = await answer_of(server, await server.service.ask("Go on."))
        assert (answer.ending and answer.ending.type, answer.text) == (EventType.MESSAGE_COMPLETE, "Hello")
    await provider.aclose()


async def test_who_was_sent_away_has_time_to_come_back(serve: Serve, upstream: Any, provider: Any) -> None:
    async with serve(provider, delivery=CANCEL) as server, asyncio.timeout(PATIENCE):
        line, stream_id = await begin(server)
        readers = server.service.supervisor.readers
        assert server.service.move_readers() == 1
        await until(lambda: stream_id in readers._vigils)
        assert server.service.supervisor.live == 1
        (vigil,) = readers._vigils.values()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not vigil.done(), "it is not stopped at once"
        readers._moving = False
        returned = await server.follow(stream_id, after=2)
        await until(vigil.done)
        returned.cut("RST")  # now it is a leaving
        await is_stopped(server, upstream, stream_id)
        await line.aclose()
    await provider.aclose()


class SharedLog(MemoryLog):
    """A log that another process reads, too."""

    reads_elsewhere = True
    asked = 0

    async def watched(self, stream_id: str) -> bool:
        self.asked += 1
        return self.reads_elsewhere


async def test_readers_in_other_processes_count(
    serve: Serve, upstream: Any, provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragstream.delivery.readers._AGAIN", 0.05)
    log = SharedLog()
    async with serve(provider, log=log, delivery=CANCEL) as server, asyncio.timeout(PATIENCE):
        line, stream_id = await begin(server)
        line.cut("RST")
        await until(lambda: log.asked > 2)
        assert server.service.supervisor.live == 1
        log.reads_elsewhere = False
        await is_stopped(server, upstream, stream_id)
    await provider.aclose()
