"""The client: any provider's answer as one stream of events that always ends with exactly one ending."""

from __future__ import annotations

import asyncio
import math
import random
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self

from msgspec.structs import replace

from ragstream.errors import (
    ConfigError,
    ErrorCode,
    ProgrammingError,
    ProviderError,
    RagstreamError,
    RequestError,
)
from ragstream.events import EventType, Message, MessageStart, Options, StreamEvent
from ragstream.llm.base import ChatRequest, Provider
from ragstream.llm.conversation import Conversation
from ragstream.llm.deadlines import Timeouts
from ragstream.llm.generator import Answering, GeneratorProvider
from ragstream.llm.guard import Guard
from ragstream.llm.observing import LogObserver, Observer
from ragstream.llm.policy import (
    Attempt,
    RetryPolicy,
    affordable,
    check_budget,
    check_tools,
    decide,
    delay,
    over_budget,
)
from ragstream.llm.prices import Price, estimate, price_of
from ragstream.llm.tools import Toolbox, ToolLike
from ragstream.llm.wire import read_messages

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["LLMClient"]

_CALLS = (EventType.TOOL_CALL_DELTA, EventType.TOOL_CALL)
_PASSED_ON = (EventType.TOOL_CALL, EventType.TOOL_RESULT)  # what a reader of the whole answer still sees


