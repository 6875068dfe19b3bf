"""Any OpenAI-compatible server as a provider: the SDK's head of a request, our own reading of the answer.

Importing this module imports the SDK, which takes a second; so it is imported where a provider is made.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec
from openai import AsyncOpenAI, Timeout

from ragstream.errors import ConfigError, ErrorCode, ProviderError
from ragstream.events import StreamEvent, without_surrogates
from ragstream.llm.base import ChatRequest
from ragstream.llm.chunks import ChatStream
from ragstream.llm.failures import bad_status
from ragstream.llm.transport import FAILURES, Pool, error_page, proxy_for, shut, unreachable
from ragstream.llm.wire import ALL_FEATURES, Feature, chat_body

__all__ = ["OpenAIProvider"]

_OPENAI = "https://api.openai.com/v1"

_AFTER_FINISH = 5.0  # seconds to wait for usage and [DONE] once the answer is whole
_AFTER_DONE = 0.05  # seconds to wait for the end of the body, without which a connection is not used again


class _Model(msgspec.Struct):
    id: str


class _Page(msgspec.Struct):
    """What ``/models`` answers."""

    data: list[_Model] | None


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
        if self._key and "@" in urlsplit(self.base_url).netloc:
            raise ConfigError("The base URL names a user, and there is an API key: only one of them is sent")
        # aiohttp's "connect" includes the name look-up
        self._timeout = aiohttp.ClientTimeout(connect=connect_timeout, sock_connect=connect_timeout)
        self._takes = frozenset(takes)
        self._usage = usage
        self._max_tokens = "max_completion_tokens" if host == "api.openai.com" else "max_tokens"
        self._client: AsyncOpenAI | None = None
        self._proxy = proxy_for(self.base_url)
        self._headers: dict[str, str] = {}  # of each request, once there is a client

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
                timeout=Timeout(None, connect=self._timeout.connect, pool=self._timeout.connect),
            )
            self._headers = _headers(client, keyed=bool(self._key))
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
        content = self._encoded(self._body(request, model), streamed=request.stream)
        answer = await self._open("POST", "chat/completions", content)
        read = answer.content.readany
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
            await shut(answer)
        for event in stream.ending():
            yield event

    async def models(self) -> list[str]:
        """Return the ids of the models that the server offers.

        Raises:
            ProviderError: it could not be asked.
        """
        answer = await self._open("GET", "models")
        try:
            page = msgspec.json.decode(await answer.read(), type=_Page)
        except FAILURES as error:
            raise self._cut() from error
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise self._protocol("did not list its models as OpenAI does") from error
        finally:
            await shut(answer)
        return sorted(model.id for model in page.data or ())

    async def aclose(self) -> None:
        """Give the connections back; other providers on this loop may go on using theirs."""
        self._client = None
        await Pool.of_running_loop(self).leave(self)

    async def _open(self, method: str, path: str, content: bytes | None = None) -> aiohttp.ClientResponse:
        """Send a request as it is, for the SDK would make its head anew; return the answer, to be shut."""
        self.get_client()
        try:
            answer = await Pool.of_running_loop(self).session.request(
                method,
                f"{self.base_url.rstrip('/')}/{path}",
                headers=self._headers,
                data=content,
                timeout=self._timeout,
                proxy=self._proxy,
            )
        except FAILURES as error:
            raise unreachable(self.name, error) from error
        except ValueError as error:  # of a user in a URL, ours or that of a redirect
            raise self._protocol("cannot be asked: its URL, or the one it redirects to, is none") from error
        try:
            await self._check(answer)
        except BaseException:
            await shut(answer)
            raise
        return answer

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

    async def _check(self, answer: aiohttp.ClientResponse) -> None:
        if (
            answer.status in {401, 403}
            and answer.history
            and answer.url.origin() != answer.history[0].url.origin()
        ):
            raise self._protocol(
                f"redirects to {answer.url.origin()}, where no key goes: set the base URL to that"
            )
        if not 200 <= answer.status < 300:
            raise bad_status(self.name, answer.status, answer.headers, await error_page(answer), self._key)
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise self._protocol("sent a compressed body, unasked")
        if answer.headers.get("content-type", "").startswith("text/html"):
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


async def _late(read: Callable[[], Awaitable[bytes]], until: float) -> bytes:
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


def _headers(client: AsyncOpenAI, *, keyed: bool) -> dict[str, str]:
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
    said = {name: value for name, value in head.items() if isinstance(value, str)}
    if not all(text.isascii() and text.isprintable() for line in said.items() for text in line):
        raise ConfigError(
            "OPENAI_ORG_ID, OPENAI_PROJECT_ID or OPENAI_CUSTOM_HEADERS is not printable ASCII: no header "
            "carries it"
        )
    return said


def _checked(key: str | None) -> str | None:
    key = key and key.strip()
    if key and not (key.isascii() and key.isprintable()):
        raise ConfigError("The API key has characters that a header cannot carry: copy it anew")
    return key
