"""What the request lane needs of others: an answer to pull, and a reader of request bodies."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from ragstream.events import Answer, Question, StreamEvent
from ragstream.storage.base import Turn
from ragstream.streamlog.base import Writer

__all__ = ["AnswerRun", "Answerer"]


class AnswerRun(Protocol):
    """One answer, to be pulled once. Only the supervisor pulls it."""

    question: Question
    answer: Answer  # what was said so far; whoever pulls applies each event, then appends it

    @property
    def ending(self) -> StreamEvent | None:
        """The terminal event, once it is decided; a stop changes nothing from then on."""
        ...

    def events(self, writer: Writer) -> AsyncGenerator[StreamEvent, None]:
        """Run the lane from its start; ``writer`` is what acknowledges the events."""
        ...

    def rescue(self, writer: Writer, cause: BaseException) -> AsyncGenerator[StreamEvent, None]:
        """Run the same turn from its lane's rescue node, after ``events`` was closed or its process died."""
        ...


class Answerer(Protocol):
    """Makes answers."""

    def prepare(self, question: Question) -> AnswerRun:
        """Make an answer that has not begun."""
        ...

    def revive(self, turn: Turn, said: Answer) -> AnswerRun:
        """Rebuild an answer whose process died, from its stored row and its log, to be rescued."""
        ...
