"""The engine: run the step, yield its events, follow the edge."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ragstream.blueprint.binding import Lane, Step
from ragstream.blueprint.state import State
from ragstream.events import StreamEvent

__all__ = ["run", "walk"]


async def walk(
    lane: Lane, state: State, kit: object, *, start: Step | None = None
) -> AsyncGenerator[StreamEvent, None]:
    """Walk ``lane`` from its start, or from ``start``, and yield what its steps say."""
    step: Step | None = start or lane.start
    while step is not None:
        if step.decides:
            step = step.ways[step.function(state)]
            continue
        if step.speaks:
            async with aclosing(step.function(state, kit)) as events:
                async for event in events:
                    yield event
        else:
            await step.function(state, kit)
        step = step.next
    if state.ending is not None:
        yield state.ending


async def run(lane: Lane, state: State, kit: object) -> None:
    """Walk a lane that has nothing to say."""
    async with aclosing(walk(lane, state, kit)) as events:
        async for _ in events:
            pass
