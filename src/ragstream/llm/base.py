"""A provider: something that writes an answer, one attempt at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol

import msgspec

from ragstream.events import Message, Options, Passage, StreamEvent
from ragstream.llm.policy import RetryPolicy

__all__ = ["Caller", "ChatRequest", "Provider", "ToolSpec"]


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the model may call: its name, what it does, and the JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is asked to answer."""

    messages: tuple[Message, ...]
    model: str | None = None  # None: the provider's own
    options: Options = Options()
    tools: tuple[ToolSpec, ...] = ()
    stream: bool = True  # False: nobody reads before the end, so the answer may come in one piece
    passages: tuple[Passage, ...] = ()  # what was retrieved, already in the prompt as [1], [2], ...
    session_id: str = ""
    metadata: dict[str, Any] = {}


class Provider(Protocol):
    """One model behind one API. Its own retries are off: policy lives in ``llm.policy``."""

    name: str  # in logs, metrics and errors; unique among the configured providers
    model: str  # the model it asks for by default

    def attempt(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Make one call and yield what it says.

        Yields REASONING_DELTA, TEXT_DELTA, TOOL_CALL_DELTA and TOOL_CALL events and, last, one
        MESSAGE_COMPLETE with finish reason, model and (where known) usage. An answer written by somebody's
        own generator may also yield SOURCES and CITATION. Closing the generator closes the connection.

        Raises:
            ProviderError: the attempt failed; its code says how. Nothing is retried here.
        """
        ...

    async def aclose(self) -> None:
        """Close the provider's connections."""


class Caller(Protocol):
    """What the answer lane sees of a client: providers in order of preference, and guarded attempts."""

    @property
    def providers(self) -> tuple[Provider, ...]: ...

    @property
    def policy(self) -> RetryPolicy: ...

    @property
    def budget(self) -> float | None:
        """The most that one answer may cost, in the currency of the prices; None: whatever it costs."""
        ...

    @property
    def model(self) -> str:
        """The model of the first provider."""
        ...

    def estimate(self, provider: Provider, request: ChatRequest) -> float | None:
        """Return about what the request will cost with this provider.

        None where its own model has no price: whoever set it up chose so. A model that only the request
        names may cost anything without a price: infinity, which no budget allows.
        """
        ...

    def attempt(self, provider: Provider, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Run ``provider.attempt`` under the timeouts, the circuit breaker and the metrics.

        Raises:
            ProviderError: as for ``Provider.attempt``; also timeouts, an open circuit, an empty answer.
        """
        ...
