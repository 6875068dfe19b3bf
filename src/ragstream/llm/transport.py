"""Connections belong to the event loop: one pool for all providers on it, closed when the loop ends.

So a client needs no ``async with``, and making one for every request costs no connection. What closes the
pool is an async generator that waits for it: ``asyncio.run`` closes every generator of its loop before the
loop itself.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import ClassVar
from weakref import WeakSet

import aiohttp
import httpx2
import openai

from ragstream.errors import ErrorCode, ProviderError

__all__ = ["FAILURES", "Pool", "Read", "Refused", "read_capped", "reader_of", "shut", "unreachable"]

_KEEPALIVE = 30.0  # seconds that an idle connection is kept
_STRAGGLERS = 8  # passes of the loop, for generators that were dropped in its last moment to close
_ERROR_CAP = 64 << 10  # bytes of an error page that are read

Read = Callable[[], Awaitable[bytes]]  # the next piece of a body, nothing at its end


class Refused(Exception):
    """The server answered with a status that is not a success."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status, self.headers, self.body = status, headers, body


# What the SDK, the HTTP client under it and the transport under that may raise; a TypeError stays one.
FAILURES = (Refused, openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)


class Pool:
    """The HTTP connections of one event loop, over aiohttp."""

    _pools: ClassVar[dict[asyncio.AbstractEventLoop, Pool]] = {}

    def __init__(self) -> None:
        self.http = openai.DefaultAioHttpClient(
            limits=httpx2.Limits(max_connections=0, keepalive_expiry=_KEEPALIVE),  # 0: no limit, to aiohttp
            event_hooks={"response": [_refuse]},
        )
        self._users: WeakSet[object] = WeakSet()
        self._keeper = self._keep()

    @classmethod
    def of_running_loop(cls, user: object) -> Pool:
        """Return the pool of the running loop, and remember that ``user`` has connections in it."""
        loop = asyncio.get_running_loop()
        pool = cls._pools.get(loop)
        if pool is None:
            for ended in [other for other in cls._pools if other.is_closed()]:
                del cls._pools[ended]
            pool = cls._pools[loop] = cls()
            with suppress(StopIteration):
                pool._keeper.__anext__().send(None)  # its first step; from here on the loop will close it
        pool._users.add(user)
        return pool

    async def leave(self, user: object) -> None:
        """Give up ``user``'s share; the last one to leave closes the connections."""
        self._users.discard(user)
        if not self._users:
            await self._keeper.aclose()

    async def _keep(self) -> AsyncGenerator[None, None]:
        loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            self._pools.pop(loop, None)
            for _ in range(_STRAGGLERS):
                await asyncio.sleep(0)
            await self.http.aclose()


def reader_of(stream: httpx2.AsyncByteStream) -> Read:
    """Return what gives the next piece of the body as it comes, and nothing at its end.

    It is aiohttp's own reader: between it and ``aiter_raw`` stand three generators, which each token would
    pass. Where the SDK's transport is not what it was, the long way serves.
    """
    below = getattr(getattr(stream, "_stream", None), "_aiohttp_response", None)
    if below is not None:
        read: Read = below.content.readany
        return read
    pieces = aiter(stream)
    return lambda: anext(pieces, b"")


async def shut(response: httpx2.Response | httpx2.AsyncByteStream, read: Read) -> None:
    """Close the connection, then let what reads its body run into its end.

    Iterators that are merely dropped would be closed later, each by a task of its own.
    """
    await response.aclose()
    with suppress(Exception):
        while await read():
            pass


async def read_capped(response: httpx2.Response) -> bytes:
    """Return the beginning of the body: enough to say what went wrong."""
    pieces = response.aiter_raw()
    body = bytearray()
    try:
        async for piece in pieces:
            body += piece
            if len(body) >= _ERROR_CAP:
                break
    except httpx2.HTTPError:
        pass  # what came before the cut is still worth telling
    finally:
        await shut(response, lambda: anext(pieces, b""))
    return bytes(body[:_ERROR_CAP])


def unreachable(name: str, error: BaseException) -> ProviderError:
    """Make the error of a call that came to nothing before the provider answered.

    Its kind stands at the bottom: the SDK calls a refused connection and a cut one a timeout, too.
    """
    code, what, passing = ErrorCode.UPSTREAM_UNREACHABLE, "cannot be reached", True
    for cause in _causes(error):
        match cause:
            case aiohttp.ServerTimeoutError() | TimeoutError():
                code, what = ErrorCode.UPSTREAM_CONNECT_TIMEOUT, "did not accept the connection in time"
            case aiohttp.ClientConnectorDNSError() | socket.gaierror():
                what = "cannot be found: its host name is unknown"
            case aiohttp.ClientSSLError() | ssl.SSLError():
                what, passing = "cannot be trusted: the TLS handshake failed", False
            case aiohttp.ClientConnectorError() | ConnectionRefusedError():
                what = "refused the connection: nothing listens there"
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
                what = "closed the connection before it answered"
            case aiohttp.ClientResponseError() | httpx2.TooManyRedirects():
                code, what, passing = (
                    ErrorCode.UPSTREAM_PROTOCOL,
                    "did not answer as an HTTP server does",
                    False,
                )
            case _:
                continue
        break
    return ProviderError(f"{name} {what}", code=code, provider=name, retryable=passing)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield what an SDK error was raised from, the SDK's own layers left out."""
    while error is not None:
        if not isinstance(error, httpx2.TransportError | openai.OpenAIError):
            yield error
        error = error.__cause__ or error.__context__


async def _refuse(response: httpx2.Response) -> None:
    """Stop at a bad status, before the SDK would read an error page of any length."""
    if not (response.is_success or response.has_redirect_location):
        raise Refused(response.status_code, response.headers, await read_capped(response))
