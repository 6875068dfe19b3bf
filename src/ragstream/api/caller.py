"""Who calls a route that is not a chat: authentication, strict bodies, and the parts of the app.

What a route depends on is a coroutine, though it waits for nothing: a plain function is sent to a thread.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from ragstream.api.json_body import parse_json
from ragstream.api.parts import ApiParts
from ragstream.api.schemas import parse
from ragstream.errors import BodyTooLarge, NotFound, ReaderLeft, RequestTimeout
from ragstream.feeds import Ingest
from ragstream.identity.base import Credentials, Principal

__all__ = ["Caller", "Parts", "authenticated", "body_of", "library_of"]

Body = TypeVar("Body", bound=BaseModel)


async def _parts(request: Request) -> ApiParts:
    parts: ApiParts = request.app.state.parts
    return parts


Parts = Annotated[ApiParts, Depends(_parts)]


async def authenticated(request: Request, parts: Parts) -> Principal:
    """Return who calls, or refuse."""
    credentials = Credentials(
        authorization=tuple(request.headers.getlist("authorization")),
        query_keys=tuple(request.query_params.keys()),
    )
    return parts.kit.authenticator.authenticate(credentials)


Caller = Annotated[Principal, Depends(authenticated)]


async def body_of(request: Request, parts: ApiParts, model: type[Body]) -> Body:
    """Return the request's body as ``model``; an empty one is an empty object.

    Raises:
        RequestError: it cannot be read.
    """
    patience = parts.kit.settings.body_deadline
    try:
        async with asyncio.timeout(patience):
            body = await _read(request, parts.kit.settings.max_body)
    except TimeoutError:
        raise RequestTimeout(f"The body did not arrive within {patience:g} s.") from None
    except ClientDisconnect:
        raise ReaderLeft("The client left before its request was whole.") from None
    return parse(model, parse_json(body) if body else {})


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise BodyTooLarge(f"The body is larger than the limit of {limit} bytes.")
    return bytes(body)


def library_of(parts: ApiParts) -> Ingest:
    """Return the documents behind the answers.

    Raises:
        NotFound: this app answers without documents of its own.
    """
    if parts.library is None:
        raise NotFound("This server answers without documents of its own.")
    return parts.library
