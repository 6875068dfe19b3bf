"""What a stream keeps in memory, and whom it wakes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ragstream.streamlog import Record
from ragstream.streamlog._live import LiveStream, page


def _say(stream: LiveStream, *contents: bytes) -> None:
    for content in contents:
        record = Record(stream.acked + 1, "text_delta", content)
        stream.push(record)
        stream.acknowledge(record)


def test_old_records_are_left_to_the_store() -> None:
    stream = LiveStream("s", "ann", keep=1000)
    _say(stream, *[b"x" * 100] * 10)
    assert (stream.base, len(stream.tail(0))) == (0, 10)
    _say(stream, b"x" * 100)
    assert (stream.base, stream.acked) == (6, 11)
    assert [record.seq for record in stream.tail(8)] == [9, 10, 11]


def test_what_is_not_acknowledged_is_never_left_to_the_store() -> None:
    stream = LiveStream("s", "ann", keep=100)
    records = [Record(seq, "text_delta", b"x" * 100) for seq in (1, 2, 3)]
    for record in records:
        stream.push(record)
    stream.acknowledge(records[0])
    assert stream.tail(stream.base) == ()
    stream.acknowledge(records[1])
    stream.acknowledge(records[2])
    assert stream.base <= 3


def test_what_is_acknowledged_after_the_log_was_disowned_leaves_no_hole() -> None:
    """The append was stored, and somebody adopted the log; its reply comes after the news of that."""
    first, second = Record(1, "message_start", b"{}"), Record(2, "interrupted", b"{}")
    for is_mirrored in (False, True):
        stream = LiveStream("s", "ann")
        stream.push(first)
        stream.disown()
        for record in (first, second) if is_mirrored else ():
            stream.push(record)
            stream.acknowledge(record)
        stream.acknowledge(first)
        if not is_mirrored:
            assert (stream.acked, stream.tail(0)) == (0, ()), "it comes from the store"
            for record in (first, second):
                stream.push(record)
                stream.acknowledge(record)
        assert (stream.acked, stream.ended) == (2, "interrupted")
        assert stream.tail(0) == (first, second)


def test_a_page_is_bounded_and_never_empty() -> None:
    small, large = Record(1, "text_delta", b"x" * 100_000), Record(2, "text_delta", b"x" * 1_000_000)
    assert page([large, small]) == (large,)
    assert page([small] * 5) == (small,) * 3
    assert page([]) == ()


async def test_cancelled_readers_leave_nothing_behind() -> None:
    stream = LiveStream("s", "ann")
    waiting = [asyncio.create_task(stream.changed()) for _ in range(3)]
    await asyncio.sleep(0)
    for task in waiting[:2]:
        task.cancel()
    await asyncio.wait(waiting[:2])
    assert len(stream._waiting) == 1
    _say(stream, b"x")
    async with asyncio.timeout(10):
        await waiting[2]
    assert not stream._waiting


async def test_whoever_does_not_take_a_record_is_woken_for_it_and_nobody_else() -> None:
    stream, taken = LiveStream("s", "ann"), list[str]()

    def taker(name: str, *, takes: bool) -> Callable[[Record], bool]:
        def take(record: Record) -> bool:
            taken.append(f"{name}{record.seq}")
            return takes

        return take

    wants = {
        "keeps up": (0, taker("a", takes=True)),
        "refuses": (0, taker("b", takes=False)),
        "gone": (0, taker("c", takes=True)),
        "no tap": (0, None),
    }
    waiting = {name: asyncio.ensure_future(stream.changed(*want)) for name, want in wants.items()}
    await asyncio.sleep(0)
    waiting["gone"].cancel()
    _say(stream, b"{}")
    await asyncio.sleep(0)
    assert taken == ["a1", "b1"]
    assert {name for name, future in waiting.items() if future.done()} == {"refuses", "gone", "no tap"}
    _say(stream, b"{}")
    stream.vanish()
    assert await asyncio.wait_for(waiting["keeps up"], 20) == 2
