"""Readers who are sent away: their responses end between two events, and they miss nothing by coming back."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from ragstream.delivery.settings import DeliverySettings
from ragstream.llm import ScriptedProvider

PATIENCE = 30.0
FAREWELL = re.compile(rb"retry: (\d+)\n\n")

Serve = Callable[..., AbstractAsyncContextManager[Any]]


def gated(words: int) -> tuple[ScriptedProvider, asyncio.Event]:
    """Return a provider that says half of its words, and what lets it say the rest."""
    gate = asyncio.Event()

    async def pause(_: float) -> None:
        await gate.wait()

    half = [f"word{number} " for number in range(words // 2)]
    rest = [f"word{number} " for number in range(words // 2, words)]
    return ScriptedProvider([*half, 1.0, *rest], pause=pause), gate


async def read_to_the_gate(line: Any, words: int) -> list[bytes]:
    """Read what is said before the gate."""
    blocks, events = list[bytes](), line.events()
    while sum(b"text_delta" in block for block in blocks) < words // 2:
        blocks.append(await anext(events))
    return blocks


async def rest_of(line: Any) -> list[bytes]:
    return [block async for block in line.events()]


def data_of(blocks: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return id and data of each event."""
    return [re.findall(rb"^id: (\d+)\n(?:.*\n)*?data: (.*)$", block, re.MULTILINE)[0] for block in blocks]


async def test_moved_readers_go_on_from_their_cursor(serve: Serve) -> None:
    provider, gate = gated(20)
    async with serve(provider) as server, asyncio.timeout(PATIENCE):
        asked = await server.ask()
        stream_id = asked.headers["x-stream-id"]
        readers = [asked, *[await server.follow(stream_id) for _ in range(5)]]
        had = [await read_to_the_gate(line, 20) for line in readers]
        whole = asyncio.create_task(server.follow(stream_id, accept="application/json"))
        count = server.service._parts.metrics.readers._value.get
        while count() < 7:  # noqa: ASYNC110 - another's counter; the test has a deadline
            await asyncio.sleep(0.01)
        assert server.service.move_readers() == 6
        retries = set()
        for line in readers:
            (farewell,) = await rest_of(line)
            found = FAREWELL.fullmatch(farewell)
            assert found, farewell
            assert 1000 <= int(found[1]) <= 10_000
            retries.add(found[1])
            assert line.ended, "a proper end"
        assert len(retries) > 1, "not all at once"
        assert server.service.supervisor.live == 1, "the answer goes on"
        again = await server.follow(stream_id, after=1)
        assert FAREWELL.search(b"".join(await rest_of(again))), "over a connection that was still open"
        gate.set()
        answer = json.loads(await (await whole).body())
        assert answer["message"]["content"].split() == [f"word{number}" for number in range(20)]
        server.service.supervisor.readers._moving = False  # as another worker, which serves
        oracle = data_of((await server.whole(stream_id))[:-1])
        for blocks in had:
            cursor = data_of(blocks)[-1][0]
            returned = await server.follow(stream_id, after=int(cursor))
            rest = await rest_of(returned)
            assert rest[-1].startswith(b"event: done")
            assert data_of(blocks) + data_of(rest[:-1]) == oracle
            await returned.aclose()
        for line in (*readers, again, await whole):
            await line.aclose()


async def test_long_streams_are_rotated_and_nothing_is_missed(serve: Serve) -> None:
    """A reader that comes back each time reads the same as one that never had to go."""

    async def pause(seconds: float) -> None:
        await asyncio.sleep(seconds)

    script = [part for number in range(60) for part in (f"word{number} ", 0.01)]
    delivery = DeliverySettings(head_hold=0.0, retry=700, rotate_after=0.1)
    provider = ScriptedProvider(script, pause=pause)
    async with serve(provider, delivery=delivery) as server, asyncio.timeout(PATIENCE):
        line = await server.ask()
        whole = asyncio.create_task(server.follow(line.headers["x-stream-id"], accept="application/json"))
        stream_id, read, rotations = line.headers["x-stream-id"], list[bytes](), 0
        while True:
            blocks = await rest_of(line)
            assert line.ended, "a proper end"
            await line.aclose()
            if blocks[-1].startswith(b"event: done"):
                read += blocks[:-1]
                break
            assert blocks[-1] == b"retry: 700\n\n"
            read += blocks[:-1]
            rotations += 1
            line = await server.follow(stream_id, after=int(data_of(read)[-1][0]) if read else None)
        assert rotations > 1
        assert [int(cursor) for cursor, _ in data_of(read)] == list(range(1, len(read) + 1))
        text = "".join(json.loads(data).get("text_delta", {}).get("content", "") for _, data in data_of(read))
        assert text.split() == [f"word{number}" for number in range(60)]
        answer = await whole  # whose protocol cannot resume: it was never sent away
        assert json.loads(await answer.body())["message"]["content"] == text
        await answer.aclose()
        departures = server.service._parts.metrics.departures.labels("rotated")
        assert departures._value.get() == rotations
