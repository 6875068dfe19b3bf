"""What every stream log promises, as a class of tests: for our backends and for yours.

Derive from it in a test module and say how a log is made; pytest does the rest. It needs pytest and
pytest-asyncio, and is the only module of the package that does::

    from ragstream.streamlog.contract import StreamLogContract

    class TestMyLog(StreamLogContract):
        durable = True

        def make_log(self, place, *, max_bytes=8 * 1024**2):
            return MyLog(place / "my.log", max_bytes=max_bytes)
"""
# ruff: noqa: S101, S311 - assertions are what this module is for, and its dice are no secrets

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import ClassVar

import pytest

from ragstream.errors import (
    CursorAhead,
    ErrorCode,
    IllegalEvent,
    LeaseLost,
    LimitExceeded,
    NotFound,
    StoreError,
    StreamExists,
)
from ragstream.events import (
    Cancelled,
    EventError,
    EventType,
    Interrupted,
    Source,
    StepInfo,
    StreamEvent,
    TextDelta,
    Usage,
)
from ragstream.streamlog.base import Record, StreamLog, Writer
from ragstream.streamlog.tap import Tap

__all__ = ["StreamLogContract"]

_DEADLINE = 20.0  # seconds for one test: only a log that hangs meets it
_MANY = 40
_COMPLETE = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop", usage=Usage(total_tokens=3))
_TERMINALS = (
    _COMPLETE,
    StreamEvent(type=EventType.ERROR, error=EventError(code="internal", message="broken")),
    StreamEvent(type=EventType.CANCELLED, cancelled=Cancelled(by="ann")),
    StreamEvent(type=EventType.INTERRUPTED, interrupted=Interrupted(seq=4)),
)
_STEP = StreamEvent(
    type=EventType.STEP, step=StepInfo(node="End", label="End", number=1, outcome=None, duration_ms=0.1)
)


