"""Random lives of logs: produced, left, adopted, deleted, closed and opened again, read all the while.

The oracle is the list of what each stream's rightful producers appended: whatever a reader saw, over all its
comings and goings, is a piece of that list.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.trial import Trial

from ragstream.errors import IllegalEvent, LeaseLost, NotFound, StoreError
from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.streamlog import Record, StreamLog, Writer
from ragstream.streamlog.memory import MemoryLog
from ragstream.streamlog.sqlite import SQLiteLog

END = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")
STEPS = 150
DEADLINE = 60.0

Make = Callable[[Path], StreamLog]
BACKENDS: dict[str, Make] = {
    "memory": lambda _: MemoryLog(),
    "sqlite": lambda folder: SQLiteLog(folder / "log.db", window=0.001),
}


@dataclass
class Life:
    """One stream: what was appended, and who is at it."""

    stream_id: str
    said: list[StreamEvent] = field(default_factory=list)
    writer: Writer | None = None
    zombies: list[Writer] = field(default_factory=list)
    readers: list[asyncio.Task[None]] = field(default_factory=list)
    deleted: bool = False

    @property
    def ended(self) -> bool:
        return bool(self.said) and self.said[-1] is END


class History:
    """Does what the dice say, and checks what readers see."""

    def __init__(self, make: Callable[[], StreamLog], dice: random.Random) -> None:
        self._make = make
        self._dice = dice
        self._log = make()
        self._lives: list[Life] = []
        self._moves = [
            *[self._append] * 8,
            *[self._come] * 6,
            *[self._leave] * 3,
            *[self._settle_down] * 3,
            *[self._open, self._end, self._orphan, self._adopt, self._haunt, self._flush] * 2,
            self._delete,
            self._restart,
        ]

    async def run(self) -> None:
        await self._log.start()
        await self._open()
        for _ in range(STEPS):
            await self._dice.choice(self._moves)()
        for life in self._lives:
            await self._finish(life)
        await self._log.aclose()

    async def _open(self) -> None:
        life = Life(f"s{len(self._lives)}")
        life.writer = await self._log.open(life.stream_id, "ann")
        self._lives.append(life)

    async def _append(self) -> None:
        life = self._any()
        if life.writer and not life.ended:
            for _ in range(self._dice.choice([1, 1, 5, 50])):
                event = _delta(
                    f"{life.stream_id} {len(life.said)}" + "x" * self._dice.choice([0, 0, 0, 10_000])
                )
                life.said.append(event)
                assert life.writer.append(event) == len(life.said)

    async def _flush(self) -> None:
        life = self._any()
        if life.writer:
            await life.writer.flush()
            status = await self._log.status(life.stream_id)
            assert status is not None
            assert status.last_seq == len(life.said)

    async def _end(self) -> None:
        life = self._any()
        if life.writer and not life.ended:
            life.said.append(END)
            life.writer.append(END)

    async def _orphan(self) -> None:
        life = self._any()
        if life.writer:
            await life.writer.close()
            life.zombies.append(life.writer)
            life.writer = None
            assert (life.stream_id in await self._log.orphans()) == (not life.ended)

    async def _adopt(self) -> None:
        life = self._any()
        if life.writer is None and not life.ended and not life.deleted:
            life.writer = await self._log.adopt(life.stream_id)

    async def _haunt(self) -> None:
        for zombie in self._any().zombies:
            with pytest.raises((LeaseLost, StoreError, IllegalEvent)):
                zombie.append(_delta("by a zombie"))

    async def _come(self) -> None:
        life = self._any()
        status = await self._log.status(life.stream_id)
        assert (status is None) == life.deleted
        if status is not None:
            after = self._dice.randint(0, status.last_seq)
            life.readers.append(asyncio.create_task(self._read(life, after)))

    async def _leave(self) -> None:
        life = self._any()
        if life.readers:
            self._dice.choice(life.readers).cancel()

    async def _settle_down(self) -> None:
        await asyncio.sleep(self._dice.choice([0, 0, 0.002]))

    async def _delete(self) -> None:
        life = self._any()
        if self._dice.random() < 0.3:
            life.deleted = True
            await self._log.delete(life.stream_id)
            if life.writer:
                life.zombies.append(life.writer)
                life.writer = None

    async def _restart(self) -> None:
        if not isinstance(self._log, SQLiteLog):
            return
        await self._log.aclose()
        for life in self._lives:
            if life.writer:
                life.zombies.append(life.writer)
                life.writer = None
        log = self._make()
        await log.start()
        self._log = log
        open_ones = {life.stream_id for life in self._lives if not life.ended and not life.deleted}
        assert set(await self._log.orphans()) == open_ones

    async def _finish(self, life: Life) -> None:
        """End the stream, see that everybody who read it is content, and read it from every index."""
        if not life.ended and not life.deleted:
            writer = life.writer or await self._log.adopt(life.stream_id)
            life.said.append(END)
            writer.append(END)
            await writer.close()
        elif life.writer:
            await life.writer.close()
        for outcome in await asyncio.gather(*life.readers, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
        for after in range(0, len(life.said) + 1, 7):
            await self._read(life, after)

    async def _read(self, life: Life, after: int) -> None:
        records: list[Record] = []
        try:
            async with aclosing(self._log.read(life.stream_id, after)) as batches:
                async for batch in batches:
                    records += batch
        except NotFound:
            assert life.deleted
        except StoreError:  # the log was closed under the reader
            assert isinstance(self._log, SQLiteLog)
        else:
            assert after + len(records) == len(life.said)
        assert [record.seq for record in records] == list(range(after + 1, after + len(records) + 1))
        assert [record.event for record in records] == life.said[after : after + len(records)]

    def _any(self) -> Life:
        return self._dice.choice(self._lives[-5:])


def _delta(content: str) -> StreamEvent:
    return StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=content))


async def _live_through(make: Make, folder: Path, seed: int) -> None:
    async with asyncio.timeout(DEADLINE):
        try:
            await History(lambda: make(folder), random.Random(seed)).run()
        except Exception as fault:
            fault.add_note(f"seed {seed}")
            raise


@pytest.mark.trial("T31", "random histories of a log: its writers, readers, heirs, restarts")
@pytest.mark.parametrize("backend", BACKENDS)
async def test_readers_see_pieces_of_what_was_said(tmp_path: Path, trial: Trial, backend: str) -> None:
    first = random.randrange(2**32)
    for seed in range(first, first + 15):
        await _live_through(BACKENDS[backend], tmp_path / str(seed), seed)
        trial.cases += 1


@pytest.mark.nightly
@pytest.mark.trial("T31", "random histories of a log: its writers, readers, heirs, restarts")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.timeout(1800)
async def test_readers_see_pieces_of_what_was_said_a_thousand_times(
    tmp_path: Path, trial: Trial, backend: str
) -> None:
    for seed in range(1000):
        await _live_through(BACKENDS[backend], tmp_path / str(seed), seed)
        trial.cases += 1
