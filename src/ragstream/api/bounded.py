"""Bodies that the framework reads: bounded before any of them is kept.

The framework parses a form, files and all, before it asks any dependency who the caller is, and spools the
files to disk without a limit of bytes or time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message

from ragstream.api.caller import authenticated
from ragstream.api.parts import ApiParts
from ragstream.errors import BodyTooLarge, RequestError, RequestTimeout

__all__ = ["BoundedRoute"]

_ENVELOPE = 64 * 1024  # bytes that a form takes around its file


class BoundedRoute(APIRoute):
    """Refuses a caller without a key, a body beyond the limit of uploads, and one that stops to arrive."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler, behind the limits."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            parts: ApiParts = request.app.state.parts
            await authenticated(request, parts)
            body = _Body(request, parts)
            try:
                return await handle(Request(request.scope, body.receive))
            except HTTPException:  # what the framework makes of any fault while it parses
                if body.fault is not None:
                    raise body.fault from None
                raise

        return bounded


class _Body:
    def __init__(self, request: Request, parts: ApiParts) -> None:
        self._receive = request.receive
        self._limit = parts.settings.upload_max
        self._patience = parts.kit.settings.body_deadline
        self._size = 0
        self.fault: RequestError | None = None

    async def receive(self) -> Message:
        try:
            async with asyncio.timeout(self._patience):
                message = await self._receive()
        except TimeoutError:
            self.fault = RequestTimeout(f"Nothing of the body arrived for {self._patience:g} s.")
            raise self.fault from None
        self._size += len(message.get("body", b""))
        if self._size > self._limit + _ENVELOPE:
            self.fault = BodyTooLarge(f"The file is larger than the limit of {self._limit} bytes.")
            raise self.fault
        return message