class StreamLogContract:
    """Derive, and define ``make_log``; every test is a promise of ``base.py``."""

    pytestmark = pytest.mark.asyncio
    durable: ClassVar[bool] = False  # whether a log made anew at the same place knows what the last one did

    def make_log(self, place: Path, *, max_bytes: int = 8 * 1024**2) -> StreamLog:
        """Return a log that was not started.

        Args:
            place: an empty folder, the same one for logs that shall share what they store.
            max_bytes: what the events of one answer may take.
        """
        raise NotImplementedError

    # Numbers

    async def test_seqs_count_from_one_without_holes(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            assert [writer.append(_delta(number)) for number in range(_MANY)] == list(range(1, _MANY + 1))
            await _end(writer)
            assert [record.seq for record in await _read(log, "s")] == list(range(1, _MANY + 2))

    async def test_events_read_back_as_they_were_said(self, tmp_path: Path) -> None:
        said = [
            StreamEvent(
                type=EventType.SOURCES,
                sources=(Source(id="s1", title="Ünïcode", uri="u", quote="\n\0", score=1),),
            ),
            StreamEvent(
                type=EventType.TEXT_DELTA, text_delta=TextDelta(content="日本 \u2028 \r\n 👩‍👩‍👧 \0")
            ),
            _COMPLETE,
        ]
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            for event in said:
                writer.append(event)
            await writer.close()
            records = await _read(log, "s")
            assert [record.event for record in records] == said
            assert [record.type for record in records] == [event.type for event in said]

    async def test_streams_are_numbered_each_for_itself(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writers = [await log.open(f"s{number}", "ann") for number in range(10)]
            for number in range(_MANY):
                for writer in writers:
                    assert writer.append(_delta(f"{writer.stream_id} {number}")) == number + 1
                    await writer.room()
            for writer in writers:
                await _end(writer)
                texts = [_text(record) for record in (await _read(log, writer.stream_id))[:-1]]
                assert texts == [f"{writer.stream_id} {number}" for number in range(_MANY)]

    async def test_a_stream_id_is_never_used_twice(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            await _refuses_to_open(log, "s")
            await _end(writer)
            await _refuses_to_open(log, "s")
            await log.delete("s")
            await _refuses_to_open(log, "s")

    async def test_of_two_who_claim_an_id_one_gets_it(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            claims = await asyncio.gather(*(log.open("s", "ann") for _ in range(5)), return_exceptions=True)
            assert sorted(isinstance(claim, StreamExists) for claim in claims) == [False] + [True] * 4

    # One end

    @pytest.mark.parametrize("terminal", _TERMINALS, ids=lambda event: event.type)
    async def test_a_terminal_event_ends_every_reader(self, tmp_path: Path, terminal: StreamEvent) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            writer.append(_delta(0))
            await writer.flush()
            readers = [asyncio.create_task(_read(log, "s", after)) for after in (0, 1, 0)]
            await _passes(3)
            writer.append(terminal)
            await writer.close()
            whole, rest, again = await asyncio.gather(*readers)
            assert [record.type for record in whole] == ["text_delta", terminal.type]
            assert whole == again
            assert whole[1:] == rest
            status = await log.status("s")
            assert status is not None
            assert (status.state, status.last_seq, status.last_type) == ("ended", 2, terminal.type)

    async def test_nothing_follows_the_terminal_event(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            writer.append(_COMPLETE)
            with pytest.raises(IllegalEvent):
                writer.append(_COMPLETE)
            await writer.close()
            assert len(await _read(log, "s")) == 1

    # Reading

    async def test_an_ended_log_resumes_from_every_index(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            whole = await _ended(log, "s", _MANY)
            for after in range(len(whole) + 1):
                assert await _read(log, "s", after) == whole[after:]

    async def test_a_live_log_resumes_from_every_index(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            readers = []
            for number in range(_MANY):
                writer.append(_delta(number))
                await writer.flush()
                readers += [asyncio.create_task(_read(log, "s", after)) for after in range(number + 2)]
            await _end(writer)
            whole = await _read(log, "s")
            for read in await asyncio.gather(*readers):
                assert read == whole[_MANY + 1 - len(read) :]

    async def test_who_joins_while_events_pour_in_misses_nothing(self, tmp_path: Path) -> None:
        """Replay hands over to live reading at any moment, with readers that leave and come back."""
        seed = random.randrange(2**32)
        dice = random.Random(seed)
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            pouring = asyncio.create_task(_pour(writer, events=2000, rate=2000))
            readers = []
            while not pouring.done():
                readers.append(asyncio.create_task(_read_in_pieces(log, "s", random.Random(dice.random()))))
                await asyncio.sleep(dice.random() * 0.01)
            await pouring
            expected = list(range(1, 2002))
            for seqs in await asyncio.gather(*readers):
                assert seqs == expected, f"seed {seed}"

    async def test_a_hundred_readers_read_the_same(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            readers = [asyncio.create_task(_read(log, "s")) for _ in range(100)]
            await _pour(writer, events=100, rate=2000)
            whole = await _read(log, "s")
            assert len(whole) == 101
            assert all(read == whole for read in await asyncio.gather(*readers))

    async def test_a_reader_that_stands_still_holds_nobody_up(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            writer.append(_delta(0))
            async with aclosing(log.read("s")) as slow:
                first = await anext(slow)
                await _pour(writer, events=1000, rate=1_000_000)
                whole = await _read(log, "s")
                rest = [record async for batch in slow for record in batch]
            assert [*first, *rest] == whole

    async def test_what_a_tap_takes_and_the_generator_yields_is_the_log(self, tmp_path: Path) -> None:
        dice, tap, got = random.Random(11), Tap(), list[Record]()

        def take(record: Record) -> bool:
            taken = dice.random() < 0.7
            if taken:
                got.append(record)
            return taken

        async def read() -> None:
            async with aclosing(log.read("s", tap=tap)) as batches:
                async for batch in batches:
                    got.extend(batch)
                    await _passes(dice.choice([0, 0, 2]))

        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            reading = asyncio.create_task(read())
            tap.take = take
            for number in range(_MANY):
                writer.append(_delta(number))
                await dice.choice([writer.room, writer.flush])()
                await _passes(dice.choice([0, 3]))
            await _end(writer)
            await asyncio.wait_for(reading, _DEADLINE)
            assert got == await _read(log, "s")

    async def test_nothing_goes_to_the_tap_of_who_has_left(self, tmp_path: Path) -> None:
        tap, taken = Tap(), list[Record]()

        def take(record: Record) -> bool:
            taken.append(record)
            return True

        tap.take = take
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            writer.append(_delta(0))
            await writer.flush()
            batches = log.read("s", tap=tap)
            await anext(batches)
            reading = asyncio.ensure_future(anext(batches))
            await _passes(3)
            reading.cancel()
            writer.append(_delta(1))
            with pytest.raises(asyncio.CancelledError):
                await reading
            await _end(writer)
            assert taken == []

    async def test_a_cursor_beyond_the_log_is_refused(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            writer.append(_delta(0))
            await writer.flush()
            with pytest.raises(CursorAhead):
                await _read(log, "s", 2)
            await _end(writer)
            with pytest.raises(CursorAhead):
                await _read(log, "s", 3)

    async def test_an_unknown_stream_is_not_found(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            assert await log.status("nobody's") is None
            with pytest.raises(NotFound):
                await _read(log, "nobody's")
            await log.cancel("nobody's", "ann")
            await log.delete("nobody's")

    async def test_a_reader_may_be_cancelled_at_any_point(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            tasks = asyncio.all_tasks()
            for passes in range(30):
                reader = asyncio.create_task(_read(log, "s"))
                await _passes(passes // 2)
                writer.append(_delta(passes))
                await _passes(passes % 3)
                reader.cancel()
                await asyncio.wait([reader])
            while asyncio.all_tasks() - tasks:  # what leaks meets the deadline
                await _passes(1)
            await _end(writer)
            assert len(await _read(log, "s")) == 31

    # Producing

    async def test_flush_waits_for_the_acknowledgement(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            for number in range(3):
                writer.append(_delta(number))
                await writer.flush()
                status = await log.status("s")
                assert status is not None
                assert (status.owner, status.state, status.last_seq) == ("ann", "live", number + 1)

    async def test_room_bounds_what_is_unacknowledged(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            for number in range(64):
                writer.append(_delta("x" * 32_000))
                await writer.room()
                status = await log.status("s")
                assert status is not None
                assert (number + 1 - status.last_seq) * 32_000 <= 256 * 1024

    async def test_who_waits_for_room_is_told_that_the_log_is_deleted(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            writer.append(_delta("x" * 300_000))
            room = asyncio.ensure_future(writer.room())
            await asyncio.sleep(0)
            await log.delete("s")
            with suppress(StoreError):  # it may have had room before
                await room
            with pytest.raises(StoreError):
                await writer.room()

    async def test_an_answer_that_grows_too_large_can_still_end(self, tmp_path: Path) -> None:
        async with self._running(tmp_path, max_bytes=10_000) as log:
            writer = await log.open("s", "ann")
            writer.append(_delta("x" * 9_900))
            with pytest.raises(LimitExceeded) as refused:
                writer.append(_delta("x" * 100))
            assert refused.value.code == ErrorCode.ANSWER_TOO_LARGE
            assert writer.append(_STEP) == 2
            assert writer.append(_COMPLETE) == 3
            await writer.close()
            assert [record.seq for record in await _read(log, "s")] == [1, 2, 3]

    async def test_cancel_calls_the_producer(self, tmp_path: Path) -> None:
        calls: list[str] = []
        called = asyncio.Event()

        def stop(by: str) -> None:
            calls.append(by)
            called.set()

        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann", stop=stop)
            await log.cancel("s", "bob")
            await called.wait()
            await _end(writer)
            await log.cancel("s", "bob")
            assert calls == ["bob"]

    # Death

    async def test_a_writer_closed_without_an_end_leaves_an_orphan(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            writer.append(_delta(0))
            assert await log.orphans() == []
            await writer.close()
            await writer.close()
            assert await log.orphans() == ["s"]
            status = await log.status("s")
            assert status is not None
            assert (status.state, status.last_seq) == ("orphaned", 1)
            with pytest.raises(LeaseLost):
                writer.append(_delta(1))

    async def test_whoever_adopts_goes_on_where_the_log_ends(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            dead = await log.open("s", "ann")
            dead.append(_delta(0))
            await dead.close()
            waiting = asyncio.create_task(_read(log, "s"))
            heir = await log.adopt("s")
            assert await log.orphans() == []
            with pytest.raises(LeaseLost):
                dead.append(_delta("by a zombie"))
            await dead.close()
            assert heir.append(_TERMINALS[-1]) == 2
            await heir.close()
            assert [record.type for record in await waiting] == ["text_delta", "interrupted"]

    async def test_only_orphans_are_adopted(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            with pytest.raises(LeaseLost):
                await log.adopt("s")
            await _end(writer)
            with pytest.raises(LeaseLost):
                await log.adopt("s")
            with pytest.raises(NotFound):
                await log.adopt("nobody's")

    async def test_an_orphan_is_adopted_once(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            await (await log.open("s", "ann")).close()
            adopted = await asyncio.gather(*(log.adopt("s") for _ in range(5)), return_exceptions=True)
            assert sorted(isinstance(heir, LeaseLost) for heir in adopted) == [False] + [True] * 4

    # Deletion

    async def test_deleting_ends_readers_and_the_producer(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            writer.append(_delta(0))
            await writer.flush()
            readers = [asyncio.create_task(_read(log, "s", after)) for after in (0, 1)]
            await _passes(3)
            writer.append(_delta(1))
            await log.delete("s")
            for outcome in await asyncio.gather(*readers, return_exceptions=True):
                assert isinstance(outcome, NotFound)
            with pytest.raises(LeaseLost):
                writer.append(_COMPLETE)
            with pytest.raises(LeaseLost):
                await writer.room()
            await writer.close()
            assert await log.status("s") is None
            assert await log.orphans() == []

    async def test_deleting_an_ended_log_ends_its_readers(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            writer.append(_delta(0))
            await writer.flush()
            async with aclosing(log.read("s")) as slow:
                await anext(slow)
                await _end(writer)
                await log.delete("s")
                await log.delete("s")
                with pytest.raises(NotFound):
                    await anext(slow)
            with pytest.raises(NotFound):
                await _read(log, "s")

    # Closing and coming back

    async def test_closing_the_log_leaves_nobody_waiting(self, tmp_path: Path) -> None:
        async with self._running(tmp_path) as log:
            writer = await log.open("s", "ann")
            writer.append(_delta(0))
            await writer.flush()
            reader = asyncio.create_task(_read(log, "s"))
            await _passes(3)
        with pytest.raises(StoreError):
            await reader
        with pytest.raises(StoreError):
            writer.append(_delta(1))
        with pytest.raises(StoreError):
            await asyncio.wait_for(_read(log, "s"), _DEADLINE)

    async def test_what_was_appended_outlives_the_log(self, tmp_path: Path) -> None:
        self._needs_durability()
        async with self._running(tmp_path) as log:
            whole = await _ended(log, "whole", _MANY)
            writer = await log.open("open", "bob")
            for number in range(_MANY):
                writer.append(_delta(number))
        async with self._running(tmp_path) as log:
            for after in range(len(whole) + 1):
                assert await _read(log, "whole", after) == whole[after:]
            assert await log.orphans() == ["open"]
            status = await log.status("open")
            assert status is not None
            assert (status.owner, status.state, status.last_seq) == ("bob", "orphaned", _MANY)
            heir = await log.adopt("open")
            assert heir.append(_TERMINALS[-1]) == _MANY + 1
            await heir.close()
            assert [record.seq for record in await _read(log, "open")] == list(range(1, _MANY + 2))

    async def test_used_ids_outlive_the_log(self, tmp_path: Path) -> None:
        self._needs_durability()
        async with self._running(tmp_path) as log:
            await log.open("open", "ann")
            await _ended(log, "ended", 1)
            await _ended(log, "deleted", 1)
            await log.delete("deleted")
        async with self._running(tmp_path) as log:
            for stream_id in ("open", "ended", "deleted"):
                await _refuses_to_open(log, stream_id)

    @asynccontextmanager
    async def _running(self, place: Path, *, max_bytes: int = 8 * 1024**2) -> AsyncIterator[StreamLog]:
        """Start a log, bound the test's time, and close the log."""
        log = self.make_log(place, max_bytes=max_bytes)
        async with asyncio.timeout(_DEADLINE):
            await log.start()
            try:
                yield log
            finally:
                await log.aclose()

    def _needs_durability(self) -> None:
        if not self.durable:
            pytest.skip("this log ends with its process")


def _delta(content: object) -> StreamEvent:
    return StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=str(content)))


def _text(record: Record) -> str:
    delta = record.event.text_delta
    return "" if delta is None else delta.content


async def _passes(count: int) -> None:
    """Let the loop run, so that others come as far as they can."""
    for _ in range(count):
        await asyncio.sleep(0)


async def _end(writer: Writer) -> None:
    writer.append(_COMPLETE)
    await writer.flush()
    await writer.close()


async def _ended(log: StreamLog, stream_id: str, events: int) -> list[Record]:
    """Write a log with so many deltas and an end; return its records."""
    writer = await log.open(stream_id, "ann")
    for number in range(events):
        writer.append(_delta(number))
    await _end(writer)
    return await _read(log, stream_id)


async def _pour(writer: Writer, *, events: int, rate: float) -> None:
    """Say ``events`` deltas, so many a second, and the end."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(events):
        writer.append(_delta(number))
        await writer.room()
        if (early := start + number / rate - loop.time()) > 0:
            await asyncio.sleep(early)
    await _end(writer)


async def _read(log: StreamLog, stream_id: str, after: int = 0) -> list[Record]:
    async with aclosing(log.read(stream_id, after)) as batches:
        return [record async for batch in batches for record in batch]


async def _read_in_pieces(log: StreamLog, stream_id: str, dice: random.Random) -> list[int]:
    """Read to the end, leaving and coming back at random; return the seqs in the order they came."""
    seqs: list[int] = []
    ended = False
    while not ended:
        patience = dice.choice([1, 3, 10, 1000])
        async with aclosing(log.read(stream_id, len(seqs))) as batches:
            async for batch in batches:
                seqs += [record.seq for record in batch]
                ended = batch[-1].type == EventType.MESSAGE_COMPLETE
                patience -= 1
                if not patience:
                    break
    return seqs


async def _refuses_to_open(log: StreamLog, stream_id: str) -> None:
    with pytest.raises(StreamExists):
        await log.open(stream_id, "ann")
