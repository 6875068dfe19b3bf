"""The model is asked, perhaps more than once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

from ragstream.answer.kit import AnswerKit
from ragstream.answer.speaker import Speaker
from ragstream.answer.turn import Turn
from ragstream.blueprint import step
from ragstream.errors import ErrorCode, ProviderError
from ragstream.events import EventType, Reset, StreamEvent
from ragstream.llm.policy import Attempt, check_tools, decide, delay

__all__ = ["another_attempt_allowed", "call_provider", "call_successful"]

_CALLS = (EventType.TOOL_CALL_DELTA, EventType.TOOL_CALL)
_DELTAS = (EventType.TEXT_DELTA, EventType.REASONING_DELTA, *_CALLS)


@step("LLMCall")
async def call_provider(turn: Turn, kit: AnswerKit) -> AsyncGenerator[StreamEvent, None]:
    """Make one attempt, saying what the provider says as it says it."""
    assert turn.route is not None  # noqa: S101 - SelectProvider has set it
    offer = turn.route.first
    provider, error, delivered, calling = offer.provider, None, False, False
    if turn.tries:
        if turn.tries[-1].provider == provider.name:
            await asyncio.sleep(delay(turn.tries, turn.policy, random.random()))  # noqa: S311 - jitter
        if reset := _begin_again(turn):
            yield reset
    speaker = Speaker(turn, provider.name)
    try:
        async with aclosing(kit.llm.attempt(provider, turn.request(offer.model))) as events:
            async for event in events:
                if speaker.passes(event):
                    delivered = True
                    yield event
                    continue
                speaker.take(event)
                while turn.unsaid:
                    said = turn.unsaid.pop(0)
                    delivered = delivered or said.type in _DELTAS
                    calling = calling or said.type in _CALLS
                    yield said
        turn.calls = speaker.calls
        _check_rounds(turn, kit)
    except ProviderError as failed:
        error = failed
    turn.attempts.append(Attempt(provider=provider.name, error=error, delivered=delivered, calling=calling))
    turn.note(provider=provider.name, attempt=len(turn.attempts), error=error.code if error else None)


@step("LLMSuccess")
def call_successful(turn: Turn) -> Literal["yes", "no"]:
    """Decide whether the last attempt gave a whole answer."""
    return "yes" if turn.attempts[-1].error is None else "no"


@step("RetryCheck")
def another_attempt_allowed(turn: Turn) -> Literal["same", "failover", "no"]:
    """Decide whether the same provider is asked again, or another one."""
    others = turn.route is not None and len(turn.route.offers) > 1
    verdict = decide(turn.tries, turn.policy, failover=others)
    return "no" if verdict == "stop" else verdict


def _check_rounds(turn: Turn, kit: AnswerKit) -> None:
    if check_tools(len(turn.calls), len(turn.rounds), kit.settings.tool_rounds) == "exceeded":
        raise ProviderError(
            f"The model called tools in {len(turn.rounds)} rounds without coming to an answer",
            code=ErrorCode.TOOL_ROUNDS_EXCEEDED,
        )


def _begin_again(turn: Turn) -> StreamEvent | None:
    """Forget what no reader has seen; where the policy says so, return what makes readers forget the rest."""
    going_on = turn.policy.after_delta == "continue"
    turn.completion = None
    if turn.citations is not None:
        turn.citations.discard() if going_on else turn.citations.restart()
    if going_on or not turn.tries[-1].delivered:
        return None
    answer, before = turn.answer, turn.before
    kept = tuple(answer.citations[: before.citations])
    reset = Reset(text=before.text, sources=answer.sources, citations=kept, seq=answer.seq)
    return StreamEvent(type=EventType.RESET, reset=reset)
