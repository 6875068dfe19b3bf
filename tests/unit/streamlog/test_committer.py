"""When the committer commits, and what a failed batch does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from ragstream.errors import LeaseLost, StorageFull, StoreError
from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.streamlog._committer import Committer, Entry
from ragstream.streamlog._live import LiveStream
from ragstream.streamlog._writer import LocalWriter

HOUR = 3600.0
START = StreamEvent(type=EventType.STEP)
TOKEN = StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content="token"))
END = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")


class Store:
    """A store whose disk can be held up or filled."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, int]]] = []
        self.fault: Exception | None = None
        self.turning = asyncio.Event()  # clear: the disk stands still
        self.turning.set()

    async def commit(self, batch: Sequence[Entry]) -> None:
        await self.turning.wait()
        if self.fault is not None:
            raise self.fault
        self.batches.append([(stream.stream_id, record.seq) for stream, record in batch])


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def committer(store: Store) -> AsyncIterator[Committer]:
    committer = Committer(store.commit, window=HOUR)
    committer.start()
    async with asyncio.timeout(10):
        yield committer
        store.turning.set()
        await committer.aclose()


def _open(committer: Committer, name: str) -> tuple[LiveStream, LocalWriter]:
    stream = LiveStream(name, "ann")
    return stream, LocalWriter(stream, committer, max_bytes=1 << 20)


async def _passes() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_first_event_and_the_first_words_do_not_wait(committer: Committer, store: Store) -> None:
    _, writer = _open(committer, "a")
    writer.append(START)
    await writer.flush()
    writer.append(START)
    await _passes()
    assert store.batches == [[("a", 1)]]
    writer.append(TOKEN)
    await writer.flush()
    assert store.batches == [[("a", 1)], [("a", 2), ("a", 3)]]


async def test_later_events_wait_for_others(committer: Committer, store: Store) -> None:
    waiting, writer = _open(committer, "a")
    writer.append(TOKEN)
    await writer.flush()
    writer.append(TOKEN)
    await _passes()
    assert waiting.acked == 1
    _, other = _open(committer, "b")
    other.append(TOKEN)
    await writer.flush()
    assert store.batches[1:] == [[("a", 2), ("b", 1)]]


async def test_the_window_ends_by_itself(store: Store) -> None:
    committer = Committer(store.commit, window=0.001)
    committer.start()
    async with asyncio.timeout(10):
        _, writer = _open(committer, "a")
        for _ in range(5):
            writer.append(TOKEN)
            await writer.flush()
        await committer.aclose()
    assert len(store.batches) == 5


async def test_one_batch_takes_what_all_streams_said(committer: Committer, store: Store) -> None:
    writers = [_open(committer, f"s{number}")[1] for number in range(100)]
    for writer in writers:
        writer.append(TOKEN)
    await asyncio.gather(*(writer.flush() for writer in writers))
    assert [len(batch) for batch in store.batches] == [100]


async def test_a_batch_is_bounded_and_the_rest_follows_at_once(committer: Committer, store: Store) -> None:
    _, writer = _open(committer, "a")
    for _ in range(1200):
        writer.append(TOKEN)
    await writer.flush()
    assert [len(batch) for batch in store.batches] == [500, 500, 200]
    assert [seq for batch in store.batches for _, seq in batch] == list(range(1, 1201))


async def test_nothing_is_read_before_it_is_stored(committer: Committer, store: Store) -> None:
    stream, writer = _open(committer, "a")
    store.turning.clear()
    writer.append(TOKEN)
    await _passes()
    assert stream.tail(0) == ()
    store.turning.set()
    await writer.flush()
    assert [record.seq for record in stream.tail(0)] == [1]


async def test_a_failed_batch_fails_its_streams_for_good(committer: Committer, store: Store) -> None:
    stream, writer = _open(committer, "a")
    writer.append(TOKEN)
    await writer.flush()
    store.fault = StorageFull("The disk is full.")
    store.turning.clear()
    _, other = _open(committer, "b")
    writer.append(TOKEN)
    other.append(TOKEN)
    await _passes()
    writer.append(TOKEN)  # while the batch is under way
    store.turning.set()
    for flush in (writer.flush, writer.room, other.flush):
        with pytest.raises(StorageFull):
            await flush()
    store.fault = None
    with pytest.raises(StorageFull):
        writer.append(END)
    assert [record.seq for record in stream.tail(0)] == [1]
    assert stream.unacknowledged == 0
    _, later = _open(committer, "c")
    later.append(TOKEN)
    await later.flush()
    assert store.batches == [[("a", 1)], [("c", 1)]]


async def test_a_fault_of_any_kind_is_told(committer: Committer, store: Store) -> None:
    store.fault = RuntimeError("a bug")
    _, writer = _open(committer, "a")
    writer.append(TOKEN)
    with pytest.raises(StoreError, match="RuntimeError") as told:
        await writer.flush()
    assert told.value.__cause__ is not None
    assert told.value.__cause__.__cause__ is store.fault


async def test_dropped_events_are_not_stored(committer: Committer, store: Store) -> None:
    stream, writer = _open(committer, "a")
    writer.append(TOKEN)
    await writer.flush()
    writer.append(TOKEN)
    await _passes()
    committer.drop(stream)
    stream.vanish()
    with pytest.raises(LeaseLost):
        await writer.flush()
    _, other = _open(committer, "b")
    other.append(TOKEN)
    await other.flush()
    assert store.batches == [[("a", 1)], [("b", 1)]]


async def test_closing_commits_what_waits(store: Store) -> None:
    committer = Committer(store.commit, window=HOUR)
    committer.start()
    async with asyncio.timeout(10):
        stream, writer = _open(committer, "a")
        writer.append(TOKEN)
        await writer.flush()
        writer.append(TOKEN)
        await committer.aclose()
    assert stream.acked == 2
