"""Answers, as those who pull them see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

from ragstream.answer.kit import AnswerKit
from ragstream.answer.turn import Turn
from ragstream.blueprint import CLOSING_AT_ONCE, Lane, walk
from ragstream.events import Answer, Question, StreamEvent
from ragstream.storage import base as storage
from ragstream.streamlog.base import Writer

__all__ = ["LaneAnswerer", "LaneRun"]


class LaneRun:
    """One turn on the answer lane; see ``delivery.base.AnswerRun``."""

    def __init__(self, lane: Lane, kit: AnswerKit, turn: Turn) -> None:
        self.question = turn.question
        self.answer = turn.answer
        self._lane, self._kit, self._turn = lane, kit, turn

    @property
    def ending(self) -> StreamEvent | None:
        """The terminal event, once it is decided."""
        return self._turn.ending

    def attach(self, writer: Writer) -> None:
        """Say who acknowledges the events."""
        self._turn.writer = writer

    def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Run the lane from its start."""
        return walk(self._lane, self._turn, self._kit)

    def rescue(self, cause: BaseException) -> AsyncGenerator[StreamEvent, None]:
        """Run the turn from the rescue node; what is left of a walk that did not close is given up."""
        left, self._turn = self._turn, replace(self._turn, cause=cause)
        left.given_up = True
        return walk(self._lane, self._turn, self._kit, start=self._lane.rescue)


class LaneAnswerer:
    """Make answers by the answer lane."""

    def __init__(self, lane: Lane, kit: AnswerKit, *, options: frozenset[str] = frozenset()) -> None:
        self.model = kit.llm.model
        self.models = tuple(dict.fromkeys(one.model for one in kit.llm.providers if one.model))
        self.options = options
        self._lane, self._kit = lane, kit
        self._places = asyncio.Semaphore(CLOSING_AT_ONCE)

    def prepare(self, question: Question) -> LaneRun:
        """Make an answer that has not begun."""
        turn = Turn(
            request_id=question.request_id,
            include_steps=question.include_steps,
            question=question,
            policy=self._kit.llm.policy,
            places=self._places,
        )
        return LaneRun(self._lane, self._kit, turn)

    def revive(self, turn: storage.Turn, said: Answer) -> LaneRun:
        """Rebuild an answer whose process died, to be rescued: what it said is what its log says."""
        question = Question(
            stream_id=turn.stream_id,
            message_id=turn.message_id,
            session_id=turn.session_id,
            request_id=turn.stream_id,  # the request that asked is long over
            owner=turn.owner,
            messages=turn.question,
            continues=True,
            replaces=turn.replaces,
            model=turn.model or None,
            metadata=turn.metadata,
            created=int(turn.created),
        )
        revived = Turn(
            request_id=question.request_id,
            include_steps=False,
            question=question,
            policy=self._kit.llm.policy,
            places=self._places,
            answer=said,
            ending=turn.ending,
        )
        return LaneRun(self._lane, self._kit, revived)