class LLMClient:
    """Stream chat answers from one provider, or from an ordered list of them.

    Needs no ``async with``: connections belong to the event loop and end with it. One client serves any
    number of calls at once.

    Args:
        model: the model to ask; RAGSTREAM_MODEL if not given.
        api_key: OPENAI_API_KEY if not given; a local server needs none.
        base_url: OPENAI_BASE_URL if not given, else OpenAI's own.
        providers: instead of the above: whom to ask, in this order.
        policy: how often to try, and what a failure in the middle means.
        timeouts: how long a provider may be silent.
        prices: by "provider/model" or "model"; usage then carries the cost.
        budget: the most that one call may be estimated to cost, in the currency of the prices.
        max_tool_rounds: how often the model may call tools before it has to answer.
        tool_timeout: seconds for one tool call.
        observers: who watches the attempts, besides the log.
        pause: how to wait before another attempt.
        jitter: random numbers in [0, 1).
        clock: monotonic seconds, for the circuit breakers.

    Raises:
        ConfigError: there is no provider to ask, or two with one name.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        providers: Sequence[Provider] | None = None,
        policy: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        prices: Mapping[str, Price] | None = None,
        budget: float | None = None,
        max_tool_rounds: int = 8,
        tool_timeout: float = 30.0,
        observers: Iterable[Observer] = (),
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if providers is None:
            from ragstream.llm.openai import OpenAIProvider  # imports the SDK

            providers = [OpenAIProvider.from_environment(model, api_key=api_key, base_url=base_url)]
        elif model or api_key or base_url:
            raise ConfigError("LLMClient: give providers, or model, api_key and base_url, not both")
        self.providers = tuple(providers)
        self.policy = policy or RetryPolicy()
        self.prices = dict(prices or {})
        self.budget = budget
        self._max_tool_rounds = max_tool_rounds
        self._tool_timeout = tool_timeout
        self._pause, self._jitter = pause, jitter
        self._guard = Guard(
            timeouts=timeouts or Timeouts(),
            prices=self.prices,
            observers=(LogObserver(), *observers),
            clock=clock,
        )
        if len({provider.name for provider in self.providers}) < max(len(self.providers), 1):
            raise ConfigError("LLMClient: give each provider a name of its own, and at least one provider")

    @classmethod
    def from_generator(cls, function: Answering, *, name: str | None = None) -> Self:
        """Let an async generator of text or events, called with a ChatRequest, be the provider."""
        return cls(providers=[GeneratorProvider(function, name=name)])

    @property
    def model(self) -> str:
        """The model of the first provider."""
        return self.providers[0].model

    def get_client(self) -> AsyncOpenAI:
        """Return the SDK's client of the first provider, for what Ragstream does not do.

        Raises:
            ConfigError: the first provider does not stand on the SDK.
        """
        get_client = getattr(self.providers[0], "get_client", None)
        if get_client is None:
            raise ConfigError(f"{self.providers[0].name} has no client of the openai SDK")
        client: AsyncOpenAI = get_client()
        return client

    async def chat_completion(
        self,
        messages: Sequence[Message | Mapping[str, Any]],
        stream: bool = True,
        *,
        model: str | None = None,
        options: Options | None = None,
        tools: Iterable[ToolLike] = (),
        run_tools: bool = True,
        session_id: str = "",
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask, and yield what is said.

        Streaming, that is a MESSAGE_START, deltas, and one MESSAGE_COMPLETE or, whatever goes wrong, one
        ERROR after the retries. Without streaming it is the last of these alone, with the text as
        ``content``; tool calls and their results come before it. The provider is then asked for the answer
        in one piece, and only ``Timeouts.total`` bounds the wait for it.

        Args:
            messages: the conversation, as ``Message`` or as mappings in OpenAI's shape.
            stream: whether to yield the answer as it is written.
            model: instead of the first provider's own.
            options: temperature, max_tokens, seed, stop, and extras by name.
            tools: functions with type hints, or ``ToolSpec`` without a function.
            run_tools: run the functions and let the model go on; otherwise its calls are handed over.
            session_id: what MESSAGE_START shall name.

        Raises:
            InvalidField: a message is not a message.
            ConfigError: a tool or the client is set up wrongly.
        """
        toolbox = Toolbox(tools, timeout=self._tool_timeout)
        request = ChatRequest(
            messages=read_messages(messages),
            model=model,
            options=options or Options(),
            tools=toolbox.specs,
            stream=stream,
            session_id=session_id,
        )
        answer = self._stream_response if stream else self._non_stream_response
        async with aclosing(answer(request, toolbox if run_tools else None)) as events:
            async for event in events:
                yield event

    def attempt(self, provider: Provider, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Run one attempt under deadlines and circuit breaker, watched; see ``Caller.attempt``."""
        return self._guard.attempt(provider, request)

    async def aclose(self) -> None:
        """Close the providers' connections now, instead of with the event loop."""
        for provider in self.providers:
            await provider.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _stream_response(
        self, request: ChatRequest, toolbox: Toolbox | None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Answer, run tools, answer again, until there is an ending."""
        yield self._start(request)
        talk = Conversation(request)
        try:
            while True:
                async with aclosing(self._answer(talk)) as events:
                    async for event in events:
                        yield event
                runs = toolbox is not None and toolbox.runs(talk.calls)
                if toolbox is None or not self._go_on(len(talk.calls) if runs else 0, talk.rounds):
                    break
                results = await toolbox.run(talk.calls)
                for result in results:
                    yield StreamEvent(type=EventType.TOOL_RESULT, tool_result=result)
                talk.answer(results)
        except (ConfigError, RequestError, ProgrammingError):  # a mistake, and no answer's ending
            raise
        except RagstreamError as error:
            yield talk.failed(error)
        else:
            yield talk.complete()

    async def _non_stream_response(
        self, request: ChatRequest, toolbox: Toolbox | None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Answer likewise, and yield the ending with the text."""
        text = ""
        async with aclosing(self._stream_response(request, toolbox)) as events:
            async for event in events:
                if event.text_delta is not None:
                    text += event.text_delta.content
                elif event.reset is not None:
                    text = event.reset.text
                elif event.terminal:
                    yield replace(event, content=text or None)
                elif event.type in _PASSED_ON:
                    yield event

    async def _answer(self, talk: Conversation) -> AsyncGenerator[StreamEvent, None]:
        """Try until there is one whole answer, or nobody is left to ask.

        Raises:
            ProviderError: the last attempt's.
        """
        attempts: list[Attempt] = []
        left = list(self.providers)
        going_on = False
        while True:
            provider, request = self._affordable(left, talk.attempt(going_on=going_on), talk)
            error: ProviderError | None = None
            delivered = calling = False
            try:
                async with aclosing(self.attempt(provider, request)) as events:
                    async for event in events:
                        if shown := talk.take(event):
                            delivered = True
                            calling = calling or shown.type in _CALLS
                            yield shown
            except ProviderError as failed:
                error = failed
            attempts.append(
                Attempt(provider=provider.name, error=error, delivered=delivered, calling=calling)
            )
            verdict = decide(attempts, self.policy, failover=len(left) > 1)
            if error is None:
                return
            if verdict == "stop":
                raise error
            if verdict == "failover":
                left.remove(provider)
            else:
                await self._pause(delay(attempts, self.policy, self._jitter()))
            going_on = self.policy.after_delta == "continue"
            if delivered and not going_on:
                yield talk.forget()

    def _affordable(
        self, left: Sequence[Provider], request: ChatRequest, talk: Conversation
    ) -> tuple[Provider, ChatRequest]:
        """Return whom to ask: the first, or if that is beyond the budget a cheaper one."""
        spent = (talk.usage and talk.usage.cost) or 0.0
        requests = [self._addressed(provider, request) for provider in left]
        estimates = [self.estimate(provider, asked) for provider, asked in zip(left, requests, strict=True)]
        budget = None if self.budget is None else self.budget - spent
        verdict = check_budget(estimates[0], estimates[1:], budget)
        if verdict == "no":
            raise over_budget(left[0].name, estimates[0] or 0.0, budget or 0.0)
        place = (affordable(estimates, budget) or 0) if verdict == "cheaper" else 0
        return left[place], requests[place]

    def estimate(self, provider: Provider, request: ChatRequest) -> float | None:
        """Return about what the request will cost with this provider; see ``Caller.estimate``."""
        price = price_of(self.prices, provider.name, request.model or provider.model)
        if price is not None:
            return estimate(request, price)
        return math.inf if request.model not in (None, provider.model) else None

    def _addressed(self, provider: Provider, request: ChatRequest) -> ChatRequest:
        """Drop the model that was asked for where another provider with a model of its own takes over."""
        if provider is self.providers[0] or not provider.model or request.model is None:
            return request
        return replace(request, model=None)

    def _go_on(self, calls: int, rounds: int) -> bool:
        verdict = check_tools(calls, rounds, self._max_tool_rounds)
        if verdict == "exceeded":
            raise ProviderError(
                f"The model called tools in {rounds} rounds without coming to an answer",
                code=ErrorCode.TOOL_ROUNDS_EXCEEDED,
            )
        return verdict == "yes"

    def _start(self, request: ChatRequest) -> StreamEvent:
        start = MessageStart(
            stream_id=uuid.uuid4().hex,
            message_id=uuid.uuid4().hex,
            session_id=request.session_id,
            model=request.model or self.model,
            created=int(time.time()),
        )
        return StreamEvent(type=EventType.MESSAGE_START, message_start=start)
