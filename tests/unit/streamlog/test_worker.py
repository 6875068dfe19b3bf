"""The worker: order, outcomes, and a loop that is never held up for long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from ragstream.streamlog._worker import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("test")
    yield worker
    worker.stop()


async def test_quick_and_slow_work_is_done_in_order(worker: Worker) -> None:
    gate, order = threading.Event(), list[int]()

    def note(number: int) -> int:
        order.append(number)
        return number

    def slow() -> int:
        gate.wait(20)
        return note(0)

    async with asyncio.timeout(20):
        first = asyncio.create_task(worker.run(slow))
        await asyncio.sleep(0)
        others = [asyncio.create_task(worker.run(partial(note, number))) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in (first, *others))  # and the loop goes on
        gate.set()
        assert await asyncio.gather(first, *others) == [0, 1, 2, 3]
        assert order == [0, 1, 2, 3]
        assert await worker.run(lambda: 4) == 4


async def test_the_loop_does_not_wait_once_for_each_caller(worker: Worker) -> None:
    gate = threading.Event()
    first = asyncio.create_task(worker.run(gate.wait))
    async with asyncio.timeout(3):  # 5000 waits of a millisecond would take longer
        others = [asyncio.create_task(worker.run(int)) for _ in range(5000)]
        for _ in range(3):  # they run, the deadline's timer is due, it strikes
            await asyncio.sleep(0)
    gate.set()
    async with asyncio.timeout(20):
        await asyncio.gather(first, *others)


async def test_errors_are_raised_where_the_work_is_awaited(worker: Worker) -> None:
    def fail() -> None:
        raise KeyError("quick")

    def fail_slowly() -> None:
        threading.Event().wait(0.05)
        raise KeyError("slow")

    for work, message in ((fail, "quick"), (fail_slowly, "slow")):
        with pytest.raises(KeyError, match=message):
            await worker.run(work)
    assert await worker.run(lambda: "alive") == "alive"


async def test_work_is_done_though_nobody_waits_any_more(worker: Worker) -> None:
    gate, done = threading.Event(), threading.Event()

    def work() -> None:
        gate.wait(20)
        done.set()

    async with asyncio.timeout(20):
        task = asyncio.create_task(worker.run(work))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        gate.set()
        assert await worker.run(lambda: "next") == "next"
    assert done.is_set()
