"""Any OpenAI-compatible server as a provider: the SDK's auth and connections, our own reading of it.

Importing this module imports the SDK, which takes a second; so it is imported where a provider is made.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Collection
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
import msgspec
from openai import AsyncOpenAI, Omit, Timeout

from ragstream.errors import ConfigError, ErrorCode, ProviderError
from ragstream.events import StreamEvent, without_surrogates
from ragstream.llm.base import ChatRequest
from ragstream.llm.chunks import ChatStream
from ragstream.llm.failures import bad_status
from ragstream.llm.transport import FAILURES, Pool, Read, Refused, reader_of, shut, unreachable
from ragstream.llm.wire import ALL_FEATURES, Feature, chat_body

__all__ = ["OpenAIProvider"]

_OPENAI = "https://api.openai.com/v1"

_AFTER_FINISH = 5.0  # seconds to wait for usage and [DONE] once the answer is whole
_AFTER_DONE = 0.05  # seconds to wait for the end of the body, without which a connection is not used again


class OpenAIProvider:
    """Ask one model of one server that speaks OpenAI's Chat Completions.

    Args:
        model: the model to ask for; a request may name another.
        api_key: sent as a bearer token; a local server needs none.
        base_url: where ``/chat/completions`` is; OpenAI's own if not given.
        name: what logs, metrics and errors call it; the host of the base URL if not given.
        connect_timeout: seconds for the name look-up, the connection and TLS.
        takes: what it can be given besides text; anything else is refused before the call.
        usage: ask for token counts; a few servers refuse to be asked.

    Raises:
        ConfigError: the base URL or the key cannot be one, or OpenAI's own is asked without a key.
    """

    def __init__(
        self,
        model: str = "",
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        name: str | None = None,
        connect_timeout: float = 10.0,
        takes: Collection[Feature] = ALL_FEATURES,
        usage: bool = True,
    ) -> None:
        self.base_url = base_url or _OPENAI
        host = _host(self.base_url)
        if not api_key and self.base_url == _OPENAI:
            raise ConfigError(
                "OPENAI_API_KEY is not set: set it, or OPENAI_BASE_URL for a server of your own"
            )
        self.name = name or host
        self.model = model
        self._key = _checked(api_key)
        # aiohttp's "pool" includes the name look-up
        self._timeout = Timeout(None, connect=connect_timeout, pool=connect_timeout)
        self._takes = frozenset(takes)
        self._usage = usage
        self._max_tokens = "max_completion_tokens" if host == "api.openai.com" else "max_tokens"
        self._client: AsyncOpenAI | None = None
        self._url, self._headers = httpx2.URL(), httpx2.Headers()  # of each request, once there is a client

    @classmethod
    def from_environment(
        cls, model: str | None = None, *, api_key: str | None = None, base_url: str | None = None
    ) -> Self:
        """Take what is not given from RAGSTREAM_MODEL, OPENAI_API_KEY and OPENAI_BASE_URL.

        Raises:
            ConfigError: there is neither a key nor a base URL.
        """
        return cls(
            model or os.environ.get("RAGSTREAM_MODEL", ""),
            api_key=api_key or os.environ.get("OPENAI_API_KEY"),
            base_url=base_url or os.environ.get("OPENAI_BASE_URL"),
        )

    def __repr__(self) -> str:
        url = urlsplit(self.base_url)._replace(netloc=_host(self.base_url)).geturl()  # without a password
        return f"OpenAIProvider({self.model!r}, base_url={url!r}, name={self.name!r})"

    def get_client(self) -> AsyncOpenAI:
        """Return the SDK's client for the running loop; its own retries are off."""
        http = Pool.of_running_loop(self).http
        if self._client is None or self._client._client is not http:  # noqa: SLF001 - has no public name
            client = AsyncOpenAI(
                api_key=self._key or "none",
                base_url=self.base_url,
                http_client=http,
                max_retries=0,
                timeout=self._timeout,
            )
            self._headers = _headers(client, keyed=bool(self._key))
            self._url = client.base_url.copy_with(raw_path=client.base_url.raw_path + b"chat/completions")
            self._client = client
        return self._client

    async def attempt(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Ask once; see ``Provider.attempt``.

        Raises:
            ConfigError: no model is set; the message lists what the server offers.
        """
        model = request.model or self.model or await self._choose()
        stream = ChatStream(self.name, self._key)
        clock = asyncio.get_running_loop().time
        answer, read = await self._open(self._body(request, model), streamed=request.stream)
        try:
            while not (stream.finished or stream.done):
                try:
                    piece = await read()
                except FAILURES as error:
                    raise self._cut() from error
                if not piece:
                    break
                for event in stream.feed(piece):
                    yield event
            until = clock() + _AFTER_FINISH
            while stream.finished and not stream.done and (piece := await _late(read, until)):
                for event in stream.feed(piece):
                    yield event
            for event in stream.end():
                yield event
            if stream.done:
                await _late(read, clock() + _AFTER_DONE)
        finally:  # not a context manager from a generator: a loop that ends closes generators all at once
            await shut(answer, read)
        for event in stream.ending():
            yield event

    async def models(self) -> list[str]:
        """Return the ids of the models that the server offers.

        Raises:
            ProviderError: it could not be asked.
        """
        without_key: dict[str, Any] = {} if self._key else {"Authorization": Omit()}
        try:
            page = await self.get_client().models.list(extra_headers=without_key)
        except FAILURES as error:
            raise self._failed(error) from error
        return sorted(model.id for model in page.data)

    async def aclose(self) -> None:
        """Give the connections back; other providers on this loop may go on using theirs."""
        self._client = None
        await Pool.of_running_loop(self).leave(self)

    async def _open(self, body: dict[str, Any], *, streamed: bool) -> tuple[httpx2.AsyncByteStream, Read]:
        """Send the request; return the answer's body, to be shut, and what reads it."""
        response = await self._send(self._encoded(body, streamed=streamed))
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)  # noqa: S101 - its client is an asynchronous one
        read = reader_of(stream)
        try:
            self._check(response)
        except ProviderError:
            await shut(stream, read)
            raise
        return stream, read

    def _body(self, request: ChatRequest, model: str) -> dict[str, Any]:
        return chat_body(
            request,
            provider=self.name,
            model=model,
            takes=self._takes,
            max_tokens_name=self._max_tokens,
        )

    def _encoded(self, body: dict[str, Any], *, streamed: bool) -> bytes:
        how: dict[str, Any] = {"stream": streamed}
        if streamed and self._usage:
            how["stream_options"] = {"include_usage": True}
        try:
            return msgspec.json.encode(how | body)
        except UnicodeEncodeError:  # half a character, as cutting UTF-16 or a strange file name leaves it
            return msgspec.json.encode(how | without_surrogates(body))

    async def _send(self, content: bytes) -> httpx2.Response:
        """Send the body as it is: the SDK would make the same head anew each time."""
        http = self.get_client()._client  # noqa: SLF001 - has no public name
        request = httpx2.Request(
            "POST",
            self._url,
            headers=self._headers,
            content=content,
            extensions={"timeout": self._timeout.as_dict()},
        )
        try:
            return await http.send(request, stream=True)
        except FAILURES as error:
            raise self._failed(error) from error

    def _check(self, response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise self._protocol("sent a compressed body, unasked")
        if response.headers.get("content-type", "").startswith("text/html"):
            raise self._protocol("answered with a web page: is the base URL right?")

    async def _choose(self) -> str:
        offered = ", ".join((await self.models())[:20]) or "nothing"
        raise ConfigError(f"No model is set: set RAGSTREAM_MODEL to one that {self.name} offers: {offered}")

    def _cut(self) -> ProviderError:
        return ProviderError(
            f"{self.name}: the connection was cut before the answer was finished",
            code=ErrorCode.UPSTREAM_TRUNCATED,
            provider=self.name,
            retryable=True,
        )

    def _protocol(self, what: str) -> ProviderError:
        return ProviderError(f"{self.name} {what}", code=ErrorCode.UPSTREAM_PROTOCOL, provider=self.name)

    def _failed(self, error: Exception) -> ProviderError:
        if isinstance(error, Refused):
            return bad_status(self.name, error.status, error.headers, error.body, self._key)
        return unreachable(self.name, error)


async def _late(read: Read, until: float) -> bytes:
    """Return what follows a whole answer, nothing if it does not come: the answer outlives its connection."""
    try:
        async with asyncio.timeout_at(until):
            return await read()
    except FAILURES:
        return b""


def _host(url: str) -> str:
    with suppress(ValueError):  # of the port, or of an IPv6 address
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts.netloc.rpartition("@")[2]
    raise ConfigError("The base URL is none: it looks like http://127.0.0.1:8000/v1, with http or https")


def _headers(client: AsyncOpenAI, *, keyed: bool) -> httpx2.Headers:
    """Return the head of each request, as the SDK would make it, less what it tells of the machine.

    Raises:
        ConfigError: the SDK's environment variables hold what no header can carry.
    """
    head = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # one flush less between a token and its reader
        "Content-Type": "application/json",
        "User-Agent": client.user_agent,
        "OpenAI-Organization": client.organization,
        "OpenAI-Project": client.project,
        **(client.auth_headers if keyed else {}),
        **client._custom_headers,  # noqa: SLF001 - of OPENAI_CUSTOM_HEADERS, as a gateway may need them
    }
    try:
        return httpx2.Headers({name: value for name, value in head.items() if isinstance(value, str)})
    except UnicodeEncodeError:
        raise ConfigError(
            "OPENAI_ORG_ID, OPENAI_PROJECT_ID or OPENAI_CUSTOM_HEADERS is not ASCII: no header carries it"
        ) from None


def _checked(key: str | None) -> str | None:
    key = key and key.strip()
    if key and not (key.isascii() and key.isprintable()):
        raise ConfigError("The API key has characters that a header cannot carry: copy it anew")
    return key
