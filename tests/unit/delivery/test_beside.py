"""Who waits, and what may end the waiting."""

from __future__ import annotations

import asyncio

import pytest

from ragstream.delivery.beside import Beside, race
from ragstream.errors import ReaderLeft


async def forever(ended: list[str], name: str = "ended") -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append(name)


async def fails() -> None:
    raise ReaderLeft("gone")


async def returns() -> None:
    pass


async def test_race_raises_the_first_error_and_ends_the_others() -> None:
    ended: list[str] = []
    with pytest.raises(ReaderLeft):
        await race(forever(ended, "first"), fails(), forever(ended, "other"))
    assert sorted(ended) == ["first", "other"]


async def test_race_is_over_when_one_has_ended() -> None:
    ended: list[str] = []
    async with asyncio.timeout(5):
        await race(forever(ended, "first"), returns(), forever(ended, "other"))
        await race(returns(), forever(ended, "another"))
    assert sorted(ended) == ["first", "other"]  # the last one had not begun


async def test_what_was_begun_ends_with_the_block() -> None:
    ended: list[str] = []
    async with Beside() as beside:
        beside.start(forever(ended))
        beside.start(returns())
        await asyncio.sleep(0)
    assert ended == ["ended"]
    assert len(asyncio.all_tasks()) == 1


async def test_an_error_of_the_block_itself_goes_before_the_one_that_ended_it() -> None:
    async def fails_otherwise() -> None:
        async with Beside() as beside:
            beside.start(fails())
            try:
                await asyncio.Event().wait()
            finally:
                raise KeyError

    with pytest.raises(KeyError):
        await fails_otherwise()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_who_is_cancelled_from_outside_stays_cancelled() -> None:
    ended = list[str]()

    async def waits() -> None:
        async with Beside() as beside:
            beside.start(forever(ended))
            inside.set_result(beside)
            await asyncio.Event().wait()

    inside: asyncio.Future[Beside] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waits())
    (await inside).end(ReaderLeft("gone"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["ended"]


async def test_who_waits_goes_on_waiting_for_others_afterwards() -> None:
    with pytest.raises(ReaderLeft):
        await race(asyncio.sleep(5), fails())
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
