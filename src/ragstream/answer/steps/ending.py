"""How an answer ends: complete, failed or rescued, and stored before anybody is told.

Nothing here says a terminal event. It is set on the turn, once, and the engine says it after the last step.
Only a store that fails may replace it: an answer that is not stored has failed, whatever it was before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import msgspec

from ragstream.answer.kit import AnswerKit
from ragstream.answer.steps.opening import question_row, start_event
from ragstream.answer.turn import Turn
from ragstream.blueprint import step
from ragstream.errors import (
    AnswerStopped,
    ErrorCode,
    LeaseLost,
    ProducerDied,
    RagstreamError,
    StorageUnavailable,
    StoreError,
)
from ragstream.events import Cancelled, EventError, EventType, Interrupted, Phase, StreamEvent, Usage
from ragstream.llm.policy import over_budget
from ragstream.storage import base as storage
from ragstream.telemetry import get_logger

__all__ = ["fail_answer", "finish_answer", "persist_turn", "refuse_budget", "rescue_answer", "status"]

_log = get_logger(__name__)
_STATUS: dict[EventType, storage.TurnStatus] = {
    EventType.MESSAGE_COMPLETE: "complete",
    EventType.ERROR: "failed",
    EventType.CANCELLED: "cancelled",
    EventType.INTERRUPTED: "interrupted",
}
_SILENT_LOG = StoreError("The stream log does not answer.")
_SILENT_DATABASE = StorageUnavailable("The answer could not be stored: the database does not answer.")
_OUR_FAULT = "Something went wrong inside Ragstream; its log has the details under this request id."


@step("FinishAnswer")
async def finish_answer(turn: Turn, _kit: AnswerKit) -> None:
    """End as complete."""
    completion, route = turn.completion, turn.route
    assert completion is not None  # noqa: S101 - LLMCall has set it, or the last attempt failed
    assert route is not None  # noqa: S101 - SelectProvider has set it
    turn.ending = StreamEvent(
        type=EventType.MESSAGE_COMPLETE,
        finish_reason=completion.finish_reason or "stop",
        usage=turn.usage,
        model=completion.model or route.first.model or route.first.provider.model,
    )


@step("FailAnswer")
async def fail_answer(turn: Turn, _kit: AnswerKit) -> AsyncGenerator[StreamEvent, None]:
    """End as failed. What the model wrote stays, the last piece that was held back included."""
    for event in turn.rest():
        yield event
    error = turn.attempts[-1].error
    assert error is not None  # noqa: S101 - a successful attempt does not lead here
    turn.ending = _failed(error, turn.usage)


@step("RefuseBudget")
async def refuse_budget(turn: Turn, _kit: AnswerKit) -> AsyncGenerator[StreamEvent, None]:
    """End as failed, because the next call would cost too much. What was written stays."""
    for event in turn.rest():
        yield event
    assert turn.route is not None  # noqa: S101 - SelectProvider has set it
    first, budget = turn.route.first, turn.route.budget or 0.0
    turn.ending = _failed(over_budget(first.provider.name, first.cost or 0.0, budget), turn.usage)
    turn.note(provider=first.provider.name)


@step("RescueAnswer")
async def rescue_answer(turn: Turn, kit: AnswerKit) -> AsyncGenerator[StreamEvent, None]:
    """End an answer that cannot go on, as what stopped it demands; an ending that is set stays."""
    last_seq = turn.answer.seq
    turn.ending = turn.unstored or turn.ending
    if turn.ending is None:
        if turn.answer.phase is Phase.NEW:
            yield start_event(turn, kit)
        if getattr(turn.cause, "code", "") != ErrorCode.ANSWER_TOO_LARGE:  # nothing more would be taken
            for event in turn.rest():
                yield event
        turn.ending = _rescued(turn.cause, turn.usage, last_seq)
        if turn.ending.error and turn.ending.error.code == ErrorCode.INTERNAL:
            _log.error("answer failed inside", request_id=turn.request_id, exc_info=turn.cause)
    turn.note(cause=type(turn.cause).__name__, status=status(turn.ending))


@step("PersistTurn")
async def persist_turn(turn: Turn, kit: AnswerKit) -> None:
    """Store the turn once all that was said of it is in the log: the commit point."""
    ending = turn.ending
    assert ending is not None  # noqa: S101 - every way here sets it
    turn.unstored = ending
    if ending.type is not EventType.ERROR:
        turn.ending = _failed(_SILENT_DATABASE, turn.usage)  # so it ends if the engine cuts this short
    patience = kit.settings.closing_seconds
    until = asyncio.get_running_loop().time() + patience
    try:
        async with asyncio.timeout(patience / 2):  # what the log does not need is the database's
            if turn.writer is not None:
                await turn.writer.flush()
    except LeaseLost as error:  # whoever has the lease now settles the answer, from what the log holds
        turn.unstored, turn.ending = None, _failed(error, turn.usage)
        return
    except (RagstreamError, TimeoutError) as error:
        ending = _failed(_named(error, _SILENT_LOG), turn.usage)
    try:
        async with asyncio.timeout_at(until):
            await kit.turns.close(_row(turn, kit, ending))
    except (RagstreamError, TimeoutError) as error:
        ending = _failed(_named(error, _SILENT_DATABASE), turn.usage)
    turn.unstored, turn.ending = None, ending
    turn.note(status=status(ending))


def status(ending: StreamEvent) -> storage.TurnStatus:
    """Return what a turn with this ending is."""
    return _STATUS[ending.type]


def _row(turn: Turn, kit: AnswerKit, ending: StreamEvent) -> storage.Turn:
    row, answer = question_row(turn, kit), turn.answer
    return msgspec.structs.replace(
        row,
        model=ending.model or row.model,
        status=status(ending),
        text=answer.text,
        reasoning=answer.reasoning,
        sources=answer.sources,
        citations=tuple(answer.citations),
        usage=ending.usage,
        ending=ending,
    )


def _rescued(cause: BaseException | None, usage: Usage | None, last_seq: int) -> StreamEvent:
    match cause:
        case AnswerStopped():
            return StreamEvent(type=EventType.CANCELLED, cancelled=Cancelled(by=cause.by), usage=usage)
        case (
            ProducerDied() | asyncio.CancelledError()
        ):  # cancelled by nobody in particular: we are going down
            died = Interrupted(seq=last_seq)
            return StreamEvent(type=EventType.INTERRUPTED, interrupted=died, usage=usage)
        case RagstreamError():
            return _failed(cause, usage)
        case _:
            return _failed(RagstreamError(), usage)


def _failed(error: RagstreamError, usage: Usage | None) -> StreamEvent:
    code = str(error.code)
    message = _OUR_FAULT if code == ErrorCode.INTERNAL else str(error)
    told = EventError(code=code, message=message, retryable=error.retryable, retry_after=error.retry_after)
    return StreamEvent(type=EventType.ERROR, error=told, usage=usage)


def _named(error: RagstreamError | TimeoutError, timeout: RagstreamError) -> RagstreamError:
    return error if isinstance(error, RagstreamError) else timeout
