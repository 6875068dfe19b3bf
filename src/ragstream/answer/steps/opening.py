"""The answer begins: it is announced, and its question is stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from ragstream.answer.kit import AnswerKit
from ragstream.answer.turn import Turn
from ragstream.blueprint import step
from ragstream.events import EventType, MessageStart, StreamEvent
from ragstream.storage import base as storage

__all__ = ["first_pull", "open_turn", "question_row", "start_event"]


@step("AnswerStart")
async def first_pull(turn: Turn, kit: AnswerKit) -> AsyncGenerator[StreamEvent, None]:
    """Say who is answering."""
    yield start_event(turn, kit)


@step("OpenTurn")
async def open_turn(turn: Turn, kit: AnswerKit) -> None:
    """Store the question, and the session with its first question.

    Raises:
        NotFound: what the question goes on from was deleted since the question was validated.
    """
    await kit.turns.open(question_row(turn, kit))
    turn.note(continues=turn.question.continues)


def start_event(turn: Turn, kit: AnswerKit) -> StreamEvent:
    """Return the first event of the answer."""
    question = turn.question
    start = MessageStart(
        stream_id=question.stream_id,
        message_id=question.message_id,
        session_id=question.session_id,
        model=question.model or kit.llm.model,
        created=question.created,
        metadata=question.metadata,
    )
    return StreamEvent(type=EventType.MESSAGE_START, message_start=start)


def question_row(turn: Turn, kit: AnswerKit) -> storage.Turn:
    """Return the turn as it is stored while its answer is under way."""
    question = turn.question
    return storage.Turn(
        stream_id=question.stream_id,
        message_id=question.message_id,
        session_id=question.session_id,
        owner=question.owner,
        question=question.messages,
        created=float(question.created),
        continues=question.continues,
        branches_from=question.branches_from,
        replaces=question.replaces,
        model=question.model or kit.llm.model,
        metadata=question.metadata,
    )
