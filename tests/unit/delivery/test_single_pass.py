from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from ragstream.delivery.single_pass import SinglePassStream
from ragstream.errors import StreamConsumed


async def words(closed: list[str]) -> AsyncGenerator[str, None]:
    try:
        yield "one"
        yield "two"
    finally:
        closed.append("closed")


async def test_first_iteration_gets_everything() -> None:
    assert [word async for word in SinglePassStream(words([]))] == ["one", "two"]


async def test_second_iteration_says_what_to_do() -> None:
    stream = SinglePassStream(words([]))
    assert [word async for word in stream] == ["one", "two"]
    with pytest.raises(StreamConsumed, match="GET /api/v1/streams"):
        [word async for word in stream]


async def test_second_iteration_cannot_steal_from_the_first() -> None:
    stream = SinglePassStream(words([]))
    first = aiter(stream)
    assert await anext(first) == "one"
    with pytest.raises(StreamConsumed):
        stream.take()
    assert await anext(first) == "two"
    await first.aclose()


async def test_closing_closes_the_generator_and_forbids_a_pass() -> None:
    closed: list[str] = []
    stream = SinglePassStream(words(closed))
    generator = stream.take()
    await anext(generator)
    await stream.aclose()
    assert closed == ["closed"]
    with pytest.raises(StreamConsumed):
        stream.take()


async def test_an_unbegun_stream_can_be_closed() -> None:
    stream = SinglePassStream(words([]))
    await stream.aclose()
    with pytest.raises(StreamConsumed):
        aiter(stream)
