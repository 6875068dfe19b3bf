"""What every request passes: its id, and the check of its head. Pure ASGI, so streams stay streams."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragstream.api.forms import failed, told_error
from ragstream.errors import BadRequest, HeadersTooLarge, RagstreamError, RequestError, URLTooLong

__all__ = ["Guard", "RequestId", "request_id"]

Work = Callable[[], Awaitable[None]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_MOST_HEADERS = 100
_HEADERS_SIZE = 32 * 1024  # bytes, names and values of all
_URL_SIZE = 8 * 1024  # bytes, path and query


def request_id(scope: Scope) -> str:
    """Return the id of the request."""
    return str(scope["state"]["request_id"])


class RequestId:
    """Takes ``X-Request-Id`` in, or makes one, and gives it back.

    Whoever sends for long waits until all the layers below have returned, by ``scope["state"]["run_later"]``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        later, started = list[tuple[Work, Send]](), False
        scope.setdefault("state", {}).update(request_id=name, run_later=later.append)
        known = dict(scope)

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["x-request-id"] = name
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=name):
            await self._app(scope, receive, send_with_id)
            scope.clear()  # of what the layers noted, which have returned
            scope.update(known)
            del known
            for work, send_through in later:
                try:
                    await work()
                except RagstreamError as error:
                    if started:
                        raise
                    await failed(scope, error)(scope, receive, send_through)


class Guard:
    """Refuses a foreign Host (DNS rebinding) or Origin, and a head without measure, before all else."""

    def __init__(self, app: ASGIApp, *, check: Callable[[Headers], None]) -> None:
        self._app = app
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                _check_size(scope)
                self._check(Headers(scope=scope))
            except RequestError as refusal:
                reply = told_error(scope, refusal)
                reply.headers["connection"] = "close"  # where its body ends is not to be trusted
                await reply(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _check_size(scope: Scope) -> None:
    headers = scope["headers"]
    if len(headers) > _MOST_HEADERS:
        raise HeadersTooLarge(f"The request has {len(headers)} headers; the limit is {_MOST_HEADERS}.")
    if sum(len(name) + len(value) for name, value in headers) > _HEADERS_SIZE:
        raise HeadersTooLarge(f"The headers are larger than the limit of {_HEADERS_SIZE} bytes.")
    if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > _URL_SIZE:
        raise URLTooLong(f"The URL is longer than the limit of {_URL_SIZE} bytes.")
    names = [name for name, _ in headers]
    if b"transfer-encoding" in names and b"content-length" in names:  # two ends: a way to smuggle requests
        raise BadRequest("The body has a Content-Length and a Transfer-Encoding; send one of them.")
