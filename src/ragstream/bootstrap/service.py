"""Service: the parts of a running Ragstream, wired, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers

from ragstream.answer import AnswerKit, AnswerSettings, LaneAnswerer
from ragstream.api.app import create_app
from ragstream.api.parts import About, ApiParts, ApiSettings
from ragstream.bootstrap.binding import bind_blueprint
from ragstream.bootstrap.stores import Stores
from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.settings import DeliverySettings
from ragstream.delivery.settling import Settler
from ragstream.delivery.supervisor import Supervisor
from ragstream.events import Message, Question
from ragstream.feeds import Ingest
from ragstream.identity.base import Authenticator
from ragstream.knowledge.base import Retriever
from ragstream.llm.base import Caller
from ragstream.streamlog.base import StreamLog
from ragstream.telemetry import Metrics

__all__ = ["Parts", "Service"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The concrete parts of one service."""

    log: StreamLog
    stores: Stores
    caller: Caller
    retriever: Retriever | None
    authenticator: Authenticator
    guard: Callable[[Headers], None]
    about: About
    metrics: Metrics
    library: Ingest | None = None
    resources: tuple[AbstractAsyncContextManager[object], ...] = ()  # entered in this order
    provider_options: frozenset[str] = frozenset()
    deadline: float = 600.0  # seconds for one answer
    settles: bool = True  # False: another process ends the answers whose process died
    checks: tuple[Callable[[], Awaitable[str | None]], ...] = ()  # each says what is missing, if anything is
    api: ApiSettings = field(default_factory=ApiSettings)
    answers: AnswerSettings = field(default_factory=AnswerSettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)


class Service:
    """Answers questions, over HTTP through ``app`` or directly through ``ask``."""

    def __init__(self, parts: Parts) -> None:
        drawn = bind_blueprint(parts.metrics)
        kit = AnswerKit(
            turns=parts.stores.turns,
            llm=parts.caller,
            retriever=parts.retriever,
            meter=parts.metrics,
            settings=parts.answers,
        )
        self.log = parts.log
        self.library = parts.library
        self.turns = parts.stores.turns
        self.supervisor = Supervisor(parts.log, parts.metrics, parts.delivery, deadline=parts.deadline)
        self._answerer = LaneAnswerer(drawn.lane("answer"), kit, options=parts.provider_options)
        self._settler = Settler(
            parts.log,
            self.turns,
            self._answerer,
            self.supervisor,
            lost_after=parts.delivery.lost_after,
        )
        self._parts = parts
        self._opening = asyncio.Lock()
        self._exit: AsyncExitStack | None = None  # what is open; None before start and after aclose
        self._missing: str | None = "The server is starting."
        self.app = create_app(
            ApiParts(
                lane=drawn.lane("request"),
                kit=self._delivery_kit(),
                about=parts.about,
                settings=parts.api,
                library=parts.library,
                ready=self._ready,
                metrics=parts.metrics.exposition,
            ),
            guard=parts.guard,
            lifespan=self._lifespan,
        )

    async def start(self) -> None:
        """Open everything and settle what an earlier process left; then questions can be taken. Idempotent.

        Raises:
            ConfigError: a part cannot be used as it is set.
            StoreError: a store cannot be opened.
        """
        async with self._opening:
            if self._exit is None:
                self._exit = await self._open()
                self._missing = None

    async def _open(self) -> AsyncExitStack:
        async with AsyncExitStack() as stack:
            for resource in self._parts.resources:
                await stack.enter_async_context(resource)
            if self._parts.settles:
                await self._settler.settle()
                await stack.enter_async_context(_beside(self._settler.watch()))
            return stack.pop_all()

    def move_readers(self) -> int:
        """Ask every reader that can resume to come back in a moment, for another worker to serve it.

        Their responses end at once, between two events, without DONE and each with a ``retry:`` of its own;
        who comes later over an open connection is asked the same. Readers of protocols that cannot resume
        stay until their answer's end. Returns how many were asked.
        """
        return self.supervisor.readers.move()

    async def drain(self, seconds: float) -> None:
        """Take no new questions, and give running answers ``seconds`` to end."""
        self._missing = "The server is shutting down."
        await self.supervisor.drain(seconds)

    async def aclose(self) -> None:
        """End what still runs, and close everything in reverse. Idempotent."""
        await self.drain(0)
        async with self._opening:
            if self._exit is not None:
                await self._exit.aclose()
                self._exit = None

    async def ask(self, text: str) -> str:
        """Begin to answer a question of nobody in particular; return the stream to read."""
        question = Question(
            stream_id=secrets.token_hex(16),
            message_id=secrets.token_hex(16),
            session_id=secrets.token_hex(16),
            request_id=secrets.token_hex(8),
            owner="local",
            messages=(Message(role="user", content=text),),
            continues=False,
            created=int(time.time()),
        )
        run = self._answerer.prepare(question)
        await self.supervisor.start(run, run.events())
        return question.stream_id

    def _delivery_kit(self) -> DeliveryKit:
        parts = self._parts
        return DeliveryKit(
            authenticator=parts.authenticator,
            answerer=self._answerer,
            supervisor=self.supervisor,
            log=parts.log,
            sessions=parts.stores.sessions,
            turns=parts.stores.turns,
            idempotency=parts.stores.idempotency,
            metrics=parts.metrics,
            settings=parts.delivery,
        )

    async def _ready(self) -> str | None:
        if self._missing is not None:
            return self._missing
        if not await self._parts.stores.healthy():
            return "The database does not take writes; see the server's log."
        if self.supervisor.log_fails or (self._parts.settles and await self.log.orphans()):
            return "The stream log does not take events; see the server's log."
        for check in self._parts.checks:
            if (missing := await check()) is not None:
                return missing
        return None

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG002
        await self.start()
        try:
            yield
        finally:
            await asyncio.shield(self.aclose())


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let ``work`` run for as long as the block lasts."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
