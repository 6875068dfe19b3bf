"""The supervisor: the one consumer of every answer's generator.

A producer is a task of the supervisor, not of a request: it outlives its readers. Its rules:

1. An event is appended to the log and applied to the answer, and only then is the next one pulled.
2. A stop, a deadline or a fault ends the generator; the same turn then runs from its lane's rescue node in
   a fresh task, which nothing cancels. So a stopped answer is ended, stored and counted like any other.
3. Once the ending is decided, a stop changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from time import perf_counter

from ragstream.delivery.base import AnswerRun
from ragstream.delivery.readers import Place, Readers
from ragstream.errors import (
    AnswerStopped,
    ErrorCode,
    LeaseLost,
    LimitExceeded,
    ProducerDied,
    ProgrammingError,
    StoreError,
    Unavailable,
)
from ragstream.events import EventError, EventType, StreamEvent, advance
from ragstream.streamlog.base import StreamLog, Writer
from ragstream.telemetry import Metrics, get_logger

__all__ = ["Supervisor"]

_log = get_logger(__name__)
_DELTAS = frozenset({EventType.TEXT_DELTA, EventType.REASONING_DELTA, EventType.TOOL_CALL_DELTA})
_FAULT_SECONDS = 5.0  # for so long after a failure the log is held to be failing
_CLOSING = 6.0  # seconds for a lane's closing steps, which bound themselves to five


class _Producer:
    """One answer under way."""

    def __init__(
        self, run: AnswerRun, generator: AsyncGenerator[StreamEvent, None], metrics: Metrics
    ) -> None:
        self.run = run
        self.generator = generator
        self.readers = 0
        self.unread = 0  # deltas that came while nobody was reading
        self._observe_gap = metrics.token_gap.observe
        self._last_delta: float | None = None
        self.cause: BaseException | None = None
        self.pulling: asyncio.Task[None] | None = None
        self.writer: Writer

    def end(self, cause: BaseException) -> None:
        """End the generator for this cause, unless the ending is decided or another cause was first."""
        if self.cause is None and self.run.ending is None:
            self.cause = cause
            if self.pulling is not None:
                self.pulling.cancel()

    async def produce(self) -> None:
        """Pull to the end, or to a cause; then rescue."""
        if self.cause is None:
            await self._pull_until_cause()
        if self.run.answer.ending is None:
            cause = self.cause or ProgrammingError("the answer's generator ended without an ending")
            await self._pull(self.run.rescue(cause))

    async def _pull_until_cause(self) -> None:
        self.pulling = asyncio.create_task(self._pull(self.generator))
        await asyncio.wait({self.pulling})
        if self.cause is None and not self.pulling.cancelled():
            self.cause = self.pulling.exception()

    async def _pull(self, generator: AsyncGenerator[StreamEvent, None]) -> None:
        writer, answer = self.writer, self.run.answer
        async with aclosing(generator):
            async for event in generator:
                advance(answer.phase, event.type)  # what is illegal is not logged, and what is not logged
                writer.append(event)  # is not part of the answer
                answer.apply(event)
                if event.type in _DELTAS:
                    self._measure()
                await writer.room()
        await writer.flush()

    def _measure(self) -> None:
        now = perf_counter()
        if self._last_delta is not None:
            self._observe_gap(now - self._last_delta)
        self._last_delta = now
        if not self.readers:
            self.unread += 1


class Supervisor:
    """Starts answers, stops them, and drains them at shutdown.

    Args:
        log: where the events go.
        metrics: where answers under way, stopped and settled ones are counted.
        deadline: seconds that one answer may take in all.
        max_producers: answers under way at once; one more is refused as Unavailable.
    """

    def __init__(
        self, log: StreamLog, metrics: Metrics, *, deadline: float = 600.0, max_producers: int = 1000
    ) -> None:
        self._log = log
        self._metrics = metrics
        self._deadline = deadline
        self._max_producers = max_producers
        self._producers: dict[str, _Producer] = {}
        self.readers = Readers(metrics)
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self.claiming = asyncio.Lock()  # held from the claim of an idempotency key until its log is open
        self._log_failed_at = float("-inf")

    @property
    def log_fails(self) -> bool:
        """Whether the log did not take something a moment ago."""
        return perf_counter() - self._log_failed_at < _FAULT_SECONDS

    @property
    def live(self) -> int:
        """How many answers are under way."""
        return len(self._producers)

    async def start(self, run: AnswerRun, generator: AsyncGenerator[StreamEvent, None]) -> None:
        """Claim the stream id and begin to pull ``generator``, which must not have begun.

        Raises:
            Unavailable: shutting down, or too many answers under way.
            StreamExists: the stream id has been used.
            StoreError: the log cannot be opened.
        """
        if self._draining:
            raise Unavailable("The server is shutting down; ask again in a moment.", retry_after=2.0)
        if self.live >= self._max_producers:
            raise Unavailable("Too many answers are under way; ask again in a moment.", retry_after=2.0)
        producer = _Producer(run, generator, self._metrics)
        question = run.question
        self._producers[question.stream_id] = producer
        try:
            producer.writer = await self._log.open(
                question.stream_id, question.owner, stop=lambda by: producer.end(AnswerStopped(by))
            )
        except BaseException as fault:
            del self._producers[question.stream_id]
            if isinstance(fault, StoreError):
                self._log_failed_at = perf_counter()
            raise
        self._supervise(producer)

    async def settle(self, run: AnswerRun, writer: Writer) -> None:
        """End an adopted log: run the turn from its rescue node.

        Raises:
            StoreError: the log did not take the ending.
        """
        cause = ProducerDied("The process that wrote this answer ended.")
        producer = _Producer(run, run.rescue(cause), self._metrics)
        producer.writer = writer
        run.attach(writer)
        self._producers[run.question.stream_id] = producer
        await self._finish(producer)
        if run.answer.ending is None:
            raise StoreError("The stream log does not take the ending of an answer.")
        self._metrics.settled.inc()

    def stop(self, stream_id: str, by: str) -> bool:
        """Stop an answer of this process; False where there is none."""
        producer = self._producers.get(stream_id)
        if producer is not None:
            producer.end(AnswerStopped(by))
        return producer is not None

    @contextmanager
    def reading(self, stream_id: str, *, resumable: bool = False) -> Iterator[Place]:
        """Give a reader its place for as long as the block lasts; ``resumable`` ones may be sent away."""
        producer = self._producers.get(stream_id)
        with self.readers.reading(stream_id, resumable=resumable) as place:
            if producer is None:
                yield place
                return
            producer.readers += 1
            try:
                yield place
            finally:
                producer.readers -= 1

    async def drain(self, seconds: float) -> None:
        """Take no new answers, let the running ones end within ``seconds``, interrupt the rest."""
        self._draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for producer in self._producers.values():
            producer.end(ProducerDied("The server shut down before the answer was whole."))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSING)

    def _supervise(self, producer: _Producer) -> None:
        producer.run.attach(producer.writer)
        task = asyncio.create_task(self._finish(producer), name=f"answer {producer.run.question.stream_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, producer: _Producer) -> None:
        alarm = asyncio.get_running_loop().call_later(
            self._deadline,
            producer.end,
            LimitExceeded("The answer took too long.", code=ErrorCode.DEADLINE_EXCEEDED),
        )
        self._metrics.producers.inc()
        before = producer.run.answer.seq
        try:
            await producer.produce()
            self._metrics.events.inc(producer.run.answer.seq - before)
        except StoreError as fault:  # the log is closed to us: its readers are told by their own reads
            if not isinstance(fault, LeaseLost):  # it was deleted, or is somebody else's now
                self._log_failed_at = perf_counter()
            _log.error("answer not logged", stream_id=producer.run.question.stream_id, code=fault.code)
        except Exception:  # noqa: BLE001 - the last boundary of an answer: even the rescue failed
            _log.exception("answer lost its lane", stream_id=producer.run.question.stream_id)
            await _say_internal_error(producer)
        finally:
            alarm.cancel()
            self._metrics.producers.dec()
            self._metrics.unread_tokens.inc(producer.unread)
            if isinstance(producer.cause, AnswerStopped):
                self._metrics.cancels.inc()
            self._producers.pop(producer.run.question.stream_id, None)
            await producer.writer.close()


async def _say_internal_error(producer: _Producer) -> None:
    """End a log whose lane and rescue both failed, so that its readers do not wait."""
    if producer.run.answer.ending is None:
        error = EventError(code=ErrorCode.INTERNAL, message="The answer failed inside the server.")
        with suppress(StoreError):
            producer.writer.append(StreamEvent(type=EventType.ERROR, error=error))
            await producer.writer.flush()
