"""A provider that says what it was told to say: for tests of what stands on a provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

from ragstream.events import EventType, StreamEvent, TextDelta, Usage
from ragstream.llm.base import ChatRequest

__all__ = ["Line", "Pause", "ScriptedProvider"]

Line = str | float | StreamEvent | BaseException
Pause = Callable[[float], Awaitable[object]]


class ScriptedProvider:
    """Play one script an attempt; the last one is played again for every further attempt.

    A line of a script is a piece of text, a pause in seconds, any event, or an exception to be raised. A
    script without an ending of its own ends complete, with a token counted for each piece of text::

        ScriptedProvider(["Hel", 0.1, "lo"])
        ScriptedProvider([ProviderError("busy", code=ErrorCode.UPSTREAM_UNAVAILABLE)], ["Hello"])

    ``requests`` are the requests seen so far; ``open`` is the number of attempts not yet closed.
    """

    def __init__(
        self,
        *scripts: Iterable[Line],
        name: str = "scripted",
        model: str = "scripted-1",
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.name = name
        self.model = model
        self.requests: list[ChatRequest] = []
        self.open = 0
        self._scripts = [tuple(script) for script in scripts] or [()]
        self._pause = pause

    async def attempt(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Play the script of this attempt."""
        script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
        self.requests.append(request)
        self.open += 1
        try:
            for line in script:
                match line:
                    case str():
                        yield StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=line))
                    case StreamEvent():
                        yield line
                    case BaseException():
                        raise line
                    case seconds:
                        await self._pause(seconds)
            if not (script and isinstance(script[-1], StreamEvent) and script[-1].terminal):
                yield self._ending(request, sum(isinstance(line, str) for line in script))
        finally:
            self.open -= 1

    def _ending(self, request: ChatRequest, tokens: int) -> StreamEvent:
        prompt = sum(len(message.text.split()) for message in request.messages)
        usage = Usage(prompt_tokens=prompt, completion_tokens=tokens, total_tokens=prompt + tokens)
        model = request.model or self.model
        return StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop", model=model, usage=usage)

    async def aclose(self) -> None:
        """Nothing is held."""
