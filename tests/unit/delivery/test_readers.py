"""The readers of a process: how long their answer is kept when they have gone, and who is sent away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from ragstream.delivery.readers import Readers
from ragstream.delivery.settings import DeliverySettings
from ragstream.errors import ReaderEvicted, ReaderLeft, StoreError, TooManyRequests, Unavailable
from ragstream.streamlog.memory import MemoryLog
from ragstream.telemetry import Metrics


class Log(MemoryLog):
    """Notes who is stopped; ``trouble`` is how often it does not answer."""

    def __init__(self, trouble: int = 0) -> None:
        super().__init__()
        self.stopped = asyncio.Event()
        self.by = ""
        self.trouble = trouble

    async def watched(self, stream_id: str) -> bool:
        if self.trouble:
            self.trouble -= 1
            raise StoreError("It does not answer.")
        return False

    async def cancel(self, stream_id: str, by: str) -> None:
        self.by = by
        self.stopped.set()


async def readers(log: MemoryLog | None = None, **settings: Any) -> Readers:
    log = log or Log()
    await log.open("s", "ann")
    return Readers(log, Metrics(), DeliverySettings(**settings))


def read(subject: Readers, error: Exception | None = None, *, resumable: bool = True) -> None:
    """Read the stream, until this happens."""
    with suppress(*([type(error)] if error else [])), subject.reading("s", resumable=resumable, asked=False):
        if error:
            raise error


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the seconds that are slept; nobody really sleeps."""
    slept: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr("ragstream.delivery.readers.asyncio.sleep", note)
    return slept


@pytest.mark.parametrize(
    ("patience", "error", "seconds"),
    [
        (0.0, ReaderLeft("gone"), 0.0),
        (90.0, ReaderLeft("gone"), 90.0),
        (0.0, ReaderEvicted("slow"), 30.0),
        (90.0, ReaderEvicted("slow"), 90.0),
    ],
)
async def test_how_long_an_answer_is_kept(
    waits: list[float], patience: float, error: Exception, seconds: float
) -> None:
    log = Log()
    subject = await readers(log, patience=patience)
    read(subject, error)
    async with asyncio.timeout(5):
        await log.stopped.wait()
    assert log.by == "disconnect"
    assert waits == [seconds]


async def test_whoever_is_sent_away_has_half_a_minute(waits: list[float]) -> None:
    log = Log()
    subject = await readers(log, patience=0.0)
    with subject.reading("s", resumable=True, asked=False) as place:
        assert subject.move() == 1
        assert subject.move() == 0, "nobody is told twice"
        assert 1000 <= place.notice.result().retry <= 10_000
    async with asyncio.timeout(5):
        await log.stopped.wait()
    assert waits == [30.0]


@pytest.mark.parametrize(
    ("patience", "error"), [(None, ReaderLeft("gone")), (None, ReaderEvicted("slow")), (0.0, None)]
)
async def test_when_nobody_waits_for_its_end(patience: float | None, error: Exception | None) -> None:
    subject = await readers(patience=patience)
    read(subject, error)
    assert not subject._vigils


async def test_a_store_that_does_not_answer_is_asked_again(waits: list[float]) -> None:
    log = Log(trouble=2)
    subject = await readers(log, patience=0.0)
    read(subject, ReaderLeft("gone"))
    async with asyncio.timeout(5):
        await log.stopped.wait()
    assert waits == [0.0, 5.0, 5.0]


async def test_at_the_end_nobody_is_missed() -> None:
    subject = await readers(patience=600.0)
    read(subject, ReaderLeft("gone"))
    (vigil,) = subject._vigils.values()
    subject.close()
    await asyncio.wait({vigil})
    assert vigil.cancelled()


async def test_who_cannot_come_back_is_not_sent_away() -> None:
    subject = await readers()
    with subject.reading("s", resumable=False, asked=False) as place:
        assert subject.move() == 0
        assert not place.notice.done()


async def test_places_are_given_back() -> None:
    subject = await readers(max_readers=1, max_readers_per_stream=1)
    for error in (None, ReaderLeft("gone"), ReaderEvicted("slow"), StoreError("broken")):
        read(subject, error)
    assert subject.of("s") == 0
    subject.require_room()
    with subject.reading("s", resumable=True, asked=False):
        for refused, ask in _refusals(subject):
            with pytest.raises(refused):
                ask()
        with subject.reading("s", resumable=True, asked=True):
            assert subject.of("s") == 2, "whoever asked had its place when its answer began"


def _refusals(subject: Readers) -> list[tuple[type[Exception], Callable[[], object]]]:
    def enter() -> None:
        with subject.reading("s", resumable=True, asked=False):
            pass

    def of_one_stream() -> None:
        subject._settings = DeliverySettings(max_readers_per_stream=1)
        enter()

    return [(Unavailable, subject.require_room), (Unavailable, enter), (TooManyRequests, of_one_stream)]
