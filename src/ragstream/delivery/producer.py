"""A producer: one answer being pulled, event by event, into its log.

1. An event is appended to the log and applied to the answer, and only then is the next one pulled.
2. A stop, a deadline or a fault ends the generator; the same turn then runs from its lane's rescue node in
   a fresh task, which nothing cancels. So a stopped answer is ended, stored and counted like any other. Until
   then there is one task, the one that pulls: thousands of answers may wait for their providers.
3. Once the ending is decided, a stop changes nothing.
4. A generator that does not end when it is told to is left behind: what it still says goes nowhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from time import perf_counter

from ragstream.delivery.base import AnswerRun
from ragstream.errors import ProgrammingError
from ragstream.events import EventType, StreamEvent, advance
from ragstream.streamlog.base import Writer
from ragstream.telemetry import Metrics, get_logger

__all__ = ["UNWINDING", "Producer"]

UNWINDING = 3.0  # seconds that a generator has for its own clean-up, once it was told to end

_LOOK_EVERY = 16  # events; whether the log has room is asked so often, for each token would pay for it

_log = get_logger(__name__)
_DELTAS = frozenset({EventType.TEXT_DELTA, EventType.REASONING_DELTA, EventType.TOOL_CALL_DELTA})


class Producer:
    """One answer under way."""

    def __init__(
        self, run: AnswerRun, generator: AsyncGenerator[StreamEvent, None], metrics: Metrics
    ) -> None:
        self.run = run
        self.generator = generator
        self.readers = 0  # in this process
        self.unread = 0  # deltas that came while nobody was reading
        self.cause: BaseException | None = None  # why the generator was ended
        self.left_behind: asyncio.Task[None] | None = None  # a pull that did not end when it was told to
        self.writer: Writer
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # once all is stored
        self._before = run.answer.seq
        self._observe_gap = metrics.token_gap.observe
        self._last_delta: float | None = None
        self._pulling: asyncio.Task[None] | None = None
        self._patience: asyncio.TimerHandle | None = None  # with a generator that was told to end
        self._then: Callable[[], None]
        self._abandoned: AsyncGenerator[StreamEvent, None] | None = None

    @property
    def stream_id(self) -> str:
        """The answer's stream."""
        return self.run.question.stream_id

    @property
    def owner(self) -> str:
        """Whose question it answers."""
        return self.run.question.owner

    @property
    def session_id(self) -> str:
        """The conversation that it belongs to."""
        return self.run.question.session_id

    @property
    def events(self) -> int:
        """How many events were logged here."""
        return self.run.answer.seq - self._before

    def begin(self, then: Callable[[], None]) -> None:
        """Pull the generator, in a task, until it ends or is ended for a cause; call ``then`` in any case."""
        self._then = then
        if self.cause is not None:
            then()
            return
        self._pulling = asyncio.create_task(self._pull(self.generator), name=f"answer {self.stream_id}")
        self._pulling.add_done_callback(self._pulled)

    def end(self, cause: BaseException) -> None:
        """End the generator for this cause, unless the ending is decided or another cause was first."""
        if self.cause is None and self.run.ending is None:
            self.cause = cause
            if self._pulling is not None and self._pulling.cancel():
                loop = asyncio.get_running_loop()
                self._patience = loop.call_later(UNWINDING, self._leave_behind, self._pulling)

    async def finish(self) -> None:
        """Rescue the answer, if it has no ending now that its generator has ended."""
        if self.run.answer.ending is None:
            cause = self.cause or ProgrammingError("the answer's generator ended without an ending")
            await self._pull(self.run.rescue(cause))

    def _pulled(self, pulling: asyncio.Task[None]) -> None:
        if self._patience is not None:
            self._patience.cancel()
        if self.left_behind is not None:
            return
        fault = None if pulling.cancelled() else pulling.exception()
        self.cause = self.cause or fault
        self._then()

    def _leave_behind(self, pulling: asyncio.Task[None]) -> None:
        if pulling.done():  # at the last moment
            return
        self._abandoned = self.generator
        self.left_behind = pulling
        _log.warning(
            "generator does not end: it swallows its cancellation, or hangs in a finally",
            stream_id=self.stream_id,
            seconds=UNWINDING,
        )
        self._then()

    async def _pull(self, generator: AsyncGenerator[StreamEvent, None]) -> None:
        writer, answer = self.writer, self.run.answer
        async with aclosing(generator):
            async for event in generator:
                if generator is self._abandoned:
                    return
                phase = advance(answer.phase, event.type)  # what is illegal is not logged, and what is not
                seq = writer.append(event)  # logged is not part of the answer
                answer.take(event, phase)
                if event.type in _DELTAS:
                    self._measure()
                if not seq % _LOOK_EVERY:
                    await writer.room()
        await writer.flush()

    def _measure(self) -> None:
        now = perf_counter()
        if self._last_delta is not None:
            self._observe_gap(now - self._last_delta)
        self._last_delta = now
        if not self.readers:
            self.unread += 1
