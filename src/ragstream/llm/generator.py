"""Any async generator of text or events, as a provider."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Never

from ragstream.errors import ConfigError, ErrorCode, ProviderError, RagstreamError
from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.llm.base import ChatRequest

__all__ = ["Answering", "GeneratorProvider"]

Answering = Callable[[ChatRequest], AsyncGenerator[str | StreamEvent, None]]

_ENVELOPE = {EventType.MESSAGE_START, EventType.STEP}  # said by whoever runs the provider
_FOREIGN = {EventType.CANCELLED, EventType.INTERRUPTED, EventType.RESET}  # not a provider's to say


class GeneratorProvider:
    """Let ``function(request)`` write the answer: text, or events where there is more to say.

    The generator may simply end: the answer is then complete. It may pass on what another client's
    ``chat_completion`` yields. What it raises fails the attempt.
    """

    def __init__(self, function: Answering, *, name: str | None = None, model: str | None = None) -> None:
        self.name = name or str(getattr(function, "__name__", "generator"))
        self.model = model or self.name
        self._function = function

    async def attempt(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Run the generator once.

        Raises:
            ConfigError: the function is not an async generator.
            ProviderError: the generator raised, or yielded something that is not part of an answer.
        """
        async with aclosing(self._begun(request)) as pieces:
            try:
                async for piece in pieces:
                    event = self._event(piece)
                    if event is None:
                        continue
                    yield event
                    if event.terminal:
                        return
            except RagstreamError:
                raise
            except Exception as error:  # noqa: BLE001 - the seam to somebody else's code
                self._fail(f"raised {type(error).__name__}", ErrorCode.UPSTREAM_ERROR, error)
        model = request.model or self.model
        yield StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop", model=model)

    def _begun(self, request: ChatRequest) -> AsyncGenerator[str | StreamEvent, None]:
        made: object = self._function(request)
        if isinstance(made, AsyncGenerator):
            return made
        if isinstance(made, Coroutine):
            made.close()
        kind = type(made).__name__
        raise ConfigError(
            f"{self.name} returned a {kind}: make it an async generator, `async def` with `yield`"
        )

    def _event(self, piece: object) -> StreamEvent | None:
        if isinstance(piece, str):
            return (
                StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=piece)) if piece else None
            )
        if not isinstance(piece, StreamEvent):
            kind = type(piece).__name__
            self._fail(f"yielded a {kind}: yield str or StreamEvent", ErrorCode.UPSTREAM_PROTOCOL)
        if piece.type in _ENVELOPE:
            return None
        if piece.type in _FOREIGN:
            self._fail(f"yielded {piece.type.value}, which is not its to say", ErrorCode.UPSTREAM_PROTOCOL)
        if piece.type is EventType.ERROR:
            self._reraise(piece)
        return piece

    def _reraise(self, event: StreamEvent) -> Never:
        known = event.error is not None and event.error.code in set(ErrorCode)
        raise ProviderError(
            str(event.error or "the answer failed"),
            code=ErrorCode(event.error.code) if event.error and known else ErrorCode.UPSTREAM_ERROR,
            provider=self.name,
            retryable=bool(event.error and event.error.retryable),
            retry_after=event.error.retry_after if event.error else None,
        )

    def _fail(self, what: str, code: ErrorCode, cause: Exception | None = None) -> Never:
        raise ProviderError(f"{self.name}: the generator {what}", code=code, provider=self.name) from cause

    async def aclose(self) -> None:
        """Nothing is held."""
