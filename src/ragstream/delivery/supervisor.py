"""The supervisor: the one consumer of every answer's generator.

A producer is a task of the supervisor, not of a request: it outlives its readers. It is stopped by a word, by
its deadline or, where the settings say so, because its readers left; and it is drained at shutdown.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter

from ragstream.delivery.base import AnswerRun
from ragstream.delivery.producer import UNWINDING, Producer
from ragstream.delivery.readers import Place, Readers
from ragstream.delivery.settings import DeliverySettings
from ragstream.errors import (
    AnswerStopped,
    ErrorCode,
    LeaseLost,
    LimitExceeded,
    ProducerDied,
    StoreError,
    TooManyRequests,
    Unavailable,
)
from ragstream.events import EventError, EventType, StreamEvent
from ragstream.streamlog.base import StreamLog, Writer
from ragstream.telemetry import Metrics, get_logger

__all__ = ["Supervisor"]

_log = get_logger(__name__)
_FAULT_SECONDS = 5.0  # for so long after a failure the log is held to be failing
_CLOSING = UNWINDING + 6.0  # seconds for a generator's clean-up, and a lane's closing steps: five
_AGAIN = 2.0  # seconds after which whoever was refused may try again


class Supervisor:
    """Starts answers, stops them, and drains them at shutdown.

    Args:
        log: where the events go.
        metrics: where answers under way, stopped and settled ones are counted.
        settings: how many answers and readers there may be, and what happens when readers leave.
        deadline: seconds that one answer may take in all.
    """

    def __init__(
        self,
        log: StreamLog,
        metrics: Metrics,
        settings: DeliverySettings | None = None,
        *,
        deadline: float = 600.0,
    ) -> None:
        self._log = log
        self._metrics = metrics
        self._settings = settings or DeliverySettings()
        self._deadline = deadline
        self.readers = Readers(log, metrics, self._settings)
        self._producers: dict[str, Producer] = {}
        self._owners: Counter[str] = Counter()  # answers under way
        self._newest: dict[str, Producer] = {}  # of those under way, by session
        self._under_way: set[asyncio.Future[None]] = set()  # done when the answer is over
        self._finishing: set[asyncio.Task[None]] = set()
        self._left_behind: set[asyncio.Task[None]] = set()  # the loop itself would forget them
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
            Unavailable: shutting down, or too many answers under way or readers here.
            TooManyRequests: too many answers under way of this owner.
            StreamExists: the stream id has been used.
            StoreError: the log cannot be opened.
        """
        producer = Producer(run, generator, self._metrics)
        self._admit(producer.owner)
        self._enter(producer)
        try:
            producer.writer = await self._log.open(
                producer.stream_id, producer.owner, stop=lambda by: producer.end(AnswerStopped(by))
            )
        except BaseException as fault:
            self._leave(producer)
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
        producer = Producer(run, run.rescue(cause), self._metrics)
        producer.writer = writer
        self._enter(producer)
        self._supervise(producer)
        await asyncio.wait([producer.over])
        if run.answer.ending is None:
            raise StoreError("The stream log does not take the ending of an answer.")
        self._metrics.settled.inc()

    def session_of(self, stream_id: str) -> str | None:
        """Return the session of an answer that is under way in this process; None where there is none."""
        producer = self._producers.get(stream_id)
        return None if producer is None else producer.session_id

    def newest_of(self, session_id: str) -> Producer | None:
        """Return the newest answer of the session that is under way in this process, stored or not yet."""
        newest = self._newest.get(session_id)
        return newest if newest is not None and newest.run.answer.ending is None else None

    def stop(self, stream_id: str, by: str) -> bool:
        """Stop an answer of this process; False where there is none."""
        producer = self._producers.get(stream_id)
        if producer is not None:
            producer.end(AnswerStopped(by))
        return producer is not None

    @contextmanager
    def reading(self, stream_id: str, *, resumable: bool = False, asked: bool = False) -> Iterator[Place]:
        """Give a reader its place for as long as the block lasts; see ``Readers.reading``."""
        producer = self._producers.get(stream_id)
        with self.readers.reading(stream_id, resumable=resumable, asked=asked) as place:
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
        if self._under_way:
            await asyncio.wait(tuple(self._under_way), timeout=seconds)
        for producer in self._producers.values():
            producer.end(ProducerDied("The server shut down before the answer was whole."))
        if self._under_way:
            await asyncio.wait(tuple(self._under_way), timeout=_CLOSING)
        self.readers.close()

    def _admit(self, owner: str) -> None:
        settings = self._settings
        if self._draining:
            raise Unavailable("The server is shutting down; ask again in a moment.", retry_after=_AGAIN)
        if self.live >= settings.max_answers:
            self._metrics.refusals.labels("server_answers_limit").inc()
            raise Unavailable(
                f"The server has as many answers under way as it may ({settings.max_answers}); "
                "ask again in a moment.",
                retry_after=_AGAIN,
                code="server_answers_limit",
            )
        most = settings.max_answers_per_owner
        if most is not None and self._owners[owner] >= most:
            self._metrics.refusals.labels("owner_answers_limit").inc()
            raise TooManyRequests(
                f"You have as many answers under way as you may ({most}): wait for one to end, or stop one.",
                retry_after=_AGAIN,
                code="owner_answers_limit",
            )
        self.readers.require_room()

    def _enter(self, producer: Producer) -> None:
        self._producers[producer.stream_id] = producer
        self._owners[producer.owner] += 1
        self._newest[producer.session_id] = producer

    def _leave(self, producer: Producer) -> None:
        if self._producers.pop(producer.stream_id, None) is not None:
            self._owners[producer.owner] -= 1
            if not self._owners[producer.owner]:
                del self._owners[producer.owner]
        if self._newest.get(producer.session_id) is producer:
            del self._newest[producer.session_id]

    def _supervise(self, producer: Producer) -> None:
        producer.run.attach(producer.writer)
        self._metrics.producers.inc()
        self._under_way.add(producer.over)
        producer.over.add_done_callback(self._under_way.discard)
        alarm = asyncio.get_running_loop().call_later(self._deadline, _expire, producer)
        producer.begin(partial(self._finish, producer, alarm))

    def _finish(self, producer: Producer, alarm: asyncio.TimerHandle) -> None:
        """End the answer in a task that nothing cancels, now that its generator has ended or was left."""
        if producer.left_behind is not None:
            self._left_behind.add(producer.left_behind)
            producer.left_behind.add_done_callback(self._forget)
        task = asyncio.create_task(self._end(producer, alarm), name=f"end of answer {producer.stream_id}")
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        task.add_done_callback(lambda _: producer.over.set_result(None))

    async def _end(self, producer: Producer, alarm: asyncio.TimerHandle) -> None:
        try:
            await producer.finish()
            self._metrics.events.inc(producer.events)
        except StoreError as fault:  # the log is closed to us: its readers are told by their own reads
            if not isinstance(fault, LeaseLost):  # it was deleted, or is somebody else's now
                self._log_failed_at = perf_counter()
            _log.error("answer not logged", stream_id=producer.stream_id, code=fault.code)
        except Exception:  # noqa: BLE001 - the last boundary of an answer: even the rescue failed
            _log.exception("answer lost its lane", stream_id=producer.stream_id)
            await _say_internal_error(producer)
        finally:
            alarm.cancel()
            self._metrics.producers.dec()
            self._metrics.unread_tokens.inc(producer.unread)
            if isinstance(producer.cause, AnswerStopped):
                self._metrics.cancelled(by=producer.cause.by)
            self._leave(producer)
            await producer.writer.close()

    def _forget(self, left_behind: asyncio.Task[None]) -> None:
        self._left_behind.discard(left_behind)
        if not left_behind.cancelled():
            left_behind.exception()  # of no interest to anybody: the answer has ended without it


def _expire(producer: Producer) -> None:
    producer.end(LimitExceeded("The answer took too long.", code=ErrorCode.DEADLINE_EXCEEDED))


async def _say_internal_error(producer: Producer) -> None:
    """End a log whose lane and rescue both failed, so that its readers do not wait."""
    if producer.run.answer.ending is None:
        error = EventError(code=ErrorCode.INTERNAL, message="The answer failed inside the server.")
        with suppress(StoreError):
            producer.writer.append(StreamEvent(type=EventType.ERROR, error=error))
            await producer.writer.flush()
