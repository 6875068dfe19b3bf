"""What the model may do besides writing: tools are called, and it is told what came of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal

from ragstream.answer.kit import AnswerKit
from ragstream.answer.passages import sources_event
from ragstream.answer.steps.routing import quoted
from ragstream.answer.turn import Turn
from ragstream.blueprint import step
from ragstream.events import EventType, StreamEvent

__all__ = ["execute_tools", "tool_calls_requested"]


@step("ToolCheck")
def tool_calls_requested(turn: Turn) -> Literal["yes", "no"]:
    """Decide whether the model waits for the results of calls."""
    return "yes" if turn.calls else "no"


@step("ExecuteTools")
async def execute_tools(turn: Turn, kit: AnswerKit) -> AsyncGenerator[StreamEvent, None]:
    """Execute the calls side by side, and say what they gave back and which sources they found."""
    assert turn.route is not None  # noqa: S101 - SelectProvider has set it
    assert turn.toolbox is not None  # noqa: S101 - without it no call is the lane's
    sources, searched = len(turn.context), len(turn.searched)
    results = await turn.toolbox.run(turn.calls)
    for result in results:
        yield StreamEvent(type=EventType.TOOL_RESULT, tool_result=result)
    if len(turn.context) > sources:
        yield sources_event(turn.context, turn.searched[searched:])
    turn.end_round(results)
    turn.route = quoted(turn, kit, turn.route.first.provider, kit.llm.providers)
    failed = sum(result.is_error for result in results)
    turn.note(calls=len(results), failed=failed, sources=len(turn.context) - sources)
