"""What every request passes: its id, and the check of Host and Origin. Pure ASGI, so streams stay streams."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragstream.api.forms import told_error
from ragstream.errors import RequestError

__all__ = ["Guard", "RequestId", "request_id"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id(scope: Scope) -> str:
    """Return the id of the request."""
    return str(scope["state"]["request_id"])


class RequestId:
    """Takes ``X-Request-Id`` in, or makes one, and gives it back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = name

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = name
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=name):
            await self._app(scope, receive, send_with_id)


class Guard:
    """Refuses a foreign Host (DNS rebinding) or Origin before anything else looks at the request."""

    def __init__(self, app: ASGIApp, *, check: Callable[[Headers], None]) -> None:
        self._app = app
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(Headers(scope=scope))
            except RequestError as refusal:
                await told_error(scope, refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)
