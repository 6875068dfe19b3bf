"""The model is asked, perhaps more than once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

from ragstream.answer.citations import LARGEST, as_written, text_events
from ragstream.answer.kit import AnswerKit
from ragstream.answer.turn import Turn
from ragstream.blueprint import step
from ragstream.errors import ErrorCode, ProviderError
from ragstream.events import EventType, Phase, Reset, StreamEvent
from ragstream.llm.base import ChatRequest, Provider
from ragstream.llm.continuation import Joint, continued
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
    provider, error, delivered = turn.route, None, False
    if turn.attempts:
        await asyncio.sleep(delay(turn.attempts, turn.policy, random.random()))  # noqa: S311 - jitter
        if reset := _begin_again(turn):
            yield reset
    said = _said(turn)
    joint = Joint(said)
    request = continued(_request(turn), said) if said else _request(turn)
    try:
        async with aclosing(kit.llm.attempt(provider, request)) as events:
            async for event in events:
                _take(turn, event, joint, provider)
                while turn.unsaid:
                    next_said = turn.unsaid.popleft()
                    delivered = delivered or next_said.type in _DELTAS
                    yield next_said
    except ProviderError as failed:
        error = failed
    else:
        for last_said in turn.rest():
            yield last_said
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


def _take(turn: Turn, event: StreamEvent, joint: Joint, provider: Provider) -> None:
    """Make of the provider's event what may be said now."""
    if event.text_delta is not None:
        _write(turn, event, joint.write(event.text_delta.content))
    elif event.type is EventType.MESSAGE_COMPLETE:
        turn.completion = event
        if event.usage:
            turn.usages.append(event.usage)
        if joint.open:
            _write(turn, event, joint.close())
    elif event.terminal:
        raise ProviderError(
            f"{provider.name} said {event.type.value}, which is not its to say",
            code=ErrorCode.UPSTREAM_PROTOCOL,
            provider=provider.name,
        )
    else:
        turn.unsaid.append(event)


def _write(turn: Turn, event: StreamEvent, text: str) -> None:
    delta = event.text_delta
    said, citations = turn.citations.write(text) if turn.citations is not None else (text, ())
    if delta is not None and said is delta.content and len(said) <= LARGEST:
        turn.unsaid.append(event)
    else:
        turn.unsaid += text_events(said, citations, refusal=delta is not None and delta.refusal)


def _request(turn: Turn) -> ChatRequest:
    question = turn.question
    return ChatRequest(
        messages=turn.prompt,
        model=question.model,
        options=question.options,
        passages=turn.context,
        session_id=question.session_id,
        metadata=question.metadata,
    )


def _begin_again(turn: Turn) -> StreamEvent | None:
    """Forget what no reader has seen; where the policy says so, return what makes readers forget the rest."""
    last = turn.attempts[-1]
    going_on = last.delivered and turn.policy.after_delta == "continue"
    turn.completion = None
    if turn.citations is not None:
        turn.citations.discard() if going_on else turn.citations.restart()
    if going_on or not last.delivered:
        return None
    reset = Reset(text="", sources=turn.answer.sources, seq=turn.answer.seq)
    return StreamEvent(type=EventType.RESET, reset=reset)


def _said(turn: Turn) -> str:
    """Return what an attempt that goes on has before it, in the words of the one that broke off."""
    answer = turn.answer
    if turn.citations is None:
        return answer.text
    return as_written(answer.text, answer.citations, [source.id for source in answer.sources])
