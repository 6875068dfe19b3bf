"""The model is asked, perhaps more than once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

from ragstream.answer.citations import as_written, text_events
from ragstream.answer.kit import AnswerKit
from ragstream.answer.steps.retrieval import source_id
from ragstream.answer.turn import Turn
from ragstream.blueprint import step
from ragstream.errors import ErrorCode, ProviderError
from ragstream.events import EventType, Message, Phase, Reset, StreamEvent
from ragstream.llm.base import ChatRequest, Provider
from ragstream.llm.policy import Attempt, decide, delay

__all__ = ["another_attempt_allowed", "call_provider", "call_successful"]

_DELTAS = (
    EventType.TEXT_DELTA,
    EventType.REASONING_DELTA,
    EventType.TOOL_CALL_DELTA,
    EventType.TOOL_CALL,
)


@step("LLMCall")
async def call_provider(turn: Turn, kit: AnswerKit) -> AsyncGenerator[StreamEvent, None]:
    """Make one attempt, saying what the provider says as it says it."""
    assert turn.route is not None  # noqa: S101 - SelectProvider has set it
    provider, error = turn.route, None
    if turn.attempts:
        await asyncio.sleep(delay(turn.attempts, turn.policy, random.random()))  # noqa: S311 - jitter
        if reset := _begin_again(turn):
            yield reset
    delivered = False
    try:
        async with aclosing(kit.llm.attempt(provider, _request(turn))) as events:
            async for event in events:
                _take(turn, event, provider)
                while turn.unsaid:
                    said = turn.unsaid.popleft()
                    delivered = delivered or said.type in _DELTAS
                    yield said
        if turn.completion is None:
            raise _broken(provider, ErrorCode.UPSTREAM_TRUNCATED, "ended without saying so")
    except ProviderError as failed:
        error = failed
    else:
        for said in turn.rest():
            yield said
    calling = delivered and turn.answer.phase is Phase.CALLING
    turn.attempts.append(Attempt(provider=provider.name, error=error, delivered=delivered, calling=calling))
    turn.note(provider=provider.name, attempt=len(turn.attempts), error=error.code if error else None)


@step("LLMSuccess")
def call_successful(turn: Turn) -> Literal["yes", "no"]:
    """Decide whether the last attempt gave a whole answer."""
    return "yes" if turn.attempts[-1].error is None else "no"


@step("RetryCheck")
def another_attempt_allowed(turn: Turn) -> Literal["same", "no"]:
    """Decide whether the same provider is asked again."""
    return "same" if decide(turn.attempts, turn.policy) == "same" else "no"


def _take(turn: Turn, event: StreamEvent, provider: Provider) -> None:
    """Make of the provider's event what may be said now."""
    delta = event.text_delta
    if delta is not None and turn.citations is not None:
        text, citations = turn.citations.write(delta.content)
        if text is delta.content:
            turn.unsaid.append(event)
        else:
            turn.unsaid += text_events(text, citations, refusal=delta.refusal)
    elif event.type is EventType.MESSAGE_COMPLETE:
        turn.completion = event
        if event.usage:
            turn.usages.append(event.usage)
    elif event.terminal:
        raise _broken(
            provider, ErrorCode.UPSTREAM_PROTOCOL, f"yielded {event.type.value}, and raised nothing"
        )
    else:
        turn.unsaid.append(event)


def _request(turn: Turn) -> ChatRequest:
    question, messages = turn.question, turn.prompt
    if said := turn.answer.text:  # the policy is that this attempt goes on where the last one broke off
        if turn.citations is not None:
            sources = [source_id(number) for number in range(1, len(turn.context) + 1)]
            said = as_written(said, turn.answer.citations, sources)
        messages = (*messages, Message(role="assistant", content=said))
    return ChatRequest(
        messages=messages,
        model=question.model,
        options=question.options,
        passages=turn.context,
        session_id=question.session_id,
        metadata=question.metadata,
    )


def _begin_again(turn: Turn) -> StreamEvent | None:
    """Forget what no reader has seen; where the policy says so, return what makes readers forget the rest."""
    going_on = turn.attempts[-1].delivered and turn.policy.after_delta == "continue"
    turn.completion = None
    turn.unsaid.clear()
    if turn.citations is not None:
        turn.citations.discard() if going_on else turn.citations.restart()
    if going_on or not turn.attempts[-1].delivered:
        return None
    reset = Reset(text="", sources=turn.answer.sources, seq=turn.answer.seq)
    return StreamEvent(type=EventType.RESET, reset=reset)


def _broken(provider: Provider, code: ErrorCode, what: str) -> ProviderError:
    return ProviderError(f"{provider.name}: the stream {what}", code=code, provider=provider.name)
