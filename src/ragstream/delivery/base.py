"""What the request lane needs of others: an answer to pull, and a reader of request bodies."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol

import msgspec
from starlette.requests import Request

from ragstream.events import Answer, Message, Options, Question, StreamEvent
from ragstream.storage.base import Turn
from ragstream.streamlog.base import Writer

__all__ = ["AnswerRun", "Answerer", "Follow", "Inquiry", "Intake"]


class AnswerRun(Protocol):
    """One answer, to be pulled once. Only the supervisor pulls it."""

    question: Question
    answer: Answer  # what was said so far; whoever pulls applies each event, then appends it

    @property
    def ending(self) -> StreamEvent | None:
        """The terminal event, once it is decided; a stop changes nothing from then on."""
        ...

    def attach(self, writer: Writer) -> None:
        """Say who acknowledges the events; called once, before the first pull."""

    def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Run the lane from its start."""
        ...

    def rescue(self, cause: BaseException) -> AsyncGenerator[StreamEvent, None]:
        """Run the same turn from its lane's rescue node, after ``events`` was closed or its process died."""
        ...


class Answerer(Protocol):
    """Makes answers."""

    model: str  # what answers where a question names no model
    options: frozenset[str]  # names of the provider's further options that a question may set

    def prepare(self, question: Question) -> AnswerRun:
        """Make an answer that has not begun."""
        ...

    def revive(self, turn: Turn, said: Answer) -> AnswerRun:
        """Rebuild an answer whose process died, from its stored row and its log, to be rescued."""
        ...


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """A question as a request puts it, in any protocol."""

    messages: tuple[Message, ...]
    session_id: str | None = None
    model: str | None = None
    options: Options = Options()
    metadata: dict[str, Any] = {}
    include_steps: bool = False
    streaming: bool = True


class Follow(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to read an answer that has begun, beyond the event ``after``."""

    stream_id: str
    after: int = 0
    streaming: bool = True


class Intake(Protocol):
    """How one route reads its requests."""

    has_body: bool

    def parse(self, request: Request, body: bytes) -> Inquiry | Follow:
        """Return what the request wants.

        Raises:
            RequestError: it cannot be understood or honoured.
        """
        ...
