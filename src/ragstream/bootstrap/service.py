"""Service: the parts of a running Ragstream, wired, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from fastapi import FastAPI
from starlette.datastructures import Headers

from ragstream import answer, feeds
from ragstream.answer import AnswerKit, AnswerSettings, LaneAnswerer
from ragstream.api.app import create_app
from ragstream.api.parts import About, ApiParts, ApiSettings
from ragstream.blueprint import Blueprint, bind, load_diagram
from ragstream.delivery import steps as delivery_steps
from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.settings import DeliverySettings
from ragstream.delivery.settling import settle
from ragstream.delivery.supervisor import Supervisor
from ragstream.events import Message, Question
from ragstream.feeds import Ingest
from ragstream.identity.base import Authenticator
from ragstream.knowledge.base import Retriever
from ragstream.llm.base import Caller
from ragstream.storage.base import Idempotency, Sessions, Turns
from ragstream.streamlog.base import StreamLog
from ragstream.telemetry.metrics import Metrics

__all__ = ["Parts", "Resource", "Service", "blueprint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Something that is opened before the first question and closed after the last answer."""

    start: Callable[[], Awaitable[None]]
    aclose: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The concrete parts of one service."""

    log: StreamLog
    sessions: Sessions
    turns: Turns
    idempotency: Idempotency
    caller: Caller
    retriever: Retriever | None
    authenticator: Authenticator
    guard: Callable[[Headers], None]
    about: About
    metrics: Metrics
    library: Ingest | None = None
    resources: tuple[Resource, ...] = ()  # opened in this order
    provider_options: frozenset[str] = frozenset()
    deadline: float = 600.0  # seconds for one answer
    api: ApiSettings = field(default_factory=lambda: ApiSettings(allowed_hosts=()))
    answers: AnswerSettings = field(default_factory=AnswerSettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)


class Service:
    """Answers questions, over HTTP through ``app`` or directly through ``ask``."""

    def __init__(self, parts: Parts) -> None:
        drawn = blueprint()
        kit = AnswerKit(
            turns=parts.turns,
            llm=parts.caller,
            retriever=parts.retriever,
            meter=parts.metrics,
            settings=parts.answers,
        )
        self.log = parts.log
        self.turns = parts.turns
        self.supervisor = Supervisor(parts.log, deadline=parts.deadline)
        self._answerer = LaneAnswerer(drawn.lane("answer"), kit, options=parts.provider_options)
        self._parts = parts
        self._exit = AsyncExitStack()
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
        """Open everything and settle what an earlier process left; then questions can be taken.

        Raises:
            ConfigError: a part cannot be used as it is set.
            StoreError: a store cannot be opened.
        """
        async with AsyncExitStack() as stack:
            for resource in self._parts.resources:
                stack.push_async_callback(resource.aclose)
                await resource.start()
            await settle(self.log, self.turns, self._answerer, self.supervisor)
            self._exit = stack.pop_all()
        self._missing = None

    async def drain(self, seconds: float) -> None:
        """Take no new questions, and give running answers ``seconds`` to end."""
        self._missing = "The server is shutting down."
        await self.supervisor.drain(seconds)

    async def aclose(self) -> None:
        """End what still runs, and close everything in reverse."""
        await self.drain(0)
        await self._exit.aclose()

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
            sessions=parts.sessions,
            turns=parts.turns,
            idempotency=parts.idempotency,
            settings=parts.delivery,
        )

    async def _ready(self) -> str | None:
        return self._missing

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG002
        await self.start()
        try:
            yield
        finally:
            await asyncio.shield(self.aclose())


def blueprint() -> Blueprint:
    """Return the diagram with its functions.

    Raises:
        BlueprintError: they disagree.
    """
    return bind(load_diagram(), (*delivery_steps.MODULES, *answer.MODULES, *feeds.MODULES))
