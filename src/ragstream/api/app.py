"""The HTTP application: routes, middleware and error handling around the request lane."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from ragstream.api import errors, openapi, page
from ragstream.api.middleware import Guard, RequestId
from ragstream.api.parts import ApiParts
from ragstream.api.routes import chat, completions, documents, responses, service, sessions, streams, ui

__all__ = ["create_app"]

# What openai-node sends from a page with every request.
_OPENAI_HEADERS = (
    "openai-organization",
    "openai-project",
    *(
        f"x-stainless-{name}"
        for name in (
            "arch", "helper-method", "lang", "os", "package-version", "retry-count", "runtime",
            "runtime-version", "timeout",
        )
    ),
)  # fmt: skip
_ROUTERS = (
    chat.router,
    completions.router,
    responses.router,
    ui.router,
    streams.router,
    sessions.router,
    documents.router,
    service.router,
)


def create_app(
    parts: ApiParts,
    *,
    guard: Callable[[Headers], None],
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
) -> FastAPI:
    """Return the application over ``parts``; ``guard`` refuses foreign hosts and origins by raising."""
    app = FastAPIOffline(  # its /docs loads nothing from elsewhere
        title="Ragstream",
        version=parts.about.version,
        summary="Answers from your documents, streamed while they are written.",
        redoc_url=None,
        lifespan=lifespan,
        middleware=[
            Middleware(RequestId),
            Middleware(Guard, check=guard),
            *_cors(parts.settings.cors_origins),
        ],
    )
    app.state.parts = parts
    for router in _ROUTERS:
        app.include_router(router)
    errors.install(app)
    openapi.install(app)
    if parts.settings.web is not None:
        page.install(app, parts.settings.web)
    return app


def _cors(origins: tuple[str, ...]) -> list[Middleware]:
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_credentials=True,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=[
                "authorization",
                "content-type",
                "idempotency-key",
                "last-event-id",
                "x-request-id",
                *_OPENAI_HEADERS,
            ],
            expose_headers=[
                "x-stream-id",
                "x-session-id",
                "x-request-id",
                "retry-after",
                "x-should-retry",  # what openai-node looks for
            ],
        )
    ]
