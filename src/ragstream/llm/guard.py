"""One attempt under guard: watched by deadlines, breaker and observers, and never taken at its word."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing

from msgspec.structs import replace

from ragstream.errors import CircuitOpen, ErrorCode, ProviderError
from ragstream.events import EventType, StreamEvent
from ragstream.llm.base import ChatRequest, Provider
from ragstream.llm.breaker import Breaker
from ragstream.llm.deadlines import Deadlines, Timeouts
from ragstream.llm.observing import Observation, Observer, Outcome
from ragstream.llm.prices import Price, cost, price_of

__all__ = ["Guard"]

_COMPLETE = EventType.MESSAGE_COMPLETE


class Guard:
    """What all attempts of one client have in common; a circuit breaker for each provider."""

    def __init__(
        self,
        *,
        timeouts: Timeouts,
        prices: Mapping[str, Price],
        observers: Iterable[Observer],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeouts = timeouts
        self._prices = prices
        self._observers = tuple(observers)
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}

    async def attempt(self, provider: Provider, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Run one attempt; see ``Caller.attempt``."""
        breaker = self._breaker(provider)
        watching = [observer.began(provider, request) for observer in self._observers]
        try:
            breaker.enter()
        except CircuitOpen as refusal:
            _ended(watching, Outcome(completion=None, error=refusal))
            raise
        completion: StreamEvent | None = None
        error: ProviderError | None = None
        spoke = said = False
        try:
            async with aclosing(provider.attempt(request)) as events:
                timeouts = self._timeouts if request.stream else self._timeouts.of_one_piece()
                with Deadlines(provider.name, timeouts) as deadlines:
                    deadlines.wait()
                    async for event in events:
                        deadlines.said()
                        if event.type is _COMPLETE:
                            completion = self._completed(provider, request, event, said=said)
                            yield completion
                            return
                        if not spoke:
                            spoke = True
                            _tell(watching)
                        said = said or bool(event.text_delta or event.tool_call_delta or event.tool_call)
                        yield event
                        deadlines.wait()
            raise _unfinished(provider)
        except ProviderError as failed:
            error = failed
            raise
        finally:
            breaker.leave(error, completed=completion is not None)
            _ended(watching, Outcome(completion=completion, error=error))

    def _breaker(self, provider: Provider) -> Breaker:
        if provider.name not in self._breakers:
            self._breakers[provider.name] = Breaker(provider.name, clock=self._clock)
        return self._breakers[provider.name]

    def _completed(
        self, provider: Provider, request: ChatRequest, event: StreamEvent, *, said: bool
    ) -> StreamEvent:
        """Return the completion with its cost.

        Raises:
            ProviderError: upstream_empty: nothing was said.
        """
        if not said:
            raise ProviderError(
                f"{provider.name} finished ({event.finish_reason}) without having said anything",
                code=ErrorCode.UPSTREAM_EMPTY,
                provider=provider.name,
            )
        price = price_of(self._prices, provider.name, request.model or provider.model)
        if event.usage is None or price is None or event.usage.cost is not None:
            return event
        return replace(event, usage=replace(event.usage, cost=cost(event.usage, price)))


def _tell(watching: Iterable[Observation]) -> None:
    for observation in watching:
        observation.spoke()


def _ended(watching: Iterable[Observation], outcome: Outcome) -> None:
    for observation in watching:
        observation.ended(outcome)


def _unfinished(provider: Provider) -> ProviderError:
    return ProviderError(
        f"{provider.name} ended without saying that the answer is complete",
        code=ErrorCode.UPSTREAM_TRUNCATED,
        provider=provider.name,
        retryable=True,
    )
