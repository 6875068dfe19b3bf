"""The engine: run the step, yield its events, follow the edge.

1. Before the ending is decided an error leaves the walk, and whoever pulls it rescues the turn.
2. Once ``state.ending`` is set, the steps that remain are *closing*: they have five seconds in all. An error
   or a timeout in one is logged and the walk goes on, because readers must be told that the answer has ended.
   A closing step that can fail replaces the ending itself, and bounds itself below the five seconds. A
   decision that raises is a fault of the program and always leaves the walk.
3. When the lane has run out the engine says the ending. Cancellation leaves the walk wherever it comes.
4. A walk that was given up, because it did not end when it was cancelled, goes no further than its step.
5. A STEP event follows every step but the closing ones: the step that stores the ending waits until all that
   was said is acknowledged, so nothing but the ending may be said after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import TypeVar

from opentelemetry.trace import Span, use_span

from ragstream.blueprint.binding import Lane, Step
from ragstream.blueprint.journal import Visit, journey
from ragstream.blueprint.place import Place
from ragstream.blueprint.state import State
from ragstream.events import StreamEvent

__all__ = ["CLOSING_SECONDS", "run", "walk"]

Result = TypeVar("Result")

CLOSING_SECONDS = 5.0  # for all closing steps together, from when the walk has its place


async def walk(
    lane: Lane, state: State, kit: object, *, start: Step | None = None
) -> AsyncGenerator[StreamEvent, None]:
    """Walk ``lane`` from its start, or from ``start``, and yield what its steps say, then the ending.

    Raises:
        Exception: whatever a step raised before the ending was decided.
    """
    step: Step | None = start or lane.start
    until: float | None = None  # when closing must be over, on the loop's clock
    with journey(lane, state) as context, Place(state.places) as place:
        while step is not None and not state.given_up:
            if until is None and state.ending is not None:
                await place.take()
                until = asyncio.get_running_loop().time() + CLOSING_SECONDS
            with Visit(lane, step, state, context, closing=until is not None) as visit:
                if step.decides:
                    visit.decide(step.function(state))
                elif step.speaks:
                    events = _bounded_events(step.function(state, kit), until, visit.span)
                    async with aclosing(events):
                        async for event in events:
                            yield event
                else:
                    await _bounded(step.function(state, kit), until, visit.span)
            if state.include_steps and until is None:
                yield visit.event
            step = visit.next
    if state.ending is not None:
        yield state.ending


async def run(lane: Lane, state: State, kit: object) -> None:
    """Walk a lane that has nothing to say."""
    async with aclosing(walk(lane, state, kit)) as events:
        async for _ in events:
            pass


def _bounded(action: Awaitable[None], until: float | None, span: Span | None) -> Awaitable[None]:
    """Return ``action``, inside its span and its time limit where it has any."""
    return action if until is None and span is None else _inside(action, until, span)


async def _inside(action: Awaitable[Result], until: float | None, span: Span | None) -> Result:
    async with asyncio.timeout_at(until):
        with _current(span):
            return await action


def _bounded_events(
    events: AsyncGenerator[StreamEvent, None], until: float | None, span: Span | None
) -> AsyncGenerator[StreamEvent, None]:
    """Return ``events``, each pull inside its span and its time limit: never the yield to the outside."""
    return events if until is None and span is None else _pull(events, until, span)


async def _pull(
    events: AsyncGenerator[StreamEvent, None], until: float | None, span: Span | None
) -> AsyncGenerator[StreamEvent, None]:
    async with aclosing(events):
        while (event := await _inside(anext(events, None), until, span)) is not None:
            yield event


def _current(span: Span | None) -> AbstractContextManager[object]:
    return use_span(span, record_exception=False, set_status_on_exception=False) if span else nullcontext()
