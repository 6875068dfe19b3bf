"""Connections belong to the event loop: one pool for all providers on it, closed when the loop ends.

So a client needs no ``async with``, and making one for every request costs no connection. What closes the
pool is an async generator that waits for it: ``asyncio.run`` closes every generator of its loop before the
loop itself.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import ClassVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
import httpx2
import openai

from ragstream.errors import ConfigError, ErrorCode, ProviderError

__all__ = ["FAILURES", "Pool", "error_page", "proxy_for", "shut", "unreachable"]

_KEEPALIVE = 30.0  # seconds that an idle connection is kept
_NO_LIMIT = 0  # of connections, as aiohttp says it
_STRAGGLERS = 8  # passes of the loop, for generators that were dropped in its last moment to close
_ERROR_CAP = 64 << 10  # bytes of an error page that are read
_WRONG_PROXY = (
    "The environment names a proxy that is not an HTTP one: unset ALL_PROXY, or set HTTP_PROXY or NO_PROXY"
)

FAILURES = (aiohttp.ClientError, OSError)  # of a call


class Pool:
    """The HTTP connections of one event loop: those that answers come over, and those of the SDK's client."""

    _pools: ClassVar[dict[asyncio.AbstractEventLoop, Pool]] = {}

    def __init__(self) -> None:
        certificates = _certificates()
        try:
            self.http = openai.DefaultAioHttpClient(
                limits=httpx2.Limits(max_connections=_NO_LIMIT, keepalive_expiry=_KEEPALIVE),
                verify=certificates,
            )
        except (ValueError, httpx2.InvalidURL):
            raise ConfigError(_WRONG_PROXY) from None
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_NO_LIMIT, keepalive_timeout=_KEEPALIVE, ssl=certificates),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
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
            await self.session.close()
            await self.http.aclose()


def _certificates() -> ssl.SSLContext:
    """Return those that the SDK would take.

    Raises:
        ConfigError: the environment names others, which cannot be read.
    """
    try:
        return httpx2.create_ssl_context()
    except OSError as error:  # of the file, or of what is in it
        raise ConfigError(
            "SSL_CERT_FILE or SSL_CERT_DIR names no certificates that can be read "
            f"({error.strerror or error}): set it to a file or folder of PEM certificates, or unset it"
        ) from error


def proxy_for(url: str) -> str | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name for ``url``.

    Raises:
        ConfigError: it is of another kind than HTTP.
    """
    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]) or _is_spared(parts.hostname or ""):
        return None
    if "://" not in proxy:
        return f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise ConfigError(_WRONG_PROXY)
    return proxy


def _is_spared(host: str) -> bool:
    """Return whether NO_PROXY names the host in a form that the standard library does not know."""
    for name in map(str.strip, getproxies().get("no", "").split(",")):
        if name == "*" or (name.startswith("*.") and host.endswith(name[1:])):
            return True
        with suppress(ValueError):  # a name, not an address
            if ip_address(host) in ip_network(name.strip("[]"), strict=False):
                return True
    return False


async def shut(response: aiohttp.ClientResponse) -> None:
    """Give the connection back if the body was read to its end, else close it."""
    response.release()
    await response.wait_for_close()


async def error_page(response: aiohttp.ClientResponse) -> bytes:
    """Return the beginning of the body: enough to say what went wrong."""
    body = bytearray()
    with suppress(*FAILURES):  # what came before a cut is still worth telling
        while len(body) < _ERROR_CAP and (piece := await response.content.readany()):
            body += piece
    return bytes(body[:_ERROR_CAP])


def unreachable(name: str, error: BaseException) -> ProviderError:
    """Make the error of a call that came to nothing before the provider answered."""
    code, what, passing = ErrorCode.UPSTREAM_UNREACHABLE, "cannot be reached", True
    for cause in _causes(error):
        match cause:
            case aiohttp.ServerTimeoutError() | TimeoutError():
                code, what = ErrorCode.UPSTREAM_CONNECT_TIMEOUT, "did not accept the connection in time"
            case aiohttp.ClientProxyConnectionError():
                what = "cannot be reached, for its proxy does not answer"
            case aiohttp.ClientHttpProxyError(status=status):
                what, passing = f"cannot be reached: its proxy answered {status}", status >= 500
            case aiohttp.ClientConnectorDNSError() | socket.gaierror():
                what = "cannot be found: its host name is unknown"
            case aiohttp.ClientSSLError() | ssl.SSLError():
                what, passing = "cannot be trusted: the TLS handshake failed", False
            case aiohttp.ClientConnectorError() | ConnectionRefusedError():
                what = "refused the connection: nothing listens there"
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
                what = "closed the connection before it answered"
            case aiohttp.ClientResponseError():
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
    """Yield the error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
