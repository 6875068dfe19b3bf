"""Ragstream as a library: somebody's own pipeline, with the log, the protocols, resume and stop around it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ragstream.api.parts import About, ApiSettings
from ragstream.bootstrap.resources import started
from ragstream.bootstrap.service import Parts, Service
from ragstream.bootstrap.stores import database_stores, memory_stores
from ragstream.delivery.settings import DeliverySettings
from ragstream.identity.keys import ApiKeys
from ragstream.identity.local import LocalMode
from ragstream.knowledge.base import Retriever
from ragstream.llm import LLMClient, Timeouts
from ragstream.llm.generator import Answering, GeneratorProvider
from ragstream.llm.metrics import PrometheusObserver
from ragstream.streamlog.base import StreamLog
from ragstream.streamlog.memory import MemoryLog
from ragstream.streamlog.sqlite import SQLiteLog
from ragstream.telemetry import Metrics

__all__ = ["Ragstream"]


class Ragstream:
    """Serve the answers of an async generator; ``app`` mounts in any Starlette or FastAPI app.

    The generator is called with a ``ChatRequest`` for each question and yields text or events. It is pulled
    once, by one consumer; readers may leave, come back, come twice, or stop it. Hosts and origins are for the
    app around it to check.

    Starlette does not run the lifespan of a mounted app. So open it in your own (``async with ragstream:``),
    which also ends running answers at shutdown; else the first request opens it.

    Args:
        answer: the pipeline.
        folder: where sessions, history and logs are kept; without it, in memory.
        log: a stream log of your own, instead of the one in ``folder``.
        retriever: finds passages, which are put into the prompt and cited; without it the pipeline's text and
            sources are passed on as they are.
        api_keys: pairs of a name and a key; without any, everybody who can reach the app may ask.
        origins: web pages of other origins that may ask.
        deadline: seconds that one answer may take; within them the pipeline may be silent for as long as it
            likes.
        delivery: how streams are delivered.
    """

    def __init__(
        self,
        answer: Answering,
        *,
        folder: Path | str | None = None,
        log: StreamLog | None = None,
        retriever: Retriever | None = None,
        api_keys: Iterable[tuple[str, str]] = (),
        origins: Iterable[str] = (),
        deadline: float = 600.0,
        delivery: DeliverySettings | None = None,
    ) -> None:
        keys, metrics = tuple(api_keys), Metrics()
        observers = (PrometheusObserver(metrics.registry),)
        patience = Timeouts(first_token=deadline, between_tokens=deadline, total=deadline)  # it is its own
        caller = LLMClient(providers=[GeneratorProvider(answer)], timeouts=patience, observers=observers)
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
        log = log or (SQLiteLog(Path(folder) / "log.db") if folder else MemoryLog())
        stores = database_stores(Path(folder) / "app.db") if folder else memory_stores()
        self.service = Service(
            Parts(
                log=log,
                stores=stores,
                caller=caller,
                retriever=retriever,
                authenticator=ApiKeys(keys) if keys else LocalMode(),
                guard=_leave_to_the_host,
                about=About(version=version("ragstream"), model=caller.model, auth_required=bool(keys)),
                metrics=metrics,
                resources=(started(log), stores.opened),
                deadline=deadline,
                api=ApiSettings(cors_origins=tuple(origins)),
                delivery=delivery or DeliverySettings(),
            )
        )
        self.app: ASGIApp = _OpensItself(self.service)

    async def __aenter__(self) -> Self:
        await self.service.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.service.aclose()


class _OpensItself:
    """Opens the service at the first request, where nobody did before."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._service.start()
        await self._service.app(scope, receive, send)


def _leave_to_the_host(headers: Headers) -> None:
    """Check nothing: the app around it knows its hosts and origins."""
